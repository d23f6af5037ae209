#!/usr/bin/env python3
"""Write a squashfs with one program, /exercise, as any image's layer would be; the layer of pods' first containers, too.

usage: make-exercise.py PROGRAM OUTPUT

The same input gives the same bytes.
"""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

#: MAX_VOLUMES of src/hyper/engine/spec/pod_spec.py.
PLACES = 64


def main() -> None:
    program, output = map(Path, sys.argv[1:])
    buffer = io.BytesIO()
    # Where a pod's first container, which runs this program, has the pod's volumes: those that are made with the pod
    # are anybody's in it, and a volume begins as what is at its place.
    places = [
        (name, tarfile.DIRTYPE, 0o777, b"")
        for name in ("volumes", *(f"volumes/{number}" for number in range(PLACES)))
    ]
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, mode, data in (
            ("etc", tarfile.DIRTYPE, 0o755, b""),
            ("etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/root:/bin/sh\n"),
            ("etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\n"),
            ("root", tarfile.DIRTYPE, 0o700, b""),
            ("exercise", tarfile.REGTYPE, 0o755, program.read_bytes()),
            *places,
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
