"""Words of mount -o: flags of mount(2), told from options of the file system."""

from __future__ import annotations

from typing import Final

#: linux/mount.h.
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
#: Of file systems that only hold data.
SAFE: Final = NOSUID | NODEV | NOEXEC
_SET: Final = {
    "ro": RDONLY,
    "nosuid": NOSUID,
    "nodev": NODEV,
    "noexec": NOEXEC,
    "sync": 16,
    "noatime": 1024,
}
_CLEAR: Final = {
    "rw": "ro",
    "suid": "nosuid",
    "dev": "nodev",
    "exec": "noexec",
    "async": "sync",
    "atime": "noatime",
}


def parse(options: str, *, flags: int) -> tuple[int, list[str]]:
    """The mount flags ``flags`` as the words of ``options`` change them, in order; and the words that are no flags."""
    own = []
    for option in filter(None, options.split(",")):
        if option in _SET:
            flags |= _SET[option]
        elif option in _CLEAR:
            flags &= ~_SET[_CLEAR[option]]
        else:
            own.append(option)
    return flags, own
