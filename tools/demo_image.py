#!/usr/bin/env python3
"""Build demonstration images from Debian's packages, without a container engine, and push them to a registry.

    tools/demo_image.py --push localhost:5000/nginx --busybox localhost:5000/busybox

The nginx image has four layers: a minimal root (busybox, the C library), nginx with its libraries, its
configuration, and a page. Its files are taken from this machine: nginx as `make setup-test` unpacks it, its libraries
and busybox as they are installed.
"""

from __future__ import annotations

import argparse
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools import imagebuilder
from tools.imagebuilder import (
    BUSYBOX_CONFIG,
    Image,
    Item,
    account_items,
    busybox_items,
    directory,
    file,
    image,
    symlink,
)

#: Where `make setup-test` unpacks Debian's nginx: installing the package would start a server.
UNPACKED = Path(__file__).parents[1] / "build/debs"
_LIBC = ("libc.so.6", "ld-linux-x86-64.so.2", "libm.so.6", "libpthread.so.0", "libdl.so.2")

CONFIG: dict[str, Any] = {
    "Cmd": ["nginx", "-g", "daemon off;"],
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    "ExposedPorts": {"80/tcp": {}},
    "StopSignal": "SIGQUIT",
    "Labels": {"org.opencontainers.image.title": "nginx", "maintainer": "Hyper demonstration"},
}

NGINX_CONF = """\
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log notice;
events { worker_connections 512; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log;
    sendfile on;
    server {
        listen 80 default_server;
        root /var/www/html;
        index index.html;
    }
}
"""

PAGE = """\
<!DOCTYPE html>
<html><head><title>Welcome to nginx!</title></head>
<body><h1>Welcome to nginx!</h1><p>This page comes out of a microVM.</p></body></html>
"""


def libraries(program: Path) -> list[Path]:
    """The shared libraries that ``program`` is started with, its loader included."""
    output = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    words = [word for line in output.splitlines() for word in line.split()]
    return sorted({Path(word) for word in words if word.startswith("/")})


def from_host(paths: Iterable[Path]) -> list[Item]:
    """Files of this machine with the directories above them, links resolved, times made equal."""
    items: dict[str, Item] = {}
    for path in paths:
        name = str(path).removeprefix("/")
        for parent in list(Path(name).parents)[-2::-1]:
            items.setdefault(str(parent), directory(str(parent)))
        mode = stat.S_IMODE(path.stat().st_mode)
        items[name] = file(name, path.read_bytes(), mode=mode)
    return list(items.values())


def nginx() -> Image:
    """The nginx image.

    Raises:
        SystemExit: nginx was not unpacked here.
    """
    program = UNPACKED / "usr/sbin/nginx"
    if not program.exists():
        raise SystemExit(f"there is no {program}: run make setup-test")
    needed = libraries(program)
    libc = [path for path in needed if path.name in _LIBC]
    nss = list(Path("/lib/x86_64-linux-gnu").glob("libnss_files.so.2"))
    base = busybox_items() + from_host(libc + nss)
    server = [
        directory("usr/sbin"),
        file("usr/sbin/nginx", program.read_bytes(), mode=0o755),
        directory("etc/nginx"),
        file("etc/nginx/mime.types", (UNPACKED / "etc/nginx/mime.types").read_bytes()),
        *from_host(path for path in needed if path not in libc),
    ]
    return image(
        [_once(base), _once(server), _configuration(), _page()],
        CONFIG,
        history=[
            {"created": imagebuilder.CREATED, "created_by": step}
            for step in ("busybox, libc6", "nginx-light", "configuration", "page")
        ],
    )


def _once(items: list[Item]) -> list[Item]:
    """Every name once, the first wins."""
    return list({item.name: item for item in reversed(items)}.values())[::-1]


def _configuration() -> list[Item]:
    return [
        directory("etc"),
        *account_items(),
        directory("etc/nginx"),
        file("etc/nginx/nginx.conf", NGINX_CONF),
        directory("run"),
        directory("var"),
        directory("var/lib"),
        directory("var/lib/nginx"),
        directory("var/log"),
        directory("var/log/nginx"),
        symlink("var/log/nginx/access.log", "/dev/stdout"),
        symlink("var/log/nginx/error.log", "/dev/stderr"),
    ]


def _page() -> list[Item]:
    www = [directory(name) for name in ("var", "var/www", "var/www/html")]
    return [*www, file("var/www/html/index.html", PAGE)]


def push(one: Image, target: str) -> None:
    """Push to ``host[:port]/name[:tag]``; loopback registries need no TLS."""
    host = target.partition("/")[0].partition(":")[0]
    options = ["--dest-tls-verify=false"] if host in ("localhost", "127.0.0.1") else []
    with tempfile.TemporaryDirectory(prefix="hyper-demo-") as name:
        layout = Path(name, "layout")
        imagebuilder.write_layout(layout, one.manifest, one.blobs)
        imagebuilder.push(layout, target, *options)
    print(f"{target}: {one.digest}, {len(one.tars)} layers")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--push", metavar="TARGET", help="push the nginx image there")
    parser.add_argument("--busybox", metavar="TARGET", help="push a busybox image there")
    arguments = parser.parse_args()
    if arguments.push is None and arguments.busybox is None:
        parser.error("nothing to do: give --push or --busybox")
    if arguments.busybox is not None:
        push(image([busybox_items()], BUSYBOX_CONFIG), arguments.busybox)
    if arguments.push is not None:
        push(nginx(), arguments.push)


if __name__ == "__main__":
    main()
