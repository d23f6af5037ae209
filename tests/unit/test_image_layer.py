"""Hostile and odd layers: what the converter makes of them, as a plain list of what tar2sqfs would get."""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import Any

import pytest
from tools.imagebuilder import (
    Item,
    compress,
    directory,
    file,
    hardlink,
    opaque,
    symlink,
    tar,
    whiteout,
)

from hyper.errors import InvalidRequest
from hyper.image import worker
from hyper.image.convert import convert
from hyper.image.tarstream import BadLayer
from hyper.image.worker import Again, Facts


class _Silence(worker.Report):
    def __init__(self) -> None:
        super().__init__(-1)

    def progress(self, position: int) -> None:
        assert position >= 0


def _convert(data: bytes, **options: Any) -> tuple[Facts, dict[str, tarfile.TarInfo], bytes]:
    """Facts, members by name (in order) and the tar that the converter makes of ``data``."""
    for careful in (False, True):
        output = io.BytesIO()
        try:
            facts = convert(io.BytesIO(data), output, _Silence(), careful=careful, **options)
        except Again:
            continue
        assert facts.tar_bytes > 0
        with tarfile.open(fileobj=io.BytesIO(output.getvalue())) as archive:
            members = archive.getmembers()
        names = [member.name for member in members]
        assert len(set(names)) == len(names), "every name once"
        return facts, dict(zip(names, members, strict=True)), output.getvalue()
    raise AssertionError("asked twice to be careful")


def _members(*items: Item) -> dict[str, tarfile.TarInfo]:
    return _convert(tar(items))[1]


def _content(*items: Item) -> dict[str, bytes]:
    """The content of every regular file."""
    _, members, data = _convert(tar(items))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {
            name: archive.extractfile(member) for name, member in members.items() if member.isreg()
        }
    return {name: stream.read() for name, stream in found.items() if stream is not None}


def _refused(data: bytes, **options: Any) -> str:
    with pytest.raises(BadLayer) as caught:
        _convert(data, **options)
    return str(caught.value)


OPAQUE = "SCHILY.xattr.trusted.overlay.opaque"


def _is_whiteout(member: tarfile.TarInfo) -> bool:
    return member.ischr() and (member.devmajor, member.devminor) == (0, 0)


def test_attributes_survive() -> None:
    caps = "\x01\x00\x00\x02\n="
    members = _members(
        directory("d", mode=0o1777, uid=3, gid=4, mtime=5),
        file("d/f", "x", mode=0o6755, uid=4_000_000, gid=5_000_000, mtime=2**32 - 1,
             pax={"SCHILY.xattr.security.capability": caps}),
        Item("d/null", type=tarfile.CHRTYPE, major=1, minor=3),
        Item("d/pipe", type=tarfile.FIFOTYPE),
        symlink("d/l", "../x"),
    )  # fmt: skip
    f = members["d/f"]
    assert (f.mode, f.uid, f.gid, f.mtime) == (0o6755, 4_000_000, 5_000_000, 2**32 - 1)
    assert f.pax_headers["SCHILY.xattr.security.capability"] == caps
    assert (members["d"].mode, members["d"].uid, members["d"].mtime) == (0o1777, 3, 5)
    assert members["d/null"].devminor == 3
    assert members["d/l"].linkname == "../x"
    assert members["d/pipe"].isfifo()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_opaque_mark_anywhere(order: tuple[int, ...]) -> None:
    items = [directory("d", mode=0o700, uid=9), opaque("d"), file("d/f", "x")]
    members = _members(*(items[index] for index in order))
    assert members["d"].pax_headers[OPAQUE] == "y"
    assert (members["d"].mode, members["d"].uid) == (0o700, 9)


def test_opaque_mark_of_an_unnamed_directory() -> None:
    members = _members(opaque("a/b"))
    assert members["a/b"].pax_headers[OPAQUE] == "y"
    assert (members["a/b"].mode, members["a/b"].uid) == (0o755, 0)
    assert OPAQUE not in members["a"].pax_headers


def test_opaque_root() -> None:
    facts, _, _ = _convert(tar([opaque("")]))
    assert facts.opaque
    assert not facts.empty


def test_whiteouts() -> None:
    members = _members(whiteout("gone"), whiteout("a/gone"), file("a/kept", ""))
    assert _is_whiteout(members["gone"])
    assert _is_whiteout(members["a/gone"])


