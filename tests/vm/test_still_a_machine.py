"""The guest's kernel as its users' programs want it: the host's own tools run in a container, on the guest's kernel."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.hyperd import Hyperd

pytestmark = [pytest.mark.vm, pytest.mark.root]

#: Each has to work in a machine that was asked nothing before.
COMMANDS = """
tc qdisc add dev lo root netem delay 1ms loss 1%
tc qdisc replace dev lo root handle 1: prio
tc qdisc add dev lo parent 1:1 sfq
tc qdisc add dev lo parent 1:2 fq_codel
tc filter add dev lo parent 1: protocol ip u32 match ip dport 80 0xffff police rate 1mbit burst 10k drop flowid 1:1
ip link add ifb0 type ifb
tc qdisc add dev eth0 ingress
tc filter add dev eth0 ingress matchall action mirred egress redirect dev ifb0
tc filter add dev eth0 ingress protocol ip flower ip_proto tcp dst_port 80 action pass
tc qdisc add dev ifb0 root cake bandwidth 10mbit
ipset create addresses hash:ip
ipset create nets hash:net,iface
ipset add addresses 192.0.2.1
iptables-legacy -A INPUT -m set --match-set addresses src -j DROP
iptables-legacy -A INPUT -p tcp --syn -m connlimit --connlimit-above 9 -j REJECT --reject-with tcp-reset
iptables-legacy -A INPUT -m string --algo bm --string x -m time --timestart 10:00 -j NFLOG --nflog-group 1
iptables-legacy -A INPUT -m u32 --u32 0=0 -m length --length 1:9 -m ttl --ttl-eq 3 -j NFQUEUE
iptables-legacy -t mangle -A PREROUTING -p udp -m socket -j MARK --set-mark 1
iptables-legacy -t mangle -A PREROUTING -p udp -j TPROXY --on-port 1 --tproxy-mark 1
iptables-legacy -t mangle -A POSTROUTING -j DSCP --set-dscp 1
iptables-legacy -t raw -A PREROUTING -p tcp --dport 21 -j CT --helper ftp
iptables-nft -A FORWARD -m connbytes --connbytes 9 --connbytes-dir both --connbytes-mode bytes -j ACCEPT
nft add table inet t
nft add chain inet t c { type filter hook prerouting priority mangle; }
nft add rule inet t c meta l4proto tcp tproxy ip to :1
nft add rule inet t c socket transparent 1 accept
nft add flowtable inet t f { hook ingress priority 0; devices = { lo }; }
ip link add vx0 type vxlan id 7 dstport 4789 dev eth0
ip link add wg0 type wireguard
ip link add iv0 link eth0 type ipvlan mode l2
ip link add du0 type dummy
ip link add mt0 link du0 type macvtap
ip link add vrf0 type vrf table 7
ip link add gre1 type gre local 192.0.2.1 remote 192.0.2.2
ip link add ipip1 type ipip local 192.0.2.1 remote 192.0.2.2
ip link add sit1 type sit local 192.0.2.1 remote 192.0.2.2
ip link add br0 type bridge vlan_filtering 1
ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 enc cbc(aes) 0x00112233445566778899aabbccddeeff
ip xfrm policy add src 192.0.2.1 dst 192.0.2.2 dir out tmpl proto esp
sh -c "zcat /proc/config.gz | grep -q CONFIG_WIREGUARD=y"
/x/i386
""".strip().splitlines()
#: exit(42), by the system call gate of 32 bits.
I386 = 'void _start(void) { __asm__("int $0x80" : : "a"(1), "b"(0)); for (;;); }\n'


def test_kernel_features_that_users_ask_for_work_in_a_machine(
    daemon: Hyperd, busybox: str, tmp_path: Path
) -> None:
    """Queues and filters of tc, ipset, iptables of both kinds, nft, tunnels and cards of software, IPsec, a program of
    32 bits: each command succeeds. Before it there is no card but the loopback and the network's."""
    source = tmp_path / "i386.c"
    source.write_text(I386)
    argv = ["gcc", "-m32", "-static", "-nostdlib", "-ffreestanding", "-fno-pie", "-no-pie"]
    subprocess.run([*argv, "-fcf-protection=none", "-o", tmp_path / "i386", source], check=True)
    lines = [f"{quoted(line)} || echo FAILED {n}" for n, line in enumerate(COMMANDS)]
    # (The host's /usr/sbin/ip is a link to /bin/ip, which is busybox's here.)
    script = ["PATH=/usr/bin:/usr/sbin", "ls /sys/class/net", *lines, "echo done"]
    (tmp_path / "script").write_text("\n".join(script))
    tmp_path.chmod(0o755)
    shared = [f"{path}:{path}:ro" for path in ("/usr", "/lib", "/lib64", "/sbin", "/etc")]
    binds = [word for path in (*shared, f"{tmp_path}:/x:ro") for word in ("-v", path)]
    flags = ["--rm", "--privileged", "--tmpfs", "/run", *binds]
    done = daemon.docker("run", *flags, busybox, "/usr/bin/sh", "/x/script")
    told = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, told
    assert re.match(r"eth0\s+lo\s", told), told
    failed = [COMMANDS[int(number)] for number in re.findall(r"FAILED (\d+)", told)]
    assert failed == [], told
    assert told.rstrip().endswith("done")


def quoted(line: str) -> str:
    """Words with braces and brackets as one argument each, but for those that are quoted already."""
    return line if '"' in line else " ".join(f"'{word}'" for word in line.split(" "))
