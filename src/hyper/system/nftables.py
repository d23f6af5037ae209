"""nftables through its own library, in this process: a change takes a millisecond, and nft(8) as a process twenty.

(That process waits, as it ends, for the kernel to have let go of everything it touched.) One context serves the whole
process, one call at a time: the library waits for its socket with select(2), which ends a process whose descriptor has
a number of FD_SETSIZE or more, and a daemon of many machines has nothing but such numbers to give.

Source: libnftables(3), select(2).
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import threading
from typing import Any, Final

from hyper.errors import HyperError

_LIBRARY: Final = "libnftables.so.1"
#: nftables/libnftables.h.
_DEFAULT: Final = 0
_OUTPUT_JSON: Final = 1 << 4
_FD_SETSIZE: Final = 1024


class NftFailed(HyperError):
    """A failure of the packet filter: kernel or library refused a command, or there is no library."""


@functools.cache
def _library() -> Any:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise NftFailed(
            f"cannot use nftables: {error}", hint="apt-get install nftables brings the library"
        ) from error
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("nft_ctx_new", pointer, [ctypes.c_uint32]),
        ("nft_ctx_free", None, [pointer]),
        ("nft_ctx_buffer_output", ctypes.c_int, [pointer]),
        ("nft_ctx_buffer_error", ctypes.c_int, [pointer]),
        ("nft_ctx_get_output_buffer", text, [pointer]),
        ("nft_ctx_get_error_buffer", text, [pointer]),
        ("nft_ctx_output_set_flags", None, [pointer, ctypes.c_uint]),
        ("nft_run_cmd_from_buffer", ctypes.c_int, [pointer, text]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class _Context:
    """The library's context, with which commands are run. Any thread may; one at a time does."""

    def __init__(self) -> None:
        self._library = _library()
        self._lock = threading.Lock()
        _check_descriptors()
        self._context = self._library.nft_ctx_new(_DEFAULT)
        if (
            not self._context
            or self._library.nft_ctx_buffer_output(self._context)
            or self._library.nft_ctx_buffer_error(self._context)
        ):
            raise NftFailed("cannot use nftables: out of memory")

    def run(self, commands: str, *, json: bool) -> str:
        """The library's answer to ``commands``. Raises: NftFailed."""
        library, context = self._library, self._context
        with self._lock:
            library.nft_ctx_output_set_flags(context, _OUTPUT_JSON if json else 0)
            failed = library.nft_run_cmd_from_buffer(context, commands.encode())
            said = library.nft_ctx_get_error_buffer(context).decode(errors="replace").strip()
            answer = str(library.nft_ctx_get_output_buffer(context).decode(errors="replace"))
        if failed:
            raise NftFailed(f"nftables refused: {said.partition(chr(10))[0] or 'no reason given'}")
        return answer


def _check_descriptors() -> None:
    """The next descriptor's number is one that select(2) can wait for. Raises: NftFailed."""
    probe = os.open("/dev/null", os.O_RDONLY)
    os.close(probe)
    if probe >= _FD_SETSIZE:
        raise NftFailed("cannot use nftables: too many files were open before it was first used")


@functools.cache
def _shared() -> _Context:
    return _Context()


def _run(commands: str, *, json: bool) -> str:
    return _shared().run(commands, json=json)


async def apply(commands: str) -> None:
    """The commands (as in nft(8)'s files) were all done, in one transaction, or none.

    Raises:
        NftFailed: the kernel refused one (no right, no support, not as it says there), or the library is missing.
    """
    await asyncio.to_thread(_run, commands, json=False)


async def listing(command: str) -> str:
    """The library's answer to a command, as JSON (libnftables-json(5)). Raises: NftFailed."""
    return await asyncio.to_thread(_run, command, json=True)
