"""Root file systems of the workloads' images."""

from __future__ import annotations

from pathlib import Path

from tools.debian_root import debian_root

#: Debian's packages of each image.
PACKAGES = {
    # What CI needs is in two small ones.
    "data": "postgresql redis-server python3 python3-lmdb busybox iputils-ping",
    "page": "nginx-light php-fpm curl",
    "mariadb": "mariadb-server",
    "etcd": "etcd-server etcd-client",
    "queue": "rabbitmq-server python3-pika",
    "web": "apache2 haproxy curl",
    "java": "tomcat10 openjdk-17-jre-headless curl",
    "dev": "nodejs npm git curl python3-flask python3-watchdog",
    "system": "systemd systemd-sysv dbus cron rsyslog openssh-server openssh-client debootstrap "
    "docker.io iptables nftables ipset iproute2 iputils-ping bindfs openvpn busybox procps",
    "media": "ffmpeg",
}


def root_of(image: str) -> Path:
    """Tar of an image's root file system."""
    if image == "i386":
        packages = ["libc-bin", "coreutils", "dash"]
        return debian_root(packages, architecture="i386", bare=True)
    return debian_root(PACKAGES[image].split())
