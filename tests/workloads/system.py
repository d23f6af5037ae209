"""Workloads that want more of their machine: inits, daemons, devices, packet filters."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from tools.debian_root import debootstrap_packages

from tests.workloads.workload import IDLE, Part, Workload

_NOT_PRIVILEGED = "`--privileged` wants CAP_SYS_RESOURCE, which root of the project's machine lacks"

CRON = Workload(
    name="cron-syslog",
    says="a crontab's line runs each minute and is in syslog",
    parts=(
        Part(
            "sys",
            "system",
            (),
            (
                "sh",
                "-ec",
                "rm -f /run/*.pid; rsyslogd; echo '* * * * * root logger -t job it ran' >/etc/cron.d/job; "
                "exec cron -f",
            ),
            "test -e /var/log/syslog",
        ),
    ),
    check="i=0; until grep -q 'job: it ran' /var/log/syslog; do i=$((i+1)); [ $i -lt 300 ] || break; "
    "sleep 0.5; done; grep -o 'job: it ran' /var/log/syslog | head -1",
    result="job: it ran",
)

SSHD = Workload(
    name="sshd",
    says="log in by key, run a command on a terminal of its own",
    parts=(
        Part(
            "sshd",
            "system",
            (),
            (
                "sh",
                "-ec",
                "mkdir -p /run/sshd; ssh-keygen -A >/dev/null; exec /usr/sbin/sshd -D -e",
            ),
            "ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null | grep -q ed25519",
        ),
    ),
    prepare="mkdir -p -m 700 /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; "
    "cat /root/.ssh/id_ed25519.pub >>/root/.ssh/authorized_keys",
    check="ssh -q -tt -o StrictHostKeyChecking=no 127.0.0.1 'test -t 0 && id -un' </dev/null | tr -d '\\r'",
    result="root",
)

SYSTEMD = Workload(
    name="systemd",
    says="systemd is PID 1: it comes up, its units run, a unit's limit is a control group's",
    parts=(
        Part(
            "init",
            "system",
            ("--privileged", "--tmpfs", "/run", "--stop-signal", "RTMIN+3"),
            ("/sbin/init",),
            "systemctl is-system-running --wait 2>&1 | grep -E 'running|degraded'",
        ),
    ),
    check="systemctl is-active cron; systemd-run -q --wait --pipe -p MemoryMax=32M "
    "sh -c 'cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/memory.max'",
    result="active\n33554432",
    not_docker=_NOT_PRIVILEGED,
)

DOCKER_IN_DOCKER = Workload(
    name="docker-in-docker",
    says="dockerd in the container runs a container with a network",
    parts=(
        Part(
            "dind",
            "system",
            ("--privileged", "-v", "@volume-data:/var/lib/docker"),
            ("sh", "-ec", "rm -f /run/docker.pid /var/run/docker/containerd/*.pid; exec dockerd"),
            "docker info",
        ),
    ),
    volumes=("data",),
    prepare="tar -C / -ch bin/busybox $(ldd /bin/busybox | grep -o '/[^ ]*') 2>/dev/null | "
    "docker import - inner >/dev/null",
    check="docker run --rm inner /bin/busybox sh -c '/bin/busybox echo $((6*7)); "
    "/bin/busybox ip -o link show eth0 | /bin/busybox grep -o eth0 | /bin/busybox head -1'",
    result="42\neth0",
    not_docker=_NOT_PRIVILEGED,
)


def _debootstrap_packages(folder: Path) -> None:
    """FOLDER/packages.tar.gz holds the packages of a minimal Debian."""
    shutil.copy(debootstrap_packages(), folder / "packages.tar.gz")


DEBOOTSTRAP = Workload(
    name="debootstrap",
    says="unpacks and configures a Debian of its own, device nodes included",
    parts=(
        Part(
            "build",
            "system",
            ("--cap-add", "SYS_ADMIN", "-v", "@folder:/in:ro", "-v", "@volume-data:/target"),
            IDLE,
        ),
    ),
    volumes=("data",),
    folders=_debootstrap_packages,
    check="test -e /target/etc/done || debootstrap --variant=minbase "
    "--unpack-tarball=/in/packages.tar.gz bookworm /target >/tmp/log 2>&1 || tail /tmp/log; "
    "touch /target/etc/done; chroot /target sh -c "
    "'dpkg -l bash | tail -1 | cut -c1-2; echo hi >/dev/null && echo written'",
    result="ii\nwritten",
)

FUSE = Workload(
    name="fuse",
    says="a FUSE file system (bindfs) that the container mounts, with Docker's options for it",
    parts=(
        Part(
            "app",
            "system",
            ("--device", "/dev/fuse", "--cap-add", "SYS_ADMIN"),
            (
                "sh",
                "-ec",
                "mkdir -p /a /b; echo through >/a/file; exec bindfs -f --no-allow-other /a /b",
            ),
            "test -e /b/file",
        ),
    ),
    check="cat /b/file; grep -o 'fuse /b\\|/b fuse' /proc/mounts",
    result="through\n/b fuse",
)

_VPN = (
    "exec openvpn --dev tun --ifconfig {mine} {other} --secret /k/key --cipher AES-256-CBC {remote}"
)


def _vpn_key(folder: Path) -> None:
    """FOLDER/key is a static key in OpenVPN's format."""
    lines = [secrets.token_hex(16) for _ in range(16)]
    head, tail = "-----BEGIN OpenVPN Static key V1-----", "-----END OpenVPN Static key V1-----"
    (folder / "key").write_text("\n".join([head, *lines, tail, ""]))


