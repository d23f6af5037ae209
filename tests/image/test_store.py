"""The store on disk: the contract, and what is left after anything that can go wrong."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tools.imagebuilder import Item, file, image

from hyper.errors import Conflict, HyperError
from hyper.image import schema
from hyper.image.download import download
from hyper.image.images import Images
from hyper.image.record import ImageRecord, PullEvent
from tests.contract.image_store import AB, A, Add, ImageStoreContract
from tests.support.image_store import SHORT
from tests.support.images import deep
from tests.support.registry import RealRegistry


@pytest.fixture
def add(images: Images, real: RealRegistry) -> Add:
    async def pull(name: str, layers: list[list[Item]]) -> ImageRecord:
        return await images.pull(real.push(image(layers), name))

    return pull


class TestImages(ImageStoreContract):
    """`Images` keeps the contract."""


async def test_everything_is_there_after_a_restart(images: Images, add: Add) -> None:
    """Images, merged layers and what a container holds are found again; the rest goes when nobody holds it."""
    one, two = await add("x:latest", A), await add("y:latest", AB)
    merged = await images.disks(two.id, max_disks=1)
    await images.hold("c", two.id)
    await images.remove(two.id)
    await images.close()
    await images.open()
    assert images.list() == [one]
    assert await images.disks(two.id, max_disks=1) == merged
    await images.release("c")
    assert len(list((images._root / "layers").iterdir())) == 1
    assert list((images._root / "merged").iterdir()) == []


async def test_garbage_goes_at_start(images: Images, add: Add) -> None:
    """Files that no record names are removed when the store is opened."""
    one = await add("x:latest", A)
    await images.close()
    root = images._root
    for name in ("tmp/half.blob", "layers/" + "0" * 64 + ".sqfs", "merged/x.sqfs"):
        (root / name).write_bytes(b"junk")
    await images.open()
    left = [path for path in root.rglob("*.*") if path.suffix in (".blob", ".sqfs")]
    assert left == list(one.layer_paths)


async def test_second_process_is_kept_out(images: Images) -> None:
    """A store that is open cannot be opened a second time."""
    other = Images(images._root)
    with pytest.raises(Conflict, match="is in use by another process"):
        await other.open()


async def test_newer_and_broken_databases(tmp_path: Path) -> None:
    """A database of a newer schema, and what is none, are refused with the reason."""
    database = schema.connect(tmp_path / "images.db")
    database.execute("INSERT INTO migrations VALUES (99)")
    database.close()
    with pytest.raises(HyperError, match="version 99, made by a newer Hyper"):
        await Images(tmp_path).open()
    (tmp_path / "images.db").write_bytes(b"no database" * 100)
    with pytest.raises(HyperError, match="cannot use the image database"):
        await Images(tmp_path).open()


_PULLER = """
import asyncio, sys
from pathlib import Path
from hyper.image.images import Images

async def main():
    images = Images(Path(sys.argv[1]))
    await images.open()
    print("open", flush=True)
    for reference in sys.argv[2:]:
        record = await images.pull(reference, progress=lambda event: print(event.status, flush=True))
        await images.disks(record.id, max_disks=2)
        await images.remove(reference)
    await images.close()