@pytest.mark.parametrize("flip", [False, True])
def test_what_the_layer_has_wins_over_its_own_whiteout(flip: bool) -> None:
    items = [whiteout("f"), file("f", "x"), whiteout("d"), directory("d"), file("d/f", "")]
    members = _members(*(items[::-1] if flip else items))
    assert members["f"].isreg()
    assert members["d"].pax_headers[OPAQUE] == "y"


def test_aufs_bookkeeping_is_skipped() -> None:
    assert set(
        _members(Item(".wh..wh.aufs"), directory(".wh..wh.plnk"), file(".wh..wh.plnk/1", ""))
    ) == {"."}


def test_stranger_speaks_not_to_overlayfs() -> None:
    members = _members(
        directory("d", pax={OPAQUE: "y", "SCHILY.xattr.trusted.overlay.redirect": "/etc"}),
        file("f", "", pax={"SCHILY.xattr.trusted.overlay.metacopy": "", "SCHILY.xattr.user.overlay.x": "1",
                           "SCHILY.xattr.system.posix_acl_access": "1", "SCHILY.xattr.user.k": "v"}),
        Item("white", type=tarfile.CHRTYPE),
    )  # fmt: skip
    assert not members["d"].pax_headers
    assert members["f"].pax_headers == {"SCHILY.xattr.user.k": "v"}
    assert _is_whiteout(members["white"])


@pytest.mark.parametrize("name", ["../x", "a/../../x", "./../x", ".."])
def test_leading_out(name: str) -> None:
    assert "leads out of the image" in _refused(tar([file(name, "")]))


@pytest.mark.parametrize("name", ["/x", "//x", "./x", "a/../x", "/../x", "a//.././/x"])
def test_names_are_cleaned(name: str) -> None:
    assert "x" in _members(file(name, "1"))


def test_duplicates_the_last_wins() -> None:
    items = [file("f", "1"), file("g", "2"), hardlink("h", "f"), file("f", "333"), file("f", "4")]
    assert _content(*items) == {"f": b"4", "g": b"2", "h": b"1"}


def test_file_becomes_directory_and_back() -> None:
    assert _content(file("x", "1"), directory("x"), file("x/y", "2")) == {"x/y": b"2"}
    assert _content(directory("x"), file("x/y", "2"), file("x", "1")) == {"x": b"1"}
    assert _content(file("x/y/z", "2"), symlink("x/y", "q"), file("w", "")) == {"w": b""}


def test_directory_twice_keeps_children_and_takes_the_last_attributes() -> None:
    members = _members(directory("d", uid=1), file("d/f", ""), directory("d", uid=2))
    assert members["d"].uid == 2
    assert "d/f" in members


@pytest.mark.parametrize("target", ["real", "/real", "./real", "../../real", "other"])
def test_symlinked_parent_is_followed_inside(target: str) -> None:
    members = _members(
        directory("real"), symlink("other", "real"), symlink("l", target), file("l/f", "x")
    )
    assert members["real/f"].isreg()
    assert members["l"].issym()


def test_symlink_tricks_stay_inside() -> None:
    assert "etc/passwd" in _members(symlink("out", "/"), file("out/etc/passwd", "x"))
    assert "etc/passwd" in _members(symlink("out", "../../../../etc"), file("out/passwd", "x"))
    message = _refused(tar([symlink("a", "b"), symlink("b", "a"), file("a/f", "")]))
    assert "on the way is no directory" in message


def test_file_as_parent() -> None:
    assert "on the way is no directory" in _refused(tar([file("f", ""), file("f/g", "")]))


