"""nftables through its own library, in this process: a change takes a millisecond, and nft(8) as a process twenty.

(That process waits, as it ends, for the kernel to have let go of everything it touched.) Each call has a context of its
own: nothing is shared, so any thread may call.

Source: libnftables(3).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
from collections.abc import Iterator
from typing import Any, Final

from hyper.errors import HyperError

_LIBRARY: Final = "libnftables.so.1"
#: nftables/libnftables.h.
_DEFAULT: Final = 0
_OUTPUT_JSON: Final = 1 << 4


class NftFailed(HyperError):
    """The kernel or the library refused a command, or there is no library."""


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


@contextlib.contextmanager
def _context(library: Any) -> Iterator[Any]:
    made = library.nft_ctx_new(_DEFAULT)
    if not made:
        raise NftFailed("cannot use nftables: out of memory")
    try:
        if library.nft_ctx_buffer_output(made) or library.nft_ctx_buffer_error(made):
            raise NftFailed("cannot use nftables: out of memory")
        yield made
    finally:
        library.nft_ctx_free(made)


def _run(commands: str, *, json: bool) -> str:
    library = _library()
    with _context(library) as context:
        if json:
            library.nft_ctx_output_set_flags(context, _OUTPUT_JSON)
        failed = library.nft_run_cmd_from_buffer(context, commands.encode())
        if failed:
            said = library.nft_ctx_get_error_buffer(context).decode(errors="replace").strip()
            raise NftFailed(f"nftables refused: {said.partition(chr(10))[0] or 'no reason given'}")
        return str(library.nft_ctx_get_output_buffer(context).decode(errors="replace"))


async def apply(commands: str) -> None:
    """All of ``commands`` (as in nft(8)'s files) were done, in one transaction, or none.

    Raises:
        NftFailed: the kernel refused one (no right, no support, not as it says there), or the library is missing.
    """
    await asyncio.to_thread(_run, commands, json=False)


async def listing(command: str) -> str:
    """What a command answers, as JSON (libnftables-json(5)). Raises: NftFailed."""
    return await asyncio.to_thread(_run, command, json=True)
