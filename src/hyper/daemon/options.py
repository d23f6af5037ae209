"""The options of hyperd's command line and configuration file: dockerd's words where it has them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec

from hyper.config import MINIMUM_MEMORY_MIB, Config, defaults
from hyper.daemon import engine_options
from hyper.daemon.access_options import add_access
from hyper.daemon.default_options import FLAG, add_defaults, from_json, json_type
from hyper.daemon.fixed import add_fixed, check_key, check_options
from hyper.daemon.registry_options import PROXIES, add_registries, proxies_of
from hyper.errors import InvalidRequest
from hyper.log import LEVELS
from hyper.machine.process import file_server
from hyper.machine.qemu import accelerators

_EPILOG = """\
A configuration file is JSON with the long option names as keys, as dockerd's:

  {"hosts": ["unix:///run/hyper/hyper.sock"], "insecure-registries": ["10.0.0.5:5000"]}

Without -H the socket is /run/hyper/hyper.sock (root) or $XDG_RUNTIME_DIR/hyper/hyper.sock.
"""
#: Keys of the configuration file that are not the field's name with dashes.
_KEYS: Final = {
    "insecure-registries": "insecure_registries",
    "registry-mirrors": "registry_mirrors",
    "default-memory": "default_memory_mib",
    "boot-timeout": "boot_timeout_s",
    "pool-memory": "pool_memory_mib",
    "local-engines": "local_engines",
    "allowed-hosts": "allowed_hosts",
    "allowed-origins": "allowed_origins",
}
_LISTS: Final = frozenset(
    {"hosts", "insecure_registries", "registry_mirrors", "labels", "default_address_pools"}
    | {"dns", "dns_search", "dns_opts", "registry_ca", "allowed_hosts", "allowed_origins"}
)
_PATHS: Final = frozenset(
    {"data_root", "exec_root", "assets", "tlscacert", "tlscert", "tlskey", "pidfile", "kernel"}
)
_FLAGS: Final = frozenset(
    {"tls", "tlsverify", "discard_blobs", "init", "no_new_privileges", "templates", "host_events"}
)
_NUMBERS: Final = frozenset({"default_memory_mib", "boot_timeout_s", "pool_memory_mib"})
_CHOICES: Final = {
    "log_level": tuple(LEVELS),
    "accelerator": accelerators.CHOICES,
    "host_services": ("asked", "all", "none"),
    "file_server": file_server.CHOICES,
    "default_volume_type": ("auto", "directory", "image"),
}


def parser() -> argparse.ArgumentParser:
    """The parser of hyperd's options."""
    result = argparse.ArgumentParser(
        prog="hyperd",
        description="The Hyper daemon: the Docker Engine API, every container a virtual machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_places(result)
    _add_machines(result)
    _add_networks(result)
    add_access(result)
    add_defaults(result)
    add_fixed(result)
    add = result.add_argument
    add("-p", "--pidfile", type=Path, metavar="FILE", help="holds the daemon's process id")
    add("--ready-fd", type=int, metavar="FD", help="written to and closed once the daemon serves")
    add("-v", "--version", action="version", version=f"Hyper {version('hypercontainer')}")
    return result


def _add_places(result: argparse.ArgumentParser) -> None:
    """The options of where the daemon listens and keeps things, and of registries."""
    add = result.add_argument
    add(
        "-H",
        "--host",
        action="append",
        dest="hosts",
        metavar="URL",
        help="where to listen: unix:///PATH or tcp://ADDRESS:PORT (repeatable)",
    )
    add("--data-root", type=Path, metavar="DIR", help="where images and containers are kept")
    add("--exec-root", type=Path, metavar="DIR", help="where sockets of running machines are kept")
    add("--config-file", type=Path, metavar="FILE", help="JSON file with any of these options")
    add("-l", "--log-level", choices=[*LEVELS], help="how much to log (default: info)")
    add("-D", "--debug", action="store_true", help="the same as --log-level debug")
    add("-G", "--group", help="group that may use the socket (default: docker, where it exists)")
    add_registries(result)
    add(
        "--discard-blobs",
        action="store_true",
        default=None,
        help="fetch pulled layers again for push and save instead of keeping them (saves disk)",
    )


def _add_machines(result: argparse.ArgumentParser) -> None:
    """The options of machines: what runs them, their size, how they are started fast."""
    add = result.add_argument
    add(
        "--hypervisor",
        metavar="NAME",
        help="what runs machines that do not say (default: auto, the first that works)",
    )
    add(
        "--accelerator",
        choices=_CHOICES["accelerator"],
        help="how QEMU runs them (default: auto, found out by booting one)",
    )
    add(
        "--file-server",
        choices=_CHOICES["file_server"],
        help="which virtiofsd serves mounts: QEMU's or the one in Rust (default: auto, QEMU's: it passes on locks)",
    )
    add(
        "--host-events",
        **FLAG,
        help="tell inotify in containers of changes that the host makes in bind mounts (default: true)",
    )
    add(
        "--default-volume-type",
        choices=_CHOICES["default_volume_type"],
        help="how volumes are kept: directory (several containers at once) or image (faster, one machine at a time)",
    )
    add(
        "--default-memory",
        type=int,
        dest="default_memory_mib",
        metavar="MIB",
        help="size of a container's machine without -m (default: 256)",
    )
    add(
        "--boot-timeout",
        type=int,
        dest="boot_timeout_s",
        metavar="SECONDS",
        help="how long a machine may take to start (default: 60)",
    )
    add(
        "--templates",
        **FLAG,
        help="start machines as copies of one that has booted (default: true)",
    )
    add(
        "--pool-memory",
        type=int,
        dest="pool_memory_mib",
        metavar="MIB",
        help="memory for machines that wait for a container; 0: none waits (default: 256)",
    )
    engine_options.add_engines(result)
    add("--assets", type=Path, metavar="DIR", help="folder with the guest's vmlinux and initrd")
    add(
        "--kernel",
        type=Path,
        metavar="FILE",
        help="what machines boot in place of the assets' vmlinux",
    )


def _add_networks(result: argparse.ArgumentParser) -> None:
    """The options of labels and networks."""
    add = result.add_argument
    add("--label", action="append", dest="labels", metavar="KEY=VALUE", help="label in info")
    add(
        "--default-address-pool",
        action="append",
        dest="default_address_pools",
        metavar="base=NET,size=BITS",
        help="where networks without a subnet get one (repeatable)",
    )
    add(
        "--host-services",
        choices=_CHOICES["host_services"],
        help="whose containers may speak to services of the host (default: asked, by a network's option "
        "hyper.host_services or by --add-host NAME:host-gateway)",
    )


def read(argv: Sequence[str] | None = None) -> tuple[Config, int | None]:
    """The configuration made from ``argv`` and the file it names, and the ready descriptor.

    Raises:
        InvalidRequest: the file is unreadable or has an unknown key.
    """
    options = parser().parse_args(argv)
    check_options(options)
    config = defaults()
    moved = config.hosts
    if options.config_file is not None:
        config = config.with_settings(from_file(options.config_file))
    names = {item.name for item in fields(Config)}
    given = {key: _typed(key, value) for key, value in vars(options).items() if key in names}
    if options.debug:
        given["log_level"] = "debug"
    config = config.with_settings(given)
    _check_numbers(config)
    if config.hosts == moved and options.exec_root is not None:
        config = config.with_settings({"hosts": (f"unix://{config.exec_root}/hyper.sock",)})
    return config, options.ready_fd


def _check_numbers(config: Config) -> None:
    if config.default_memory_mib < MINIMUM_MEMORY_MIB:
        raise InvalidRequest(
            f"default memory {config.default_memory_mib} MiB: a machine needs {MINIMUM_MEMORY_MIB} MiB"
        )
    if config.boot_timeout_s < 1:
        raise InvalidRequest("the boot timeout must be at least one second")
    if config.pool_memory_mib < 0:
        raise InvalidRequest("the pool's memory cannot be less than nothing")


def from_file(path: Path) -> dict[str, Any]:
    """The settings a configuration file makes, by field name.

    Raises:
        InvalidRequest: not readable, not a JSON object, or a value of the wrong type.
    """
    try:
        parsed = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise InvalidRequest(
            f"cannot read the configuration file {path}: {error.strerror}"
        ) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"the configuration file {path} is no JSON object: {error}") from None
    names = {item.name: item.name.replace("_", "-") for item in fields(Config)}
    names |= {name: key for key, name in _KEYS.items()}
    known = {key: name for name, key in names.items()}
    settings: dict[str, Any] = {}
    for key, value in parsed.items():
        if key == "debug":
            if value:
                settings["log_level"] = "debug"
            continue
        if key == PROXIES:
            settings |= proxies_of(value)
            continue
        if check_key(key, value):
            continue
        if key not in known:
            raise InvalidRequest(
                f"the configuration file {path} has an unknown key: {key}",
                hint="known keys: " + ", ".join(sorted([*known, "debug", PROXIES])),
            )
        name = known[key]
        settings[name] = _typed(name, _checked(key, name, value))
    return settings


