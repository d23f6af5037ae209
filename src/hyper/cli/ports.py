"""Port specifications of ``-p`` and ``--expose``, in all of Docker's forms."""

from __future__ import annotations

PROTOCOLS = ("tcp", "udp", "sctp")
_FORMS = "use [[IP:]HOST_PORT:]CONTAINER_PORT[/tcp|udp], ports or ranges like 8000-8010"


class Published:
    """The ports that ``-p`` values add up to: the API's ExposedPorts and PortBindings."""

    def __init__(self) -> None:
        self.exposed: dict[str, dict[str, str]] = {}
        self.bindings: dict[str, list[dict[str, str]]] = {}

    def expose(self, spec: str) -> None:
        """Add an ``--expose`` value: ``80``, ``80/udp``, ``7000-7010``.

        Raises:
            ValueError: not a port.
        """
        ports, protocol = _split_protocol(spec)
        first, last = _port_range(ports)
        self.exposed |= {f"{port}/{protocol}": {} for port in range(first, last + 1)}

    def publish(self, spec: str) -> None:
        """Add a ``-p`` value. The name of a port of the image is left to the daemon, which knows the image.

        Raises:
            ValueError: not a port specification, or ranges of different lengths.
        """
        rest, protocol = _split_protocol(spec)
        ip, host, container = _split_parts(rest)
        if is_port_name(host) and not is_port_name(container):
            host, container = container, host  # NAME:HOST_PORT, as rkt has it
        if is_port_name(container) and ":" in rest and "/" not in spec:
            binding = {"HostIp": ip, "HostPort": _host_port(host, 0, 1)}
            self.bindings.setdefault(container, []).append(binding)
            return
        first, last = _port_range(container)
        for index, port in enumerate(range(first, last + 1)):
            key = f"{port}/{protocol}"
            self.exposed[key] = {}
            binding = {"HostIp": ip, "HostPort": _host_port(host, index, last - first + 1)}
            self.bindings.setdefault(key, []).append(binding)


def is_port_name(text: str) -> bool:
    """Whether ``text`` can be the name that an image gives to a port."""
    return text.isascii() and text.islower() and all(word.isalnum() for word in text.split("-"))


def _split_protocol(spec: str) -> tuple[str, str]:
    ports, slash, protocol = spec.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}: use tcp, udp or sctp")
    return ports, protocol


def _split_parts(spec: str) -> tuple[str, str, str]:
    """Host IP, host port(s), container port(s); the first two may be "".

    >>> _split_parts("[::1]:8080:80")
    ('::1', '8080', '80')
    """
    left, _, container = spec.rpartition(":")
    ip, _, host = left.rpartition(":")
    if ip.startswith("[") and ip.endswith("]"):
        ip = ip[1:-1]
    if ip:
        _check_ip(ip)
    return ip, host, container


def _check_ip(text: str) -> None:
    import socket

    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        socket.inet_pton(family, text)
    except OSError:
        raise ValueError(f"invalid IP address {text!r}; {_FORMS}") from None


def _host_port(host: str, index: int, count: int) -> str:
    if not host:
        return ""
    first, last = _port_range(host, least=0)
    if last - first + 1 == count:
        return str(first + index)
    if count == 1:
        return f"{first}-{last}"  # the daemon picks a free one of them
    raise ValueError(f"the ranges {host} and the container's are of different lengths")


def _port_range(text: str, *, least: int = 1) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = (first, last) if dash else (first, first)
    if not all(n.isascii() and n.isdecimal() and least <= int(n) <= 65535 for n in numbers):
        raise ValueError(f"invalid port {text!r}; {_FORMS}")
    if int(numbers[0]) > int(numbers[1]):
        raise ValueError(f"invalid range {text!r}: it ends before it begins")
    return int(numbers[0]), int(numbers[1])