def test_hard_links() -> None:
    members = _members(
        file("f", "x"),
        hardlink("l", "/f"),
        hardlink("m", "./l"),
        symlink("s", "f"),
        hardlink("t", "s"),
    )
    assert members["l"].islnk()
    assert members["l"].linkname == members["m"].linkname == "f"
    assert members["t"].islnk() or members["t"].issym()


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([hardlink("l", "/etc/shadow")], "not in the layer"),
        ([hardlink("l", "../../etc/shadow")], "leads out"),
        ([whiteout("w"), hardlink("l", ".wh.w")], "not in the layer"),
        ([whiteout("w"), hardlink("l", "w")], "not in the layer"),
        ([directory("d"), hardlink("l", "d")], "hard link to a directory"),
        ([hardlink("l", "later"), file("later", "")], "not in the layer"),
        ([hardlink("l", "")], "not in the layer"),
        ([whiteout("..")], "whiteout of nothing"),
        ([Item(".wh.")], "whiteout of nothing"),
        ([file(".wh.d/f", "")], "reserved name"),
        ([symlink("s", "")], "link to nothing"),
        ([symlink("s", "x" * 5000)], "too far"),
        ([file("n" * 256, "")], "too long"),
        ([file("/".join(["d" * 200] * 25), "")], "too long"),
        ([file("n" * 256 + "/x", "")], "too long"),
        ([file(".", "")], "replace the root"),
        ([Item("s", type=b"Z")], "unknown type"),
        ([Item("s", type=b"M")], "unknown type"),
        ([Item("c", type=b"3", major=5000)], "device number"),
        ([file("f", "", pax={"SCHILY.xattr.user.big": "x" * 300_000})], "too many extended"),
        ([file("f", "", pax={"comment": "x" * 2_000_000})], "an extended header of"),
        ([file("f", "", pax={"uid": "-1"})], "impossible owner"),
        ([file("f", "", pax={"gid": "4294967295"})], "impossible owner"),
        ([file("f", "", pax={"uid": "x"})], "is no number"),
        ([file("f", "", pax={"size": "-5"})], "impossible size"),
        ([file("f", "", pax={"size": str(2**63)})], "impossible size"),
        ([file("f", "", pax={"path": "a\0b"})], "a NUL in"),
    ],
)
def test_refused(items: list[Item], text: str) -> None:
    assert text in _refused(tar(items))


@pytest.mark.parametrize(("mtime", "expected"), [(-1, 0), (2**40, 2**32 - 1), (1.75, 1)])
def test_times_are_brought_into_range(mtime: float, expected: int) -> None:
    assert _members(file("f", "", mtime=0, pax={"mtime": str(mtime)}))["f"].mtime == expected


def test_names_with_odd_bytes() -> None:
    names = ["new\nline", "tab\tand\x01", "ümlaut", "\udcff\udcfe", "quote'\"\\", "-rf"]
    assert set(_members(*(file(name, "x") for name in names))) == {".", *names}


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_name_whose_first_100_bytes_end_with_a_slash_stays_a_file(kind: int) -> None:
    """A name cut off at the ustar field's end is not taken for a directory's; a V7 directory is still one."""
    name = "d" * 99 + "/file"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        info = tarfile.TarInfo(name)
        info.size = 7
        archive.addfile(info, io.BytesIO(b"content"))
        archive.addfile(tarfile.TarInfo("after"))
        old = tarfile.TarInfo("folder/")
        old.type = tarfile.AREGTYPE
        archive.addfile(old)
    _, members, _ = _convert(buffer.getvalue())
    assert (members[name].isreg(), members[name].size) == (True, 7)
    assert members["after"].isreg()
    assert members["folder"].isdir()


def test_long_names() -> None:
    name = "/".join(["d" * 250] * 10)
    assert name in _members(file(name, "x"), symlink("l", "t" * 4000), hardlink("h", name))


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_formats(kind: int) -> None:
    buffer = io.BytesIO()
    name = "a" * 90 + "/" + "b" * 60
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    assert name in _convert(buffer.getvalue())[1]


def test_global_headers_are_ignored() -> None:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer,
        mode="w",
        format=tarfile.PAX_FORMAT,
        pax_headers={"path": "evil", "comment": "x"},
    ) as archive:
        archive.addfile(tarfile.TarInfo("f"))
    assert set(_convert(buffer.getvalue())[1]) == {".", "f"}


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda data: data[:700], "middle of a file"),
        (lambda data: data[:300], "middle of a header"),
        (lambda data: b"x" + data[1:], "bad header checksum"),
        (lambda data: b"\0" * 512 + data, "single empty block"),
        (lambda data: b"garbage" * 1000, "header"),
        (lambda data: b"\x1f\x8b" + b"x" * 600, "cannot be decompressed"),
        (lambda data: compress(data, "gzip")[:-20], "ends too early"),
        (lambda data: compress(data, "gzip") + b"junk", "cannot be decompressed"),
        (lambda data: b"\x28\xb5\x2f\xfd" + b"x" * 600, "cannot be decompressed"),
    ],
    ids=[
        "cut body",
        "cut header",
        "checksum",
        "empty block",
        "garbage",
        "bad gzip",
        "cut gzip",
        "tail",
        "bad zstd",
    ],
)
def test_damaged(damage: Any, text: str) -> None:
    assert text in _refused(damage(tar([file("f", "x" * 5000)])))