asyncio.run(main())
"""


async def test_killed_again_and_again(images: Images, real: RealRegistry) -> None:
    """After kill -9 at twenty different points the store opens, is consistent, and has no file too many."""
    await images.close()
    names = [real.push(deep(4), "killed:4"), real.push(deep(6), "killed:6")]
    chance = random.Random(1)
    for _ in range(20):
        lines = chance.randrange(1, 40)
        argv = [sys.executable, "-c", _PULLER, str(images._root), *names]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            assert child.stdout is not None
            for _ in range(lines):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        await images.open()
        _check_consistency(images)
        await images.close()
    await images.open()
    for name in names:
        record = await images.pull(name)
        assert len(await images.disks(record.id, max_disks=2)) == 2
    _check_consistency(images)


def _check_consistency(images: Images) -> None:
    root = images._root
    layers = {path for record in images.list() for path in record.layer_paths}
    assert set((root / "layers").iterdir()) == layers
    assert not list((root / "tmp").iterdir())
    assert images._store.rows("PRAGMA integrity_check") == [("ok",)]
    assert images._store.rows("PRAGMA foreign_key_check") == []


async def test_pulls_join(
    images: Images, real: RealRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten pulls of one image and one of a relative: each layer is brought once, all are told."""
    late = set(range(11))
    all_wait = asyncio.Event()

    async def once_all_wait(*words: Any) -> None:
        await all_wait.wait()
        await download(*words)

    monkeypatch.setattr("hyper.image.pull.download", once_all_wait)
    name = real.push(deep(4), "joined:4")
    other = real.push(deep(5), "joined:5")
    events: list[list[PullEvent]] = [[] for _ in range(11)]

    def note(number: int, event: PullEvent) -> None:
        events[number].append(event)
        if event.status == "Pulling fs layer":
            late.discard(number)
        if not late:
            all_wait.set()

    names = [name] * 10 + [other]
    pulls = [images.pull(one, progress=partial(note, n)) for n, one in enumerate(names)]
    records = await asyncio.gather(*pulls)
    assert len({record.id for record in records}) == 2
    done = [event for one in events[:1] for event in one if event.status == "Pull complete"]
    assert len(done) == 4
    for one in events:
        assert any(event.status == "Pull complete" for event in one)
        assert one[-1].status.startswith("Status: ")


async def test_a_cancelled_pull_harms_nobody(images: Images, real: RealRegistry) -> None:
    """A pull that shares its downloads with a cancelled one goes on."""
    name = real.push(deep(5), "cancelled:1")
    begun = asyncio.Event()
    first = asyncio.ensure_future(images.pull(name, progress=lambda event: begun.set()))
    second = asyncio.ensure_future(images.pull(name))
    await begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    record = await second
    assert all(path.exists() for path in record.layer_paths)


@pytest.mark.parametrize(
    "status",
    ["Pulling fs layer", "Downloading", "Download complete", "Extracting", "Pull complete"],
)
async def test_a_cancelled_pull_leaves_nothing(
    images: Images, real: RealRegistry, status: str
) -> None:
    """A pull that is cancelled at any step leaves no file and no record."""
    big = image(
        [[file(f"f{number}", random.Random(number).randbytes(6_000_000))] for number in range(3)]
    )
    name = real.push(big, "cancelled:2")
    reached = asyncio.Event()

    def watch(event: PullEvent) -> None:
        if event.status == status:
            reached.set()

    pull = asyncio.ensure_future(images.pull(name, progress=watch))
    await reached.wait()
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull
    assert images.list() == []
    assert list((images._root / "layers").iterdir()) == []


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
@pytest.mark.parametrize("kilobytes", [300, 1200, 2600])
def test_disk_full(tmp_path: Path, real: RealRegistry, kilobytes: int) -> None:
    """On a disk that fills while the blob comes, or while the squashfs is written."""
    name = real.push(image([[file("f", random.Random(5).randbytes(1_500_000))]]), "full:1")
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, __file__, str(tmp_path), name,
         str(kilobytes)],
        capture_output=True, text=True, env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no space left on device while storing"), done.stdout


async def _fill(root: str, name: str, kilobytes: str) -> None:
    """In our own mount namespace: pull onto a tiny disk, say what happened, prove that nothing is left."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", root]
    subprocess.run(mount, check=True)
    images = Images(Path(root, "i"), patience=SHORT)
    await images.open()
    try:
        await images.pull(name)
    except HyperError as error:
        print(error)
    assert images.list() == []
    files = [path for path in Path(root, "i").rglob("*") if path.suffix in (".sqfs", ".blob")]
    assert files == []
    await images.close()


if __name__ == "__main__":
    asyncio.run(_fill(*sys.argv[1:]))
