#!/usr/bin/env python3
"""Write a squashfs with one program, /exercise, as any image's layer would be.

usage: make-exercise.py PROGRAM OUTPUT

The same input gives the same bytes.
"""

import io
import subprocess
import sys
import tarfile
from pathlib import Path


def main() -> None:
    program, output = map(Path, sys.argv[1:])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, mode, data in (
            ("etc", tarfile.DIRTYPE, 0o755, b""),
            ("etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/root:/bin/sh\n"),
            ("etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\n"),
            ("root", tarfile.DIRTYPE, 0o700, b""),
            ("exercise", tarfile.REGTYPE, 0o755, program.read_bytes()),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.size = kind, mode, len(data)
            tar.addfile(member, io.BytesIO(data))
    output.unlink(missing_ok=True)
    subprocess.run(
        ["tar2sqfs", "-q", "-f", "-c", "lz4", str(output)], input=buffer.getvalue(), check=True
    )


if __name__ == "__main__":
    main()
