"""``-v``, ``--tmpfs`` and ``--mount``: what the container sees of other file systems."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOUNT_TYPES = ("bind", "volume", "tmpfs")
_TARGETS = ("target", "destination", "dst")
_SOURCES = ("source", "src")


def volume(spec: str) -> tuple[str | None, str]:
    """A ``-v`` value: (bind, "") for ``SOURCE:TARGET[:OPTIONS]``, (None, target) for an anonymous volume.

    A relative source (``./x``) is made absolute, as seen from here.

    Raises:
        ValueError: no absolute target, or too many parts.
    """
    parts = spec.split(":")
    if len(parts) == 1:
        _check_target(spec)
        return None, spec
    if len(parts) > 3 or not parts[0]:
        raise ValueError("use [SOURCE:]TARGET[:ro]")
    _check_target(parts[1])
    source = parts[0]
    if source.startswith((".", "~")):
        source = os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111 (pathlib costs 3 ms)
    return ":".join([source, *parts[1:]]), ""


def tmpfs(spec: str) -> tuple[str, str]:
    """A ``--tmpfs`` value: the path and its mount options.

    Raises:
        ValueError: the path is not absolute.
    """
    path, _, options = spec.partition(":")
    _check_target(path)
    return path, options


def mount(spec: str) -> dict[str, Any]:
    """A ``--mount`` value (``type=bind,source=/a,target=/b,readonly``) as the API's Mount.

    Raises:
        ValueError: an unknown key or type, a missing target or source.
    """
    made: dict[str, Any] = {"Type": "volume"}
    for field in spec.split(","):
        key, equals, value = field.partition("=")
        _set_field(made, key.strip().lower(), value if equals else None)
    if made["Type"] not in _MOUNT_TYPES:
        raise ValueError(f"unknown mount type {made['Type']!r}: use {', '.join(_MOUNT_TYPES)}")
    if "Target" not in made:
        raise ValueError("it has no target=/path")
    if made["Type"] == "bind" and not made.get("Source"):
        raise ValueError("a bind mount needs source=/path")
    return made


def _set_field(made: dict[str, Any], key: str, value: str | None) -> None:
    if key in ("readonly", "ro"):
        made["ReadOnly"] = value in (None, "1", "true")
    elif not value:
        raise ValueError(f"{key!r} needs a value")
    elif key == "type":
        made["Type"] = value
    elif key in _SOURCES:
        is_path = value.startswith((".", "~"))
        made["Source"] = os.path.abspath(os.path.expanduser(value)) if is_path else value  # noqa: PTH100, PTH111
    elif key in _TARGETS:
        _check_target(value)
        made["Target"] = value
    elif key == "bind-propagation":
        made["BindOptions"] = {"Propagation": value}
    elif key == "volume-nocopy":
        made["VolumeOptions"] = {"NoCopy": value in ("1", "true")}
    elif key == "tmpfs-size":
        made.setdefault("TmpfsOptions", {})["SizeBytes"] = _size(value)
    elif key == "tmpfs-mode":
        made.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)
    else:
        raise ValueError(f"unknown key {key!r}")


def _size(text: str) -> int:
    from hyper.units import parse_size

    return parse_size(text)


def _check_target(path: str) -> None:
    if not path.startswith("/"):
        raise ValueError(f"the path in the container must be absolute, not {path!r}")
