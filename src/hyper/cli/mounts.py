"""``-v``, ``--tmpfs`` and ``--mount``: the mounts of other file systems in a container."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MOUNT_TYPES = ("bind", "volume", "tmpfs")
_TARGETS = ("target", "destination", "dst")
_SOURCES = ("source", "src")


def volume(spec: str) -> tuple[str | None, str]:
    """A ``-v`` value: (bind, "") for ``SOURCE:TARGET[:OPTIONS]``, (None, target) for an anonymous volume.

    A relative source (``./x``) is made absolute, from the folder where the command runs.

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

    The fields are those of a CSV line: one with a comma in it is quoted, ``"volume-opt=o=a,b"``.

    Raises:
        ValueError: an unknown key or type, a missing target or source, an option of another type.
    """
    made: dict[str, Any] = {"Type": "volume"}
    for field in _fields(spec):
        key, equals, value = field.partition("=")
        _set_field(made, key.strip().lower(), value if equals else None)
    if made["Type"] not in _MOUNT_TYPES:
        raise ValueError(f"unknown mount type {made['Type']!r}: use {', '.join(_MOUNT_TYPES)}")
    if "Target" not in made:
        raise ValueError("it has no target=/path")
    if made["Type"] == "bind" and not made.get("Source"):
        raise ValueError("a bind mount needs source=/path")
    for kind in _MOUNT_TYPES:
        if kind != made["Type"] and f"{kind.capitalize()}Options" in made:
            raise ValueError(f"cannot mix '{kind}-*' options with mount type '{made['Type']}'")
    return made


def _fields(spec: str) -> list[str]:
    import csv  # only here: 2 ms

    try:
        rows = list(csv.reader([spec], strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if len(rows) != 1:
        raise ValueError("it is empty")
    return rows[0]


def _set_field(made: dict[str, Any], key: str, value: str | None) -> None:
    if key in ("readonly", "ro"):
        made["ReadOnly"] = _is_true(key, value)
    elif key in _FLAGS:
        kind, field = _FLAGS[key]
        made.setdefault(kind, {})[field] = _is_true(key, value)
    elif not value:
        raise ValueError(f"{key!r} needs a value")
    elif key in ("type", "consistency"):
        made[key.capitalize()] = value.lower()
    elif key in _SOURCES:
        is_path = value.startswith((".", "~"))
        made["Source"] = os.path.abspath(os.path.expanduser(value)) if is_path else value  # noqa: PTH100, PTH111
    elif key in _TARGETS:
        _check_target(value)
        made["Target"] = value
    elif key in _OPTIONS:
        kind, field, parse = _OPTIONS[key]
        made.setdefault(kind, {})[field] = parse(value)
    elif key == "volume-label":
        name, _, text = value.partition("=")
        made.setdefault("VolumeOptions", {}).setdefault("Labels", {})[name] = text
    elif key in ("volume-driver", "volume-opt"):
        _set_driver(made.setdefault("VolumeOptions", {}), key, value)
    else:
        raise ValueError(f"unknown key {key!r}")


def _set_driver(options: dict[str, Any], key: str, value: str) -> None:
    driver = options.setdefault("DriverConfig", {})
    if key == "volume-driver":
        driver["Name"] = value
    else:
        name, _, text = value.partition("=")
        driver.setdefault("Options", {})[name] = text


def _is_true(key: str, value: str | None) -> bool:
    if value not in (None, "1", "0", "true", "false"):
        raise ValueError(f"invalid value {value!r} for {key}: use true or false")
    return value in (None, "1", "true")


def _mode(text: str) -> int:
    if not text or text.strip("01234567"):
        raise ValueError(f"invalid value {text!r} for tmpfs-mode: use octal digits")
    return int(text, 8)


def _size(text: str) -> int:
    from hyper.units import parse_size

    return parse_size(text)


def _check_target(path: str) -> None:
    if not path.startswith("/"):
        raise ValueError(f"the path in the container must be absolute, not {path!r}")


#: Key -> the API's options and field it sets to true or false.
_FLAGS = {
    "bind-nonrecursive": ("BindOptions", "NonRecursive"),
    "volume-nocopy": ("VolumeOptions", "NoCopy"),
}
#: Key -> options, field and what makes its value.
_OPTIONS: dict[str, tuple[str, str, Callable[[str], object]]] = {
    "bind-propagation": ("BindOptions", "Propagation", str),
    "tmpfs-mode": ("TmpfsOptions", "Mode", _mode),
    "tmpfs-size": ("TmpfsOptions", "SizeBytes", _size),
    "volume-subpath": ("VolumeOptions", "Subpath", str),
}
