"""The Docker Engine API, served over HTTP."""

from typing import Final

#: The versions spoken. Older and newer clients are told so.
API_VERSION: Final = "1.47"
MIN_API_VERSION: Final = "1.24"

#: What keeps images' layers, as `docker info` and inspect name it.
STORAGE_DRIVER: Final = "squashfs"
