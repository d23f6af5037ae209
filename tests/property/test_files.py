"""Tars that come in pieces, and the records they become: cut anywhere, compressed anyhow, broken anywhere."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from hyper.engine.inspect.tar import TAR_END, agent_entry, tar_header, tar_padding
from hyper.errors import InvalidRequest, ProtocolError
from hyper.image.tarfeed import TarFeed
from hyper.image.tarstream import BadLayer, Entry
from hyper.proto.limits import MAX_RECORD
from hyper.proto.record import (
    DIRECTORY,
    END_RECORD,
    FILE,
    HARD_LINK,
    LINK,
    Content,
    End,
    FileEntry,
    RecordDecoder,
    Xattr,
    is_inner,
)

NAMES = st.text("ab/.é", min_size=1, max_size=150).map(str.encode).filter(is_inner)
U32 = st.integers(0, 2**32 - 2)


@st.composite
def entries(draw: st.DrawFn) -> tuple[FileEntry, bytes]:
    """A file of some kind and its content."""
    kind = draw(st.sampled_from([FILE, DIRECTORY, LINK, HARD_LINK]))
    content = draw(st.binary(max_size=3000)) if kind == FILE else b""
    link = draw(NAMES) if kind in (LINK, HARD_LINK) else b""
    values = st.builds(Xattr, st.just(b"user.a"), st.binary(max_size=50))
    entry = FileEntry(
        path=draw(NAMES),
        type=kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(U32),
        gid=draw(U32),
        mtime=draw(U32),
        size=len(content),
        link=link,
        xattrs=tuple(draw(st.lists(values, max_size=1))),
    )
    return entry, content


TREES = st.lists(entries(), max_size=6)
PACKERS: list[Callable[[bytes], bytes]] = [
    lambda data: data,
    gzip.compress,
    bz2.compress,
    lzma.compress,
    zstandard.ZstdCompressor().compress,
    lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
]


def tar_of(tree: list[tuple[FileEntry, bytes]]) -> bytes:
    """The tar the daemon would send of ``tree``."""
    pieces = [tar_header(entry, b"") + data + tar_padding(entry) for entry, data in tree]
    return b"".join(pieces) + TAR_END


def pieces_of(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """``data`` cut at random places."""
    start = 0
    for cut in sorted(cut % (len(data) + 1) for cut in cuts):
        yield data[start:cut]
        start = cut
    yield data[start:]


def fed(pieces: Iterator[bytes]) -> list[tuple[FileEntry, bytes]]:
    """What the feed makes of them."""
    feed, found = TarFeed(), list[tuple[FileEntry, bytearray]]()

    def take(item: Entry | bytes) -> None:
        if isinstance(item, Entry):
            found.append((agent_entry(item), bytearray()))
        else:
            found[-1][1].extend(item)

    for piece in pieces:
        for item in feed.feed(piece):
            take(item)
    for item in feed.close():
        take(item)
    assert feed.done
    return [(entry, bytes(data)) for entry, data in found]


@given(TREES, st.lists(st.integers(0, 1 << 16), max_size=20), st.sampled_from(PACKERS))
def test_a_tar_is_read_as_it_was_written(
    tree: list[tuple[FileEntry, bytes]], cuts: list[int], pack: Callable[[bytes], bytes]
) -> None:
    """In whatever pieces it comes and however it is packed; what follows its end is ignored."""
    assert fed(pieces_of(pack(tar_of(tree)), cuts)) == tree
    with tarfile.open(fileobj=io.BytesIO(tar_of(tree))) as tar:
        assert len(tar.getmembers()) == len(tree)


@given(TREES, st.integers(1, 1 << 16), st.sampled_from(PACKERS))
def test_a_tar_that_is_cut_is_refused_or_ends_cleanly(
    tree: list[tuple[FileEntry, bytes]], cut: int, pack: Callable[[bytes], bytes]
) -> None:
    """Never more than there was, never another error."""
    data = pack(tar_of(tree))
    try:
        found = fed(iter([data[: cut % len(data)]]))
    except BadLayer:
        return
    assert found == tree[: len(found)]


@given(st.binary(max_size=3000))
def test_noise_is_refused(data: bytes) -> None:
    """Whatever a client sends is a tar, or a client's error."""
    try:
        fed(iter([data]))
    except InvalidRequest:
        return


@given(TREES, st.lists(st.integers(0, 1 << 16), max_size=20))
def test_records_are_read_as_they_were_written(
    tree: list[tuple[FileEntry, bytes]], cuts: list[int]
) -> None:
    """In whatever pieces they come."""
    data = b"".join(entry.record() + content for entry, content in tree) + END_RECORD
    decoder = RecordDecoder()
    seen = [item for piece in pieces_of(data, cuts) for item in decoder.feed(piece)]
    assert decoder.ended
    assert [item for item in seen if isinstance(item, FileEntry)] == [item for item, _ in tree]
    contents = b"".join(item.data for item in seen if isinstance(item, Content))
    assert contents == b"".join(content for _, content in tree)
    assert seen[-1] == End()


@given(st.binary(max_size=400))
def test_a_builtin_that_babbles_is_a_protocol_error(data: bytes) -> None:
    """The guest's bytes are hostile: no other exception, no endless buffer."""
    decoder = RecordDecoder()
    try:
        for _ in decoder.feed(data):
            pass
    except ProtocolError:
        return


def test_a_record_longer_than_allowed_is_refused_at_once() -> None:
    """Not collected first."""
    with pytest.raises(ProtocolError):
        list(RecordDecoder().feed(b"\x02" + (MAX_RECORD + 1).to_bytes(4, "little")))


@pytest.mark.parametrize("pax", [False, True])
def test_sparse_files_come_with_their_holes(pax: bool) -> None:
    """GNU's old format by hand, PAX 0.1 by its header."""
    body = b"x" * 512
    if pax:
        info = tarfile.TarInfo("sparse")
        info.size = 512
        info.pax_headers = {"GNU.sparse.map": "1024,512", "GNU.sparse.size": "4096"}
        head = info.tobuf(format=tarfile.PAX_FORMAT)
    else:
        info = tarfile.TarInfo("sparse")
        info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
        block = bytearray(info.tobuf(format=tarfile.GNU_FORMAT))
        block[386:410] = b"%011o\0%011o\0" % (1024, 512)
        block[483:495] = b"%011o\0" % 4096
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        head = bytes(block)
    ((entry, content),) = fed(pieces_of(head + body + TAR_END, [100, 700, 1100]))
    assert entry.size == 4096
    assert content == bytes(1024) + body + bytes(4096 - 1536)
