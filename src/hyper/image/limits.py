"""Limits of the image layer, all in one place. Registries and images come from outside."""

from __future__ import annotations

from hyper.units import GIB, KIB, MIB

#: Longest blob of a layer, compressed, and longest tar after unpacking (stops decompression bombs).
MAX_LAYER_BLOB_BYTES = 64 * GIB
MAX_LAYER_TAR_BYTES = 128 * GIB
#: Most entries of a layer. A million take 550 MB and 20 s in the converter.
MAX_LAYER_ENTRIES = 1_000_000
#: Linux's own limits: a name, a path, a symbolic link's target.
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4095
#: Extended attributes of one entry, together (Linux: 64 KiB a value).
MAX_XATTR_BYTES = 256 * KIB
#: One PAX or GNU long-name header.
MAX_EXTENDED_HEADER_BYTES = 1 * MIB
#: Largest window a zstd frame may ask memory for (zstd's own --long=27).
MAX_ZSTD_WINDOW_BYTES = 128 * MIB
#: Address space of a converter process: a backstop only.
CONVERTER_MEMORY_BYTES = 2 * GIB
#: Fragments of one sparse file.
MAX_SPARSE_FRAGMENTS = 100_000

#: Longest archive of images, unpacked, and most files in it.
MAX_ARCHIVE_BYTES = 256 * GIB
MAX_ARCHIVE_FILES = 20_000

#: What images leave free on their disk for machines, which stand still when it is full: a part of it, at most so much.
RESERVE_PART = 20
MAX_RESERVE_BYTES = 1 * GIB

#: Registry answers that are no blobs: tokens, errors.
MAX_ANSWER_BYTES = 1 * MIB
#: Tags of a repository that are pulled at once, and answers that list them.
MAX_TAGS = 1000
MAX_TAG_PAGES = 100
#: Redirects followed for one request.
MAX_REDIRECTS = 5
#: Seconds: to connect, until the headers come, and between two pieces of a body. A pull may last for
#: hours; it may not stand still.
CONNECT_TIMEOUT_S = 15.0
ANSWER_TIMEOUT_S = 30.0
STALL_TIMEOUT_S = 30.0
#: Until the first byte of an image comes from a container engine of this host: it writes all of it to a disk first.
EXPORT_TIMEOUT_S = 600.0
#: Attempts per request, first included; the pause doubles from the first to the longest.
MAX_ATTEMPTS = 5
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
#: Seconds that one request is held back, in all, where a registry says that we ask too often (429).
RATE_LIMIT_WAIT_S = 300.0
#: Layers of one pull under way at the same time.
PARALLEL_LAYERS = 2
