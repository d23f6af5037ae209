"""Laws of the converter: any honest tar survives, any bytes are refused politely."""

from __future__ import annotations

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st
from tools.imagebuilder import Item, directory, file, hardlink, symlink, tar, whiteout

from hyper.errors import InvalidRequest
from hyper.image import worker
from hyper.image.convert import convert
from hyper.image.worker import Again

_NAMES = st.lists(st.sampled_from(["a", "b", "c", "long" * 30]), min_size=1, max_size=4).map(
    "/".join
)
_ITEMS = st.one_of(
    st.builds(
        file,
        _NAMES,
        st.binary(max_size=1500),
        uid=st.integers(0, 2**31),
        mtime=st.integers(0, 2**32 - 1),
    ),
    st.builds(directory, _NAMES, mode=st.integers(0, 0o7777)),
    st.builds(symlink, _NAMES, _NAMES),
    st.builds(hardlink, _NAMES, _NAMES),
    st.builds(whiteout, _NAMES),
)


class _Silence(worker.Report):
    def progress(self, position: int) -> None:
        pass


def _convert(data: bytes) -> bytes | None:
    """The output, None if refused."""
    for careful in (False, True):
        output = io.BytesIO()
        try:
            convert(io.BytesIO(data), output, _Silence(-1), careful=careful)
        except Again:
            continue
        except InvalidRequest:
            return None
        return output.getvalue()
    raise AssertionError("asked twice to be careful")


@given(st.lists(_ITEMS, max_size=12))
def test_output_is_strict(items: list[Item]) -> None:
    output = _convert(tar(items))
    if output is None:
        return
    with tarfile.open(fileobj=io.BytesIO(output)) as archive:
        members = {member.name: member for member in archive}
        assert len(members) == len(archive.getmembers())
    for name, member in members.items():
        parent = name.rpartition("/")[0]
        assert ".." not in name.split("/")
        assert not name.startswith("/")
        assert not parent or members[parent].isdir()
        assert not member.islnk() or not members[member.linkname].isdir()


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.binary(max_size=3000)))
def test_files_survive(files: dict[str, bytes]) -> None:
    output = _convert(tar(file(name, data) for name, data in files.items()))
    assert output is not None
    with tarfile.open(fileobj=io.BytesIO(output)) as archive:
        found = {}
        for member in archive:
            stream = archive.extractfile(member)
            if stream is not None:
                found[member.name] = stream.read()
    assert found == files


@given(st.binary(max_size=3000))
def test_any_bytes(data: bytes) -> None:
    _convert(data)


@given(
    st.lists(_ITEMS, min_size=1, max_size=3),
    st.integers(0, 5000),
    st.binary(min_size=1, max_size=16),
)
def test_damaged_tars(items: list[Item], where: int, what: bytes) -> None:
    data = bytearray(tar(items))
    data[where : where + len(what)] = what
    _convert(bytes(data))
