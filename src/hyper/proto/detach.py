"""The keys that leave a container running: ``ctrl-p,ctrl-q`` unless told otherwise. Pure."""

from __future__ import annotations

DEFAULT_KEYS = "ctrl-p,ctrl-q"
_SPECIAL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_keys(text: str) -> bytes:
    """The bytes of a sequence like ``ctrl-p,ctrl-q`` or ``a,b``; b"" for "" (no detaching).

    Raises:
        ValueError: something that is no key.
    """
    return bytes(_parse_key(key) for key in text.split(",")) if text else b""


def _parse_key(key: str) -> int:
    if len(key) == 1 and key.isascii():
        return ord(key)
    letter = key.removeprefix("ctrl-")
    if letter == key or len(letter) != 1 or not letter.isascii():
        raise ValueError(f"unknown key {key!r}: use a character or ctrl-X")
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if "a" <= letter.lower() <= "z":
        return ord(letter.lower()) - ord("a") + 1
    raise ValueError(f"unknown key {key!r}: X of ctrl-X is a letter or one of @ [ \\ ] ^ _")


class DetachKeys:
    """Watch for one sequence in typed bytes. A beginning of the sequence is held back until its match is decided."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """The bytes of ``typed`` (and of those held back) to pass on, and whether the sequence is complete.

        Bytes that follow a complete sequence are dropped.
        """
        if not self._keys:
            return typed, False
        out = bytearray()
        for byte in typed:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self._matched = 0
                    return bytes(out), True
                continue
            self._fall_back(byte, out)
        return bytes(out), False

    def _fall_back(self, byte: int, out: bytearray) -> None:
        """``byte`` breaks the match: keep the longest end of what was seen that may still begin one."""
        seen = self._keys[: self._matched] + bytes([byte])
        for length in range(min(len(seen), len(self._keys) - 1), -1, -1):
            if seen.endswith(self._keys[:length]):
                out += seen[: len(seen) - length]
                self._matched = length
                return