def _checked(key: str, name: str, value: Any) -> Any:
    if name == "default_address_pools" and isinstance(value, list):
        # As in dockerd's file: [{"base": "10.10.0.0/16", "size": 24}].
        value = [
            ",".join(f"{part}={item[part]}" for part in item) if isinstance(item, dict) else item
            for item in value
        ]
    expected: Any = bool | str | list[str] if name == "local_engines" else json_type(name)
    for kind, names in ((list[str], _LISTS), (int, _NUMBERS), (bool, _FLAGS)):
        expected = kind if name in names else expected
    try:
        converted = from_json(name, msgspec.convert(value, expected))
        if name == "local_engines":
            converted = engine_options.from_words(converted)
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidRequest(f"configuration key {key}: {error}") from None
    if name in _CHOICES and converted not in _CHOICES[name]:
        raise InvalidRequest(f"configuration key {key}: one of {', '.join(_CHOICES[name])}")
    return converted


def _typed(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _PATHS:
        return Path(os.path.abspath(value))  # noqa: PTH100 (does not resolve links: people know their names)
    if name == "registry_ca":
        return tuple(Path(os.path.abspath(item)) for item in value)  # noqa: PTH100 (as above)
    if name == "log_opts":
        return dict(value)
    return tuple(value) if name in _LISTS or isinstance(value, list) else value
