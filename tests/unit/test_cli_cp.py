"""What ``cp`` means by its paths, and that a hostile archive stays in its folder."""

from __future__ import annotations

import os
import stat
import tarfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.cli.copypath import placed, renamed, split_argument, split_entry
from hyper.cli.flags import LocalError
from hyper.cli.pack import pack
from hyper.cli.unpack import Pieces, unpack


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("box:/x", ("box", "/x")), ("box:x", ("box", "x")), ("box:", ("box", "")), ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "./a:b")), ("../a:b", ("", "../a:b")), ("-", ("", "-")), ("a", ("", "a")), (":/x", ("", "/x")),
    ],
)  # fmt: skip
def test_arguments(text: str, meant: tuple[str, str]) -> None:
    assert split_argument(text) == meant


@pytest.mark.parametrize(
    ("path", "parts"),
    [("/a/b", ("/a", "b")), ("/a/b/", ("/a", "b")), ("/a/.", ("/a", ".")), ("a", (".", "a")), ("/", ("/", "/"))],
)  # fmt: skip
def test_entries(path: str, parts: tuple[str, str]) -> None:
    assert split_entry(path) == parts


def test_places() -> None:
    """Into what exists, beside it, in place of it, and what is refused."""

    def place(target: str, exists: bool, folder: bool, source: bool) -> tuple[str, str | None]:
        return placed(target, exists=exists, is_folder=folder, source_is_folder=source)

    assert place("/t", True, True, True) == ("/t", None)
    assert place("/t/new", False, False, True) == ("/t", "new")
    assert place("/t/file", True, False, False) == ("/t", "file")
    for bad in (("/t/file", True, False, True), ("/t/new/", False, False, False)):
        with pytest.raises(LocalError):
            place(*bad)


def test_names_in_the_archive() -> None:
    assert renamed("d/x", "d", "new") == "new/x"
    assert renamed("d", "d", "new") == "new"
    assert renamed("dd/x", "d", "new") == "dd/x"
    assert renamed("./x", ".", "new") == "new/x"
    assert renamed("/bin/x", "/", "new") == "new/bin/x"
    assert renamed("d/x", "d", None) == "d/x"


def archive(*entries: tuple[str, bytes, str]) -> Pieces:
    """An archive of (name, type, link or content)."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, text in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(text)
                tar.addfile(info, BytesIO(text.encode()))
            else:
                info.linkname = text
                tar.addfile(info)
    return Pieces([buffer.getvalue()])


def unpacked(folder: Path, *entries: tuple[str, bytes, str]) -> None:
    unpack(archive(*entries), str(folder), lambda name: name)


@pytest.mark.parametrize(
    "entries",
    [
        [("../out", tarfile.REGTYPE, "x")],
        [("a/../../out", tarfile.REGTYPE, "x")],
        [("l", tarfile.SYMTYPE, "../.."), ("l/out", tarfile.REGTYPE, "x")],
        [("l", tarfile.SYMTYPE, "/"), ("l/out", tarfile.REGTYPE, "x")],
        [("l", tarfile.SYMTYPE, "/"), ("l", tarfile.DIRTYPE, ""), ("l/out", tarfile.REGTYPE, "x")],
        [("h", tarfile.LNKTYPE, "../secret")],
        [("h", tarfile.LNKTYPE, "/secret")],
        [("l", tarfile.SYMTYPE, "/"), ("h", tarfile.LNKTYPE, "l/etc/passwd")],
        [("l", tarfile.SYMTYPE, "../x")],
        [("a", tarfile.REGTYPE, "x"), ("a/b", tarfile.REGTYPE, "x")],
        [("a", tarfile.DIRTYPE, ""), ("a", tarfile.REGTYPE, "x")],
        [("a", tarfile.REGTYPE, "x"), ("a", tarfile.DIRTYPE, "")],
    ],
)
def test_a_hostile_archive_stays_in_its_folder(
    tmp_path: Path, entries: list[tuple[str, bytes, str]]
) -> None:
    """Links up and away, names with dots, things in each other's place: refused, nothing outside is touched."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("mine")
    with pytest.raises(LocalError):
        unpacked(folder, *entries)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "secret"]
    assert (tmp_path / "secret").stat().st_nlink == 1
    assert not Path("/out").exists()


def test_absolute_names_land_in_the_folder(tmp_path: Path) -> None:
    unpacked(tmp_path, ("/etc/x", tarfile.REGTYPE, "x"))
    assert (tmp_path / "etc/x").read_text() == "x"


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"x" * 2000, bytes(512)])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    """An error or nothing at all, never a crash."""
    with suppress(LocalError):
        unpack(Pieces([data]), str(tmp_path), lambda name: name)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.binary(max_size=9)), st.lists(st.integers(1, 12)))
def test_pieces_read_as_a_file(pieces: list[bytes], sizes: list[int]) -> None:
    stream, whole = Pieces(pieces), b"".join(pieces)
    read = b"".join(stream.read(size) for size in sizes)
    assert read == whole[: sum(sizes)]
    assert stream.count == len(read)


def test_there_and_back_again(tmp_path: Path) -> None:
    """What pack makes of a tree, unpack makes again: content, links, hard links, modes, times, long names."""
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / ("n" * 200)).write_bytes(os.urandom(1000))
    (tree / "sub/a").write_text("a")
    (tree / "sub/b").hardlink_to(tree / "sub/a")
    (tree / "l").symlink_to("sub/a")
    os.mkfifo(tree / "fifo")
    (tree / "sub/a").chmod(0o751)
    os.utime(tree / "sub", (1, 1_000_000_000))
    (tmp_path / "back").mkdir()
    unpack(Pieces(pack(str(tree), "t")), str(tmp_path / "back"), lambda name: name)
    back = tmp_path / "back/t"
    for path in sorted(tree.rglob("*")):
        found, made = path.lstat(), (back / path.relative_to(tree)).lstat()
        assert (found.st_mode, found.st_size) == (made.st_mode, made.st_size)
        assert found.st_nlink == made.st_nlink
        if not stat.S_ISFIFO(found.st_mode):
            assert int(found.st_mtime) == int(made.st_mtime)
    assert (back / "l").readlink() == Path("sub/a")


def test_nothing_gets_rights_on_this_host(tmp_path: Path) -> None:
    """Set-id bits go, device nodes and hard links to them are left out and named; other modes, folders' too, stay."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, mode, link in (
            ("su", tarfile.REGTYPE, 0o6755, ""), ("d", tarfile.DIRTYPE, 0o3775, ""),
            ("d/tool", tarfile.REGTYPE, 0o2750, ""),
            ("again", tarfile.LNKTYPE, 0o6755, "su"), ("null", tarfile.CHRTYPE, 0o666, ""),
            ("sda", tarfile.BLKTYPE, 0o660, ""),
            ("too", tarfile.LNKTYPE, 0o666, "null"), ("plain", tarfile.REGTYPE, 0o751, ""),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname, info.devmajor, info.devminor = (
                kind,
                mode,
                link,
                1,
                3,
            )
            tar.addfile(info)
    withheld = unpack(Pieces([buffer.getvalue()]), str(tmp_path), lambda name: name)
    assert withheld.devices == ["null", "sda", "too"]
    assert withheld.privileged == ["su", "d/tool"]
    modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in tmp_path.rglob("*")}
    assert modes == {"su": 0o755, "again": 0o755, "d": 0o3775, "tool": 0o750, "plain": 0o751}
