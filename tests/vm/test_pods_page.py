"""Every example of docs/pods.md, on real machines: its files are run as its commands say, with a real nginx.

Not run: volumes of NFS, for which there is no server here, and ports on the host are ones that are free.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tools import demo_image, imagebuilder
from tools.imagebuilder import Image, directory, file

from tests.support import page
from tests.support.hyperd import Hyperd, hyperd
from tests.support.registry import RealRegistry

pytestmark = [pytest.mark.vm, pytest.mark.root]

TEXT = (page.DOCS / "pods.md").read_text()
BIN = Path(sys.prefix) / "bin"
_CONF = """\
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 512; }
http {
    access_log /dev/stdout;
    client_body_temp_path /var/cache/nginx/client;
    proxy_temp_path /var/cache/nginx/proxy;
    fastcgi_temp_path /var/cache/nginx/fastcgi;
    uwsgi_temp_path /var/cache/nginx/uwsgi;
    scgi_temp_path /var/cache/nginx/scgi;
    include /etc/nginx/conf.d/*.conf;
}
"""
_SITE = "server { listen 80 default_server; root /usr/share/nginx/html; }\n"


def nginx() -> Image:
    """A real nginx, with its files where Docker Hub's image has them."""
    laid_out = [
        file("etc/nginx/nginx.conf", _CONF),
        directory("etc/nginx/conf.d"),
        file("etc/nginx/conf.d/default.conf", _SITE),
        directory("usr/share"),
        directory("usr/share/nginx"),
        directory("usr/share/nginx/html"),
        file("usr/share/nginx/html/index.html", "Welcome to nginx!\n"),
        directory("var/cache"),
        directory("var/cache/nginx"),
    ]
    return imagebuilder.image([*demo_image.nginx().tars, laid_out], demo_image.CONFIG)


def free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that are free now."""
    for first in range(20_000, 60_000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError(f"no {count} ports in a row are free")


def here(text: str, first: int) -> str:
    """An example as it can be run here: ports from ``first`` on, no volume of NFS."""
    text = text.replace("8000-8009", f"{first}-{first + 9}").replace("8080", str(first + 10))
    return re.sub(r'^.*driver: nas.*\n|, "shared:/shared"', "", text, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def hub(real_registry: RealRegistry) -> Iterator[Hyperd]:
    """A daemon whose Docker Hub has nginx and busybox."""
    real_registry.push(nginx(), "library/nginx:latest")
    real_registry.push(imagebuilder.busybox(), "library/busybox:latest")
    with hyperd("--registry-mirror", f"http://{real_registry.host}") as daemon:
        yield daemon


def wait_ready(daemon: Hyperd) -> None:
    """A reader's next command comes later than ours: all pods are ready."""
    for pod in daemon.api.get("/hyper/v1/pods"):
        daemon.api.get(f"/hyper/v1/pods/{pod['Id']}/wait?condition=ready")


def test_examples_of_the_pods_page_print_what_it_says(hub: Hyperd, tmp_path: Path) -> None:
    """In the page's order; each prints what the page says, and no file of it is left out."""
    first = free_ports(11)
    files, commands = page.files(TEXT), page.examples(TEXT)
    assert len(files) == TEXT.count("```yaml")
    for name, text in files.items():
        (tmp_path / name).write_text(here(text, first))
        assert any(command.endswith(name) for command, _ in commands), name
    environ = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "DOCKER_HOST": hub.host,
    }
    for command, lines in commands:
        page.check(here(command, first), lines, environ, tmp_path)
        wait_ready(hub)
    assert hub.api.get("/hyper/v1/pods") == []
