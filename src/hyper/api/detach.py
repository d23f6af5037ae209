"""Detach keys: the sequence typed into a terminal that leaves the program running. Pure."""

from __future__ import annotations

from typing import Final

from hyper.errors import InvalidRequest

DEFAULT: Final = "ctrl-p,ctrl-q"
_SPECIAL: Final = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_keys(text: str) -> bytes:
    """The bytes of ``ctrl-p,ctrl-q`` or ``a,b``; empty text is the default.

    Raises:
        InvalidRequest: not a key.
    """
    return bytes(_key(name) for name in (text or DEFAULT).split(","))


def _key(name: str) -> int:
    if len(name) == 1 and name.isascii():
        return ord(name)
    control = name.removeprefix("ctrl-")
    if control != name and len(control) == 1 and control.isascii():
        if "a" <= control.lower() <= "z":
            return ord(control.lower()) - ord("a") + 1
        if control in _SPECIAL:
            return _SPECIAL[control]
    raise InvalidRequest(f"invalid detach keys: unknown character: '{name}'")


class EscapeFilter:
    """Watches what is typed. ``feed`` returns what is to be passed on, and whether the sequence came."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Held back: the keys of a sequence that has begun; passed on when it does not go on."""
        out = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self._matched = 0
                    return bytes(out), True
                continue
            out += self._keys[: self._matched]
            self._matched = 0
            if byte == self._keys[0]:
                self._matched = 1
                if len(self._keys) == 1:
                    self._matched = 0
                    return bytes(out), True
            else:
                out.append(byte)
        return bytes(out), False
