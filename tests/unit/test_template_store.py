"""Templates on disk: kept whole or not at all, checked before use, never more than a few."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyper.machine import template
from hyper.machine.template import MAX_TEMPLATES, Card, Shape, Template, TemplateStore
from hyper.system import memfd
from hyper.units import MIB

SHAPE = Shape(vcpus=1, memory_mib=2, card=Card.TAP)


def make(key: str, memory: dict[int, bytes], state: bytes = b"state") -> Template:
    """A template whose memory has these bytes at these places."""
    fds = memfd.create("memory", SHAPE.memory_mib * MIB), memfd.create("state")
    for offset, data in memory.items():
        os.pwrite(fds[0], data, offset)
    os.write(fds[1], state)
    return Template(key, SHAPE, *fds)


def content(loaded: Template) -> tuple[bytes, bytes]:
    """All of its memory and its state, as a machine would read them."""
    with loaded.memory() as given:
        assert given.state_fd is not None
        return os.pread(given.fd, SHAPE.memory_mib * MIB, 0), os.read(given.state_fd, 1 << 20)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TemplateStore]:
    yield TemplateStore(tmp_path / "template")


def keep(store: TemplateStore, key: str, memory: dict[int, bytes] | None = None) -> None:
    with make(key, memory or {0: b"x"}) as made:
        store.keep(made)


def test_what_was_kept_is_loaded(store: TemplateStore, tmp_path: Path) -> None:
    """Byte for byte, from any place; and a page of zeros takes no room."""
    memory = {0: b"first", 4095: b"ab", MIB: bytes(8192), 2 * MIB - 1: b"z"}
    keep(store, "k-1", memory)
    with store.load("k-1") as loaded:  # type: ignore[union-attr]
        expected = bytearray(2 * MIB)
        for offset, data in memory.items():
            expected[offset : offset + len(data)] = data
        assert content(loaded) == (bytes(expected), b"state")
    [about] = store.all()
    assert (about.key, about.shape, about.disk_bytes <= 5 * 4096) == ("k-1", SHAPE, True)
    assert sorted(path.name for path in (tmp_path / "template").iterdir()) == ["k-1"]


@settings(max_examples=30)
@given(st.dictionaries(st.integers(0, 2 * MIB - 64), st.binary(max_size=64), max_size=8))
def test_any_memory_survives(
    tmp_path_factory: pytest.TempPathFactory, memory: dict[int, bytes]
) -> None:
    """Whatever lies where: it is the same after the way to the disk and back."""
    store = TemplateStore(tmp_path_factory.mktemp("store"))
    with make("k", memory) as made:
        store.keep(made)
        with store.load("k") as loaded:  # type: ignore[union-attr]
            assert content(loaded) == content(made)


def test_nobody_writes_to_a_template(store: TemplateStore) -> None:
    """Neither to one that was made nor to one that was loaded, whoever has the descriptor."""
    with make("k", {0: b"x"}) as made:
        store.keep(made)
        with store.load("k") as loaded:  # type: ignore[union-attr]
            for one in (made, loaded):
                with one.memory() as given:
                    for change in (
                        lambda fd: os.pwrite(fd, b"y", 0),
                        lambda fd: os.ftruncate(fd, 0),
                    ):
                        with pytest.raises(PermissionError):
                            change(given.fd)


def test_keeping_again_replaces(store: TemplateStore) -> None:
    """The newer one is there."""
    keep(store, "k", {0: b"old"})
    keep(store, "k", {0: b"new"})
    with store.load("k") as loaded:  # type: ignore[union-attr]
        assert content(loaded)[0][:3] == b"new"


def test_the_least_used_go(store: TemplateStore, tmp_path: Path) -> None:
    """One more than there may be: the one that was used longest ago is gone."""
    for number in range(MAX_TEMPLATES):
        keep(store, f"k-{number}")
        os.utime(tmp_path / f"template/k-{number}/template.json", ns=(number, number))
    store.load("k-0").close()  # type: ignore[union-attr]
    keep(store, "k-new")
    keys = {about.key for about in store.all()}
    assert keys == {"k-0", "k-new", *(f"k-{number}" for number in range(2, MAX_TEMPLATES))}


def test_removal(store: TemplateStore) -> None:
    """Whether there was one is told; what is in use goes on."""
    keep(store, "k", {0: b"x"})
    loaded = store.load("k")
    assert loaded is not None
    assert store.remove("k")
    assert not store.remove("k")
    assert content(loaded)[0][:1] == b"x"
    loaded.close()
    assert store.load("k") is None
    assert store.all() == []


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"version": 1}',
        b'{"version": 1, "key": "other"}',
        b'{"version": 1, "key": "k", "shape": {}, "sums": ["", ""]}',
        b'{"version": 1, "key": "k", "shape": {"vcpus": 1, "memory_mib": 2, "card": "warp"}, "sums": ["", ""]}',
        b'{"version": 1, "key": "k", "shape": {"vcpus": 1, "memory_mib": 2, "card": "tap"}, "sums": ["a"]}',
        b'{"version": 1, "key": "k", "shape": {"vcpus": 1, "memory_mib": "x", "card": "tap"}, "sums": []}',
    ],
)
def test_a_bad_description(store: TemplateStore, tmp_path: Path, document: bytes) -> None:
    """It is not loaded, not listed as anything it is not, and removed."""
    keep(store, "k")
    (tmp_path / "template/k/template.json").write_bytes(document)
    assert store.load("k") is None
    assert not (tmp_path / "template/k").exists()
    assert store.all() == []


def test_no_half_template_stays(
    store: TemplateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails (a full disk) leaves the older one and nothing beside it."""
    keep(store, "k", {0: b"old"})
    copied = template._copy_out

    def full(source: int, target: Path) -> str:
        if target.name == "state":
            raise OSError(28, "No space left on device")
        return copied(source, target)

    monkeypatch.setattr(template, "_copy_out", full)
    with pytest.raises(OSError, match="No space"):
        keep(store, "k", {0: b"new"})
    assert sorted(path.name for path in (tmp_path / "template").iterdir()) == ["k"]
    with store.load("k") as loaded:  # type: ignore[union-attr]
        assert content(loaded)[0][:3] == b"old"


def test_sweep(store: TemplateStore, tmp_path: Path) -> None:
    """Other prefixes and drafts go, also where there is no folder yet."""
    store.sweep("now-")
    keep(store, "now-1")
    keep(store, "old-1")
    (tmp_path / "template/.now-2.77").mkdir()
    store.sweep("now-")
    assert [path.name for path in (tmp_path / "template").iterdir()] == ["now-1"]


def test_the_description_names_what_it_describes(store: TemplateStore, tmp_path: Path) -> None:
    """It is plain JSON that a person can read."""
    keep(store, "k")
    about = json.loads((tmp_path / "template/k/template.json").read_bytes())
    assert about["shape"] == {"vcpus": 1, "memory_mib": 2, "card": "tap"}
    assert [len(one) for one in about["sums"]] == [64, 64]