_TUN = ("--device", "/dev/net/tun", "--cap-add", "NET_ADMIN", "-v", "@folder:/k:ro")
_CLIENT = "--remote server --ping 1 --ping-restart 5 --resolv-retry infinite"

OPENVPN = Workload(
    name="openvpn",
    says="a tunnel (tun) between two containers; ping through it",
    parts=(
        Part(
            "server",
            "system",
            _TUN,
            ("sh", "-ec", _VPN.format(mine="10.9.8.1", other="10.9.8.2", remote="")),
            "ip -o addr show tun0 | grep 10.9.8.1",
        ),
        Part(
            "client",
            "system",
            _TUN,
            ("sh", "-ec", _VPN.format(mine="10.9.8.2", other="10.9.8.1", remote=_CLIENT)),
            "ping -c 1 -W 1 10.9.8.1",
        ),
    ),
    folders=_vpn_key,
    check="ping -c 3 -i 0.2 10.9.8.1 | grep -o '3 received'",
    result="3 received",
    ended="client",
)

_ADMIN = ("--cap-add", "NET_ADMIN")

NETEM = Workload(
    name="tc-netem",
    says="netem delays a container's packets",
    parts=(Part("app", "system", _ADMIN, IDLE),),
    check="tc qdisc replace dev lo root netem delay 150ms; ping -c 2 -i 0.2 127.0.0.1 | "
    "awk -F/ '/^rtt/ { print ($4 >= 300 ? \"delayed\" : $0) }'; tc qdisc del dev lo root",
    result="delayed",
    not_docker="this host's kernel has no netem",
)

FILTERS = Workload(
    name="iptables-nft-ipset",
    says="iptables' NAT, an ipset and an nftables set decide over packets",
    parts=(Part("app", "system", _ADMIN, IDLE),),
    check="iptables -t nat -F; "
    "iptables -t nat -A OUTPUT -p tcp --dport 81 -j REDIRECT --to-ports 82; "
    "(echo redirected | timeout 20 busybox nc -l -p 82 &); "
    "until ss -ltn | grep -q :82; do sleep 0.1; done; busybox nc -w 5 127.0.0.1 81 </dev/null; "
    "ipset create -exist s hash:ip; ipset add -exist s 127.0.0.9; "
    "iptables -F; iptables -A OUTPUT -m set --match-set s dst -j REJECT; "
    "ping -c 1 -W 2 127.0.0.9 >/dev/null 2>&1 || echo rejected; iptables -F; "
    "nft add table inet t; nft add set inet t a '{ type ipv4_addr; }'; "
    "nft add element inet t a '{ 127.0.0.8 }'; "
    "nft add chain inet t o '{ type filter hook output priority 0; }'; "
    "nft add rule inet t o ip daddr @a drop; "
    "ping -c 1 -W 1 127.0.0.8 >/dev/null 2>&1 || echo dropped; nft delete table inet t",
    result="redirected\nrejected\ndropped",
)

NON_ROOT = Workload(
    name="non-root",
    says="ping, and a server on port 80, as nobody",
    parts=(
        Part(
            "app",
            "data",
            ("-u", "nobody"),
            ("busybox", "httpd", "-f", "-p", "80", "-h", "/etc"),
            "busybox wget -qO- http://127.0.0.1/passwd",
        ),
    ),
    check="ping -c 1 127.0.0.1 | grep -o '1 received'; "
    "busybox wget -qO- http://127.0.0.1/passwd | head -c 10 | wc -c; id -un",
    result="1 received\n10\nnobody",
    short=True,
)

ALL = (
    CRON, SSHD, SYSTEMD, DOCKER_IN_DOCKER, DEBOOTSTRAP, FUSE, OPENVPN, NETEM, FILTERS, NON_ROOT,
)  # fmt: skip
