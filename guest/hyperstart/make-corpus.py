#!/usr/bin/env python3
"""Write the fuzzer's first inputs from the byte vectors.

usage: make-corpus.py VECTORS OUTPUT
"""

import struct
import sys
from pathlib import Path


def expand(text: str) -> bytes:
    """Return the bytes of terms joined by +, as tests/vectors/README.md says."""
    parts = []
    for term in () if text == "-" else text.split("+"):
        digits, _, count = term.partition("*")
        parts.append(bytes.fromhex(digits) * int(count or 1))
    return b"".join(parts)


def main() -> None:
    vectors, output = map(Path, sys.argv[1:])
    inputs: list[bytes] = []
    for line in (vectors / "frames.txt").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "case":
            inputs.append(b"\0")
        elif word == "input":
            inputs[-1] += expand(rest)
    for line in (vectors / "messages.txt").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "body":
            body = expand(rest)
            kind, stream = (1, 0) if body.startswith(bytes.fromhex("48595052")) else (2, 1)
            inputs.append(
                b"\x03" + struct.pack("<BBHII", kind, 0, 0, stream, len(body)) + body + b"\xce"
            )
    for line in (vectors / "sources.txt").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "source":
            flags, _, text = rest.partition(" ")
            inputs.append(b"\x04" + struct.pack("<I", int(flags)) + text[1:-1].encode())
    records = b""
    for line in (vectors / "records.txt").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "body":
            body = expand(rest)
            inputs.append(b"\x02" + struct.pack("<BI", 2, len(body)) + body)
            records += inputs[-1][1:] if len(body) < 200 else b""
    inputs.append(b"\x02" + records + struct.pack("<BI", 4, 0))
    inputs.append(b"\x01www:x:33:33::/srv:\nroot:x:0:0::/:\nvideo:x:44:www\nwww:x:33:\n")
    for number, data in enumerate(inputs):
        (output / f"vector-{number:03}").write_bytes(data)


if __name__ == "__main__":
    main()
