"""The image and the programs of the examples in docs/images.md."""

from __future__ import annotations

import sys
from pathlib import Path

from tools import imagebuilder
from tools.imagebuilder import Image, file

from tests.support import page

PAGE = page.DOCS / "images.md"
BIN = Path(sys.prefix) / "bin"
_NGINX = """#!/bin/sh
[ "$1" = -v ] && echo nginx version: nginx/1.27.3 && exit
exec sleep 6000
"""


def nginx() -> Image:
    """What the tests call nginx."""
    layers = [imagebuilder.busybox_items(), [file("bin/nginx", _NGINX, mode=0o755)]]
    config = {**imagebuilder.BUSYBOX_CONFIG, "Cmd": ["nginx", "-g", "daemon off;"]}
    return imagebuilder.image(layers, config)
