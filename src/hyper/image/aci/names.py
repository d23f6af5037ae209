"""Names of App Container Images: identifiers, image ids, and the names that users write. Pure.

Source: appc spec v0.8.11, types.md; the form ``name:version,label=value`` is rkt's and actool's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hyper.errors import InvalidRequest
from hyper.image import platform as platforms
from hyper.types.oci import Platform

#: Longest identifier that is looked at (longer ones fit no URL), and most labels.
MAX_IDENTIFIER: Final = 512
MAX_LABELS: Final = 64
MAX_LABEL_VALUE: Final = 4096

_IDENTIFIER = re.compile(r"[a-z0-9]+(?:[-._~/][a-z0-9]+)*")
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_IMAGE_ID = re.compile(r"sha512-[0-9a-f]{64,128}")
_ID_PREFIX = re.compile(r"sha512-[0-9a-f]{1,128}")
_PORT = re.compile(r"(?P<host>[a-z0-9.-]+):(?P<port>[0-9]{1,5})(?P<rest>/.*)?")

#: appc's words for architectures -> OCI's (Source: appc schema/types/labels.go, ValidOSArch of linux).
_ARCHITECTURES: Final = {
    "amd64": ("amd64", ""),
    "i386": ("386", ""),
    "aarch64": ("arm64", ""),
    "aarch64_be": ("arm64be", ""),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv7b": ("armbe", "v7"),
    "ppc64": ("ppc64", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image to find: its name, and labels it must have. ``port``: where its host is asked; no part of the name."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None

    @property
    def host(self) -> str:
        """The host whose word on the image counts, with the port."""
        domain = self.name.partition("/")[0]
        return domain if self.port is None else f"{domain}:{self.port}"

    def __str__(self) -> str:
        rest = "".join(
            f",{name}={value}" for name, value in self.labels.items() if name != "version"
        )
        version = self.labels.get("version")
        return self.name + ("" if version is None else f":{version}") + rest

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether an image of this name and these labels is meant. Source: discovery.md, "Validation"."""
        return name == self.name and all(
            labels.get(label) == value for label, value in self.labels.items()
        )


def parse(text: str) -> Wanted:
    """The image meant by ``host[:port]/name[:version][,label=value…]``.

    Raises:
        InvalidRequest: the text is not of that form.
    """
    shown = text[:200]
    head, *pairs = text.split(",")
    port = None
    match = _PORT.fullmatch(head)
    if match is not None and match["rest"]:
        head, port = match["host"] + match["rest"], int(match["port"])
    name, colon, version = head.partition(":")
    labels = {"version": version} if colon else {}
    for pair in pairs:
        label, equals, value = pair.partition("=")
        if not equals or label in labels:
            raise InvalidRequest(
                f"invalid image name {shown!r}: {pair[:100]!r} is no new label=value"
            )
        labels[label] = value
    if (
        not is_identifier(name)
        or (colon and not version)
        or (port is not None and not 0 < port < 65536)
    ):
        raise InvalidRequest(
            f"invalid image name {shown!r}", hint="an image to discover is like example.com/app:1.0"
        )
    check_labels(labels, f"image name {shown!r}")
    return Wanted(name, labels, port)


def is_identifier(text: str) -> bool:
    """Whether ``text`` is an AC Identifier (and not endless)."""
    return len(text) <= MAX_IDENTIFIER and _IDENTIFIER.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether ``text`` is an AC Name."""
    return len(text) <= MAX_IDENTIFIER and _NAME.fullmatch(text) is not None


def is_image_id(text: str) -> bool:
    """Whether ``text`` is an Image ID: a whole one, or half of one, as rkt's store shortens them."""
    return _IMAGE_ID.fullmatch(text) is not None


def is_id_prefix(text: str) -> bool:
    """Whether ``text`` can be the beginning of an Image ID, algorithm included."""
    return _ID_PREFIX.fullmatch(text) is not None


def check_labels(labels: Mapping[str, str], where: str) -> None:
    """The labels ``labels`` can be.
    InvalidRequest: a label that cannot be.
    """
    if len(labels) > MAX_LABELS:
        raise InvalidRequest(f"invalid {where}: {len(labels)} labels (at most {MAX_LABELS})")
    for name, value in labels.items():
        if not is_identifier(name) or name == "name":
            raise InvalidRequest(f"invalid {where}: {name[:100]!r} is no name of a label")
        if len(value) > MAX_LABEL_VALUE:
            raise InvalidRequest(f"invalid {where}: the label {name} is too long")


def platform_of(labels: Mapping[str, str]) -> Platform:
    """The platform that labels tell, in OCI's words; a part they do not tell is this host's.

    Raises:
        InvalidRequest: no platform appc knows on Linux, or one whose programs do not run here.
    """
    host = platforms.host()
    system, arch = labels.get("os", host.os), labels.get("arch")
    if system != "linux":
        raise InvalidRequest(f"the image is for {system[:50]}, and linux is what runs here")
    if arch is None or "os" not in labels:  # "arch is meaningful only if os is provided"
        return host
    known = _ARCHITECTURES.get(arch)
    if known is None:
        raise InvalidRequest(
            f"the image is for the architecture {arch[:50]!r}, which appc does not know on linux",
            hint="it knows " + ", ".join(_ARCHITECTURES),
        )
    platform = Platform(known[0], "linux", known[1])
    if not platforms.matches(platform, host):
        raise InvalidRequest(
            f"the image is for {platforms.show(platform)}, and this host is {platforms.show(host)}"
        )
    return platform


def own_arch() -> str:
    """The word of appc for this host's architecture."""
    host = platforms.host()
    for word, (architecture, variant) in _ARCHITECTURES.items():
        if (architecture, variant) == (host.architecture, host.variant):
            return word
    return host.architecture
