"""A real containerd with private roots, for the archives that it writes: Docker's containerd image store has no other
writer.

Nothing of it outlives a call: no process, no mount, no file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools import imagebuilder

from tests.support.serving import serving

_CONFIG = """
version = 2
disabled_plugins = [
    "io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart",
]
"""


def why_not() -> str | None:
    """Why no containerd can be started here; None if one can."""
    if os.getuid() != 0:
        return "containerd needs root"
    missing = [name for name in ("containerd", "ctr") if shutil.which(name) is None]
    return f"{missing[0]} is not installed" if missing else None


def exported(top: bytes, blobs: dict[str, bytes], platform: str) -> bytes:
    """What it exports of ``top`` (a manifest or an index) after it was given all of it."""
    folder = Path(tempfile.mkdtemp(prefix="hyper-containerd-"))
    try:
        imagebuilder.write_layout(folder / "layout", top, blobs)
        subprocess.run(
            ["tar", "-C", folder / "layout", "-cf", folder / "in.tar", "."],
            check=True,
        )
        (folder / "config.toml").write_text(_CONFIG)
        argv = ["containerd", "--config", f"{folder}/config.toml", "--root", f"{folder}/root"]
        argv += ["--state", f"{folder}/state", "--address", f"{folder}/socket"]
        with serving(folder, argv, os.environ):
            ctr = ["ctr", "--address", f"{folder}/socket", "image"]
            name = ["--base-name", "docker.io/library/app", "--no-unpack"]
            for words in (
                ["import", *name, f"{folder}/in.tar"],
                [
                    "export",
                    "--platform",
                    platform,
                    f"{folder}/out.tar",
                    "docker.io/library/app:image",
                ],
            ):
                subprocess.run([*ctr, *words], check=True, capture_output=True)
        return (folder / "out.tar").read_bytes()
    finally:
        shutil.rmtree(folder)