def test_bombs() -> None:
    bomb = tar([file("f", bytes(50_000_000))])
    for how in ("gzip", "zstd", "none"):
        message = _refused(compress(bomb, how), max_bytes=10_000_000)
        assert message == "the layer unpacks to more than 10000000 bytes"
    many = tar(file(str(number), "") for number in range(1001))
    assert _refused(many, max_entries=1000) == "more than 1000 entries"
    paths = tar([file("/".join("d" * 1500), "")] * 10)
    assert _convert(paths)[0].entries == 1509


def test_facts() -> None:
    data = tar([directory("d"), file("d/f", b"12345"), hardlink("l", "d/f"), file("e", b"1")])
    facts, _, _ = _convert(compress(data, "gzip"))
    assert facts.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert (facts.tar_bytes, facts.content_bytes, facts.entries) == (len(data), 6, 4)
    assert not facts.opaque
    assert not facts.empty
    assert _convert(tar([directory(".")]))[0].empty


def test_bytes_behind_the_end_count_for_the_digest_only() -> None:
    data = tar([file("f", "")]) + tar([file("hidden", "")])
    facts, members, _ = _convert(data)
    assert facts.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert set(members) == {".", "f"}


def test_several_gzip_members() -> None:
    data = tar([file("f", "x" * 3000)])
    split = compress(data[:1000], "gzip") + compress(data[1000:], "gzip") + bytes(100)
    assert "f" in _convert(split)[1]


@pytest.mark.parametrize("version", ["old", "0.1", "1.0"])
def test_sparse_files(version: str) -> None:
    _, members, data = _convert(_sparse(version))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        stream = archive.extractfile(members["hole"])
        assert stream is not None
        assert stream.read() == bytes(4096) + b"a" * 512 + bytes(4096) + b"b" * 100 + bytes(900)
    assert "after" in members


def _sparse(version: str) -> bytes:
    body = b"a" * 512 + b"b" * 100
    pieces = [(4096, 512), (8704, 100)]
    real = 9704
    info = tarfile.TarInfo("hole")
    buffer = io.BytesIO()
    numbers = [number for piece in pieces for number in piece]
    if version == "old":
        info.type, info.size = b"S", len(body)
        block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        block[386:] = bytes(126)
        for index, number in enumerate(numbers):
            block[386 + 12 * index : 398 + 12 * index] = b"%011o\0" % number
        block[483:495] = b"%011o\0" % real
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        buffer.write(bytes(block) + body + bytes(-len(body) % 512))
    else:
        if version == "1.0":
            text = "\n".join(map(str, [len(pieces), *numbers])).encode() + b"\n"
            body = text + bytes(-len(text) % 512) + body
            info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                                "GNU.sparse.name": "hole", "GNU.sparse.realsize": str(real)}  # fmt: skip
            info.name = "GNUSparseFile.1/hole"
        else:
            info.pax_headers = {
                "GNU.sparse.map": ",".join(map(str, numbers)),
                "GNU.sparse.size": str(real),
            }
        info.size = len(body)
        header = info.tobuf(tarfile.PAX_FORMAT)
        buffer.write(header + body + bytes(-len(body) % 512))
    return buffer.getvalue() + tar([file("after", "")])


@pytest.mark.parametrize(
    "numbers", ["5", "10,5,0,5", "0,99999999999999999999999", "0,-1", "", "0,600"]
)
def test_impossible_sparse_maps(numbers: str) -> None:
    info = tarfile.TarInfo("hole")
    info.size = 512
    info.pax_headers = {"GNU.sparse.map": numbers or ",", "GNU.sparse.size": "1000"}
    message = _refused_any(info.tobuf(tarfile.PAX_FORMAT) + bytes(512) + bytes(1024))
    assert "sparse" in message


def _refused_any(data: bytes) -> str:
    with pytest.raises(InvalidRequest) as caught:
        _convert(data)
    return str(caught.value)
