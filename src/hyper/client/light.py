"""Light ways to sockets, signals and JSON: the C parts of the standard library without its Python parts.

``socket``, ``signal`` and ``json`` import ``enum``, ``re`` and what these import: half of all the time that a command
takes to start. Those modules are made of the parts used here; with a Python that lacks these parts, they are used.
tests/unit/test_cli_imports.py holds ``hyper run`` to what it may import.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from _socket import MSG_NOSIGNAL, SHUT_WR
    from json import dumps, loads
    from typing import Any
else:
    try:
        import _socket as socket
        from _json import encode_basestring_ascii, make_encoder, make_scanner
        from _socket import MSG_NOSIGNAL, SHUT_WR
    except ImportError:
        import socket
        from json import dumps, loads
        from socket import MSG_NOSIGNAL, SHUT_WR

        make_encoder = None


class Stream(socket.socket):
    """A unix stream socket that a ``with`` closes."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


if not TYPE_CHECKING and make_encoder is not None:

    class _Decoding:
        """Settings that the scanner reads: JSON as ``json.loads`` has it by default."""

        strict = True
        object_hook = object_pairs_hook = None
        parse_float, parse_int, parse_constant = float, int, float

    _scan = make_scanner(_Decoding)
    _SPACE = " \t\n\r"

    def dumps(value: Any) -> str:
        """``value`` as JSON, as ``json.dumps`` has it."""
        encode = make_encoder(
            {}, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, True
        )
        return "".join(encode(value, 0))

    def loads(data: bytes | str) -> Any:
        """The value of a JSON text.

        Raises:
            ValueError: the text is no JSON.
        """
        try:
            text = data if isinstance(data, str) else data.decode()
            start = len(text) - len(text.lstrip(_SPACE))
            value, end = _scan(text, start)
            if not text[end:].strip(_SPACE):
                return value
        except (StopIteration, ValueError, SystemError):
            pass  # the scanner leaves it to its package to say what is wrong
        import json

        return json.loads(data)

    def _refuse(value: object) -> Any:
        raise TypeError(f"{type(value).__name__} has no form in JSON")


__all__ = ["MSG_NOSIGNAL", "SHUT_WR", "Stream", "dumps", "loads"]
