"""Stand-ins for images of Docker Hub that suites pull: the same names, Debian's programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tools import application_images, demo_image, imagebuilder
from tools.imagebuilder import BUSYBOX_CONFIG, Image, Item

_HELLO = '#!/bin/sh\necho\necho "Hello from Docker!"\necho "This message comes from a busybox."\n'
_USERADD = """\
#!/bin/sh
for last; do :; done
echo "$last:x:1001:1001::/home/$last:/bin/sh" >>/etc/passwd
"""
_REGISTRY = demo_image.UNPACKED / "usr/bin/docker-registry"
_REGISTRY_CONFIG = """\
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}, delete: {enabled: true}}
http: {addr: ":5000"}
"""


def busyboxes(*names: str) -> dict[str, Image]:
    """Images that differ in a file, so that none has another's id; each has what tests know of the real ones."""
    return {f"library/{name}": _busybox(name) for name in names}


def hello_world() -> Image:
    """A greeting in the words of Docker's ``hello-world``."""
    return _busybox("hello-world", [_program("hello", _HELLO)], {"Cmd": ["/hello"]})


def ubuntu() -> Image:
    """Busybox with what tests look for in ``ubuntu``: bash and useradd, in so far as they use them."""
    items = [
        _program("bin/bash", '#!/bin/sh\nexec sh "$@"\n'),
        _program("bin/useradd", _USERADD),
        imagebuilder.directory("usr/lib"),
    ]
    return _busybox("ubuntu", items)


def postgres() -> Image:
    """A program that goes on and an anonymous volume, which is what tests want of ``postgres``."""
    config = {"Cmd": ["sleep", "1000"], "Volumes": {"/var/lib/postgresql/data": {}}}
    return _busybox("postgres", (), config)


def python(version: str) -> Image:
    """Debian's Python under the name ``python``; ``version`` tells one image from another."""
    names = ("python", "python3")
    items = [imagebuilder.symlink(f"usr/bin/{name}", "python3.11") for name in names]
    interpreter = application_images.python(
        "site, time, socket, http.server, readline, rlcompleter"
    )
    config = {"Cmd": ["python3"], "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"]}
    return imagebuilder.image(
        [interpreter, [*items, imagebuilder.file("etc/image", version)]], config
    )


def registry() -> Image:
    """Debian's docker-registry where ``registry:2`` has it."""
    libraries = demo_image.from_host(demo_image.libraries(_REGISTRY))
    return imagebuilder.image(
        [
            [*imagebuilder.busybox_items(), *libraries],
            [
                imagebuilder.directory("etc/docker"),
                imagebuilder.directory("etc/docker/registry"),
                imagebuilder.file("etc/docker/registry/config.yml", _REGISTRY_CONFIG),
                imagebuilder.directory("var/lib/registry"),
                imagebuilder.file("bin/registry", _REGISTRY.read_bytes(), mode=0o755),
            ],
        ],
        {
            "Entrypoint": ["registry"],
            "Cmd": ["serve", "/etc/docker/registry/config.yml"],
            "Env": BUSYBOX_CONFIG["Env"],
            "ExposedPorts": {"5000/tcp": {}},
            "Volumes": {"/var/lib/registry": {}},
        },
    )


def _busybox(
    name: str, more: Iterable[Item] = (), config: Mapping[str, Any] | None = None
) -> Image:
    items = [imagebuilder.file("etc/image", name), imagebuilder.directory("var/opt"), *more]
    items = [*imagebuilder.busybox_items(), *items]
    (passwd,) = (item for item in items if item.name == "etc/passwd")
    passwd.data += b"postgres:x:70:70::/var/lib/postgresql:/bin/sh\n"
    return imagebuilder.image([items], {**BUSYBOX_CONFIG, **(config or {})})


def _program(path: str, script: str) -> Item:
    return imagebuilder.file(path, script, mode=0o755)
