"""The images of a small application of real programs: nginx in front, a web application in Python, Redis behind it.

Like tools/demo_image.py: from Debian's programs as this machine has them, without a container engine.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tools import demo_image
from tools.imagebuilder import Image, Item, busybox_items, directory, file, image

_DEBIAN = demo_image.UNPACKED
_PYTHON = Path("/usr/bin/python3.11")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

NGINX_CONF = """\
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 512; }
http {
    access_log /dev/stdout;
    server {
        listen 80 default_server;
        location / { proxy_pass http://app:8000; }
    }
}
"""

#: Counts its visits in Redis. By hand: the imports of http.server take Python half a minute without KVM.
APPLICATION = """\
import socket


def ask(command):
    with socket.create_connection(("store", 6379), 10) as redis:
        redis.sendall(command.encode() + b"\\r\\n")
        return redis.recv(1024).decode().strip()


def serve(client):
    path = client.recv(65536).split(b" ")[1]
    try:
        text = "well" if path == b"/health" else "visit " + ask("INCR visits")[1:]
    except OSError:
        text = "the store is closed"
    head = "HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(text)
    client.sendall((head + text).encode())


with socket.create_server(("", 8000)) as server:
    print("application: serving", flush=True)
    while True:
        with server.accept()[0] as client:
            serve(client)
"""


def front() -> Image:
    """nginx that passes everything on to ``app``."""
    return image(
        [*demo_image.nginx().tars, [file("etc/nginx/nginx.conf", NGINX_CONF)]], demo_image.CONFIG
    )


def application() -> Image:
    """Debian's python3 with as much of its library as the application imports."""
    items = [
        *python("socket, encodings.idna", "-I", "-S"),
        directory("srv"),
        file("srv/application.py", APPLICATION),
    ]
    config: dict[str, Any] = {
        "Cmd": ["python3.11", "-I", "-S", "/srv/application.py"],
        "Env": [_PATH, "PYTHONUNBUFFERED=1"],
        "ExposedPorts": {"8000/tcp": {}},
    }
    return image([_once(items)], config)


def python(imports: str, *flags: str) -> list[Item]:
    """Busybox, Debian's python3, and of its library what ``imports`` take when it is started with ``flags``."""
    needed = [_PYTHON, *demo_image.libraries(_PYTHON), *_modules(imports, flags)]
    for module in [path for path in needed if path.suffix == ".so"]:
        needed += demo_image.libraries(module)
    return _once([*busybox_items(), *demo_image.from_host(needed)])


def _modules(imports: str, flags: Iterable[str]) -> list[Path]:
    """The files of all modules that the imports amount to."""
    script = (
        f"import sys, json, {imports}\n"
        "print(json.dumps([m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)]))"
    )
    argv = [_PYTHON, *flags, "-c", script]
    printed = subprocess.run(argv, check=True, capture_output=True).stdout
    return [Path(os.path.realpath(name)) for name in json.loads(printed)]


def store() -> Image:
    """Redis."""
    folder = _DEBIAN / "usr/lib/x86_64-linux-gnu"
    items = [*busybox_items(), directory("data")]
    for name in ("redis-server", "redis-cli"):
        program = (_DEBIAN / "usr/bin" / name).resolve()
        items.append(file(f"usr/bin/{name}", program.read_bytes(), mode=0o755))
        environ = os.environ | {"LD_LIBRARY_PATH": str(folder)}
        printed = subprocess.run(
            ["ldd", program], check=True, capture_output=True, text=True, env=environ
        ).stdout
        words = {Path(word) for word in printed.split() if word.startswith("/")}
        items += [one for path in sorted(words) for one in _library(path)]
    config: dict[str, Any] = {
        "Cmd": [
            "redis-server",
            "--dir",
            "/data",
            "--appendonly",
            "yes",
            "--save",
            "",
            "--protected-mode",
            "no",
        ],
        "Env": [_PATH],
        "ExposedPorts": {"6379/tcp": {}},
        "WorkingDir": "/data",
    }
    return image([_once(items)], config)


def _library(path: Path) -> list[Item]:
    """A library where the loader looks, wherever it was unpacked."""
    name = str(path)
    if path.is_relative_to(_DEBIAN):
        name = "/" + str(path.relative_to(_DEBIAN))
    parents = [directory(str(parent)[1:]) for parent in list(Path(name).parents)[-2::-1]]
    return [*parents, file(name[1:], path.read_bytes(), mode=0o755)]


def _once(items: list[Item]) -> list[Item]:
    """Every name once, the first wins."""
    return list({item.name: item for item in reversed(items)}.values())[::-1]
