"""A pod while its description is read: the parts its containers share, and values that may be there only once."""

from __future__ import annotations

import re
from typing import Final, Protocol

from hyper.errors import InvalidRequest
from hyper.manifest.checks import MAX_FILE_BYTES, Ports, Unique, guest_path
from hyper.manifest.fields import Fields
from hyper.manifest.plan import MISSING, PodPlan, stricter
from hyper.types.pod import PodBody, PodContainer, PodFile, PodMount, PodVolume
from hyper.units import MIB

#: Less than hyperd takes for one body.
MAX_CONTENT: Final = 3 * MIB
#: What a container takes in a body beside its content.
_CONTAINER_BYTES: Final = 2000
_FILE_BYTES: Final = 500
_MAX_FILE_COUNT: Final = 1000
#: All files of a container come to the guest in one request.
_MAX_FILES: Final = 768 * 1024
#: Volumes of one container; a machine has far fewer places for them.
_MAX_MOUNTS: Final = 200
_IMAGE: Final = re.compile(r"[a-zA-Z0-9./][^\s\x00-\x1f\x7f]{0,511}")


class Sources(Protocol):
    """The files of the machine where a description is read."""

    def path(self, name: str) -> str:
        """The absolute path of ``name``; a relative ``name`` starts at the folder of the description."""

    def read(self, name: str) -> bytes:
        """The beginning of the file ``name``: if the file is that long, more than a file in a container may have.

        Raises:
            InvalidRequest: it cannot be read.
        """


class Budget:
    """The bound on content of bodies made from one description, which could repeat a file or variable by reference."""

    def __init__(self) -> None:
        self._left = MAX_CONTENT

    def spend(self, count: int, path: str) -> None:
        """``count`` more bytes of variables, commands and files are in the bodies.

        Raises:
            InvalidRequest: together they are more than ``MAX_CONTENT``.
        """
        self._left -= count
        if self._left < 0:
            raise InvalidRequest(
                f"{path}: all files and variables together are larger than {MAX_CONTENT // MIB} MiB",
                hint="mount directories of the host, or put files into the images",
            )


class Draft:
    """A pod's plan as far as it is read. ``body`` has the parts that containers share, ``ports`` where they listen."""

    def __init__(self, notes: list[str], budget: Budget) -> None:
        self.body = PodBody()
        self.budget = budget
        self.ports = Ports()
        self.names = Unique("container")
        self.volumes: dict[str, PodVolume] = {}
        self._notes = notes
        self._pull: dict[str, str] = {}

    def container(self, name: str, path: str) -> None:
        """A container ``name`` is added.

        Raises:
            InvalidRequest: another one has the name, or there are too many.
        """
        self.names.add(name, path)
        self.budget.spend(_CONTAINER_BYTES, path)

    def image(self, name: str, path: str, pull: str | None) -> str:
        """``name``, an image that a container needs; ``pull``: when it is fetched, None: the description does not say.

        Raises:
            InvalidRequest: it cannot be the name of an image.
        """
        if _IMAGE.fullmatch(name) is None:
            raise InvalidRequest(f"{path}: {name[:80]!r} is no name of an image")
        when = pull or MISSING
        known = self._pull.get(name)
        self._pull[name] = when if known is None else stricter(known, when)
        return name

    def sysctl(self, name: str, value: str, path: str) -> None:
        """A kernel parameter of the pod is set, for all its containers alike.

        Raises:
            InvalidRequest: another container asks for another value.
        """
        sysctls = self.body.sysctls = self.body.sysctls or {}
        if sysctls.setdefault(name, value) != value:
            raise InvalidRequest(
                f"{path}.{name}: another container wants {sysctls[name][:40]!r}",
                hint="containers of a pod share their kernel",
            )

    def plan(self) -> PodPlan:
        """The plan of the whole pod.

        Raises:
            InvalidRequest: the pod has no container.
        """
        if not self.body.containers:
            raise InvalidRequest("it has no containers")
        self.body.volumes = list(self.volumes.values())
        self.body.exposed_ports = self.ports.exposed or None
        self.body.port_bindings = self.ports.bindings or None
        return PodPlan(self.body, dict(self._pull), tuple(self._notes))


def add_mount(container: PodContainer, mount: PodMount, item: Fields, field: str) -> None:
    """``container`` gets ``mount``, whose target ``field`` of ``item`` says.

    Raises:
        InvalidRequest: the target is no place for a volume, or has one already.
    """
    mount.target = guest_path(mount.target, item.at(field))
    if mount.target == "/":
        raise item.wrong(field, "a volume cannot be the root")
    if any(other.target == mount.target for other in container.mounts):
        raise item.wrong(field, f"there is a volume on {mount.target} already")
    if len(container.mounts) == _MAX_MOUNTS:
        raise item.wrong(field, f"a container has at most {_MAX_MOUNTS} volumes")
    container.mounts.append(mount)


def add_file(container: PodContainer, file: PodFile, path: str, budget: Budget) -> None:
    """``container`` gets ``file``.

    Raises:
        InvalidRequest: a file is at its path already, or files are too large together.
    """
    if file.path == "/" or any(file.path == other.path for other in container.files):
        raise InvalidRequest(
            f"{path}: a file cannot be put on {file.path[:80]}, or there is one already"
        )
    if len(container.files) == _MAX_FILE_COUNT:
        raise InvalidRequest(f"{path}: a container has at most {_MAX_FILE_COUNT} files")
    if sum(len(other.content) for other in (*container.files, file)) > _MAX_FILES * 4 // 3:
        raise InvalidRequest(
            f"{path}: files of one container have at most {_MAX_FILES // 1024} KiB together",
            hint="mount a directory of the host, or put them into the image",
        )
    budget.spend(len(file.content) + len(file.path) + _FILE_BYTES, path)
    container.files.append(file)


def bounded(content: bytes, path: str) -> bytes:
    """``content`` of a file for a container, of a length that is possible.

    Raises:
        InvalidRequest: it is too long.
    """
    if len(content) > MAX_FILE_BYTES:
        raise InvalidRequest(
            f"{path}: a file in a container has at most {MAX_FILE_BYTES // 1024} KiB",
            hint="mount a directory of the host, or put it into the image",
        )
    return content
