#!/usr/bin/env python3
"""Write the initial file system: /init and what it needs before it can mount anything.

usage: make-cpio.py INIT OUTPUT

The same input gives the same bytes. Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import stat
import sys
from pathlib import Path


def entry(
    number: int, name: str, mode: int, data: bytes = b"", rdev: tuple[int, int] = (0, 0)
) -> bytes:
    """Return one newc record; name and data are padded to four bytes."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return pad(head) + pad(data)


def pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def main() -> None:
    init, output = map(Path, sys.argv[1:])
    records = [(name, stat.S_IFDIR | 0o755) for name in ("dev", "proc", "sys", "run", "cgroup")]
    parts = [entry(i + 1, name, mode) for i, (name, mode) in enumerate(records)]
    # The kernel opens it as PID 1's descriptors 0 to 2.
    parts.append(entry(10, "dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1)))
    parts.append(entry(11, "init", stat.S_IFREG | 0o755, init.read_bytes()))
    parts.append(entry(0, "TRAILER!!!", 0))
    output.write_bytes(b"".join(parts))


if __name__ == "__main__":
    main()
