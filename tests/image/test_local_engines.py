"""Images from a container engine of the host: which engine, what is believed of it, and what follows if it fails.

The engines are fakes that answer as Docker and podman do; real ones: tests/vm/test_local_images.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tools import imagebuilder
from tools.imagebuilder import file

from hyper.errors import Forbidden, HyperError, InvalidRequest, NotFound
from hyper.image.local_engine import EnginePatience
from hyper.image.local_sources import LocalEngines
from hyper.image.schema import MIGRATIONS
from hyper.units import MIB
from tests.support.image_store import TRUSTED, opened
from tests.support.local_engine import FakeEngine, Reply, saved, tar_of
from tests.support.registry import HostileRegistry, RealRegistry

BASE = [file("base", "base" * 1000)]
IMAGE = imagebuilder.image([BASE, [file("top", "top")]], {"Cmd": ["x"]})
OTHER = imagebuilder.image([BASE, [file("other", "other")]])
DIGEST = "app@sha256:" + "d" * 64
#: With one that stands still.
HASTY = EnginePatience(answer_s=0.5, export_s=0.5, stall_s=0.5)


@pytest.mark.parametrize(
    ("server", "kind", "said", "prefix"),
    [
        ("Docker/20.10.24 (linux)", "docker", "Docker", ""),
        ("Libpod/4.3.1 (linux)", "podman", "podman", "docker.io/library/"),
        ("strange", "engine", "The local engine", ""),
    ],
)
async def test_an_image_is_taken(
    tmp_path: Path, server: str, kind: str, said: str, prefix: str
) -> None:
    """Same id, the name asked for, the digests of its repository and no other name; no registry is there to ask."""
    engine = FakeEngine(
        IMAGE,
        tags=(f"{prefix}app:latest", f"{prefix}other:1"),
        digests=(f"{prefix}{DIGEST}", "elsewhere.example/app@sha256:" + "e" * 64),
        server=server,
    )
    lines: list[str] = []
    async with (
        engine.serving(tmp_path / "s") as where,
        opened(tmp_path, tmp_path / "nobody", where) as images,
    ):
        record = await images.bring("app", progress=lambda event: lines.append(event.status))
        assert (record.id, record.repo_tags) == (IMAGE.id, ("app:latest",))
        assert record.repo_digests == (DIGEST,)
        assert record.raw_config == IMAGE.config
        origin = images.origin(record.id)
        assert origin is not None
        assert (origin.kind, origin.place, origin.at_ns > 0) == (kind, str(where), True)
        assert images.get(DIGEST) == record
        assert len(await images.disks(record.id, max_disks=9)) == 2
    assert lines[0] == f"Found in {said}'s local images ({where}): app:latest"
    assert lines[-2:] == [f"Digest: {DIGEST[4:]}", f"Status: Taken from {said}: app:latest"]


async def test_what_is_here_is_not_brought_again(tmp_path: Path, real: RealRegistry) -> None:
    """A layer that another image has is not converted; an image under another name is not even sent."""
    pulled = real.push(imagebuilder.image([BASE]), "base:latest")
    engine = FakeEngine(IMAGE, tags=("app:1", "app:2"))
    async with engine.serving(tmp_path / "s") as where, opened(tmp_path, where) as images:
        base = await images.pull(pulled)
        before = base.layer_paths[0].stat()
        loading: list[str] = []
        record = await images.bring(
            "app:1",
            progress=lambda event: loading.append(event.id) if "Loading" in event.status else None,
        )
        assert set(loading) == {record.layers[1].removeprefix("sha256:")[:12]}
        assert base.layer_paths[0].stat() == before
        assert (await images.bring("app:2")).repo_tags == ("app:1", "app:2")
        assert len(engine.asked("get")) == 1
        # A removed image that a container still has comes back to life, and it is the engine's now.
        await images.hold("c", record.id)
        await images.remove(record.id, force=True)
        assert (await images.bring("app:2")).repo_tags == ("app:2",)
        assert len(engine.asked("get")) == 1
        await images.release("c")


async def test_two_at_once(tmp_path: Path) -> None:
    """Both get it, whoever is first with a layer."""
    engine = FakeEngine(IMAGE, tags=("app:1", "app:2"))
    async with engine.serving(tmp_path / "s") as where, opened(tmp_path, where) as images:
        names = ("app:1", "app:2", "app:1")
        found = await asyncio.gather(*(images.bring(name) for name in names))
        assert {record.id for record in found} == {IMAGE.id}
        (record,) = images.list()
        assert record.repo_tags == ("app:1", "app:2")
        assert len(await images.disks(record.id, max_disks=9)) == 2


async def test_the_same_files_from_everywhere(tmp_path: Path, real: RealRegistry) -> None:
    """A registry, an engine, an archive of either kind: the same id, the same bytes on the machine's disks."""
    name = real.push(IMAGE, "same:latest")
    index = {"schemaVersion": 2, "manifests": [imagebuilder._descriptor("", IMAGE.manifest)]}
    files = {f"blobs/sha256/{digest[7:]}": data for digest, data in IMAGE.blobs.items()}
    layout = tar_of({**files, "index.json": json.dumps(index).encode()})

    async def of(data: bytes) -> AsyncIterator[bytes]:
        yield data

    seen = []
    engine = FakeEngine(IMAGE, tags=(name,))
    async with engine.serving(tmp_path / "s") as where:
        for number in range(4):
            async with opened(tmp_path / str(number), where) as images:
                if number < 2:
                    await (images.bring(name) if number else images.pull(name))
                else:
                    await images.load(of((layout, WHOLE)[number - 2]))
                (record,) = images.list()
                origin = images.origin(record.id)
                assert origin is not None
                assert origin.kind == ("registry", "docker", "archive", "archive")[number]
                disks = await images.disks(record.id, max_disks=9)
                seen.append((record.id, record.raw_config, [disk.read_bytes() for disk in disks]))
    assert seen[1:] == seen[:1] * 3


async def test_a_store_from_before(tmp_path: Path) -> None:
    """Of its images it is not known how they came; they are there, and what comes now is written down."""
    root = tmp_path / "images"
    root.mkdir()
    with closing(sqlite3.connect(root / "images.db")) as old:
        old.execute("CREATE TABLE migrations (version INTEGER PRIMARY KEY) STRICT")
        for number, script in enumerate(MIGRATIONS[:2], 1):
            old.executescript(script)
            old.execute("INSERT INTO migrations VALUES (?)", (number,))
        empty = imagebuilder.image([])
        old.execute(
            "INSERT INTO images (id, config, manifest, pulled_ns) VALUES (?, ?, x'', 1)",
            (empty.id, empty.config),
        )
        old.commit()
    engine = FakeEngine(empty, tags=("app:1",))
    async with engine.serving(tmp_path / "s") as where, opened(tmp_path, where) as images:
        assert [record.id for record in images.list()] == [empty.id]
        assert images.origin(empty.id) is None
        assert (await images.bring("app:1")).repo_tags == ("app:1",)
        assert engine.asked("get") == []
        assert images.origin(empty.id) is None


async def test_by_id_and_by_digest(tmp_path: Path) -> None:
    """An id or its beginning, as the engine lists it; a digest that it has pulled. A lying answer is none."""
    engine = FakeEngine(IMAGE, tags=("app:1",), digests=(DIGEST,))
    async with engine.serving(tmp_path / "s") as where:
        for number, name in enumerate((IMAGE.id, IMAGE.id[7:19], DIGEST)):
            async with opened(tmp_path / str(number), where) as images:
                record = await images.bring(name, elsewhere=False)
                assert (record.id, record.repo_tags) == (IMAGE.id, ())
                assert record.repo_digests == ((DIGEST,) if name == DIGEST else ())
        async with opened(tmp_path / "lie", where) as images:
            engine.replies["json"] = Reply(
                body=json.dumps({**engine.about, "Id": OTHER.id}).encode()
            )
            for name in (IMAGE.id, IMAGE.id[7:19]):
                with pytest.raises(NotFound, match="No such image"):
                    await images.bring(name, elsewhere=False)


async def test_a_digest_that_is_known_better_stays(tmp_path: Path, real: RealRegistry) -> None:
    """What a registry has proved is not taken from its image by an engine's word."""
    name = real.push(OTHER, "digests:latest")
    repository = name.removesuffix(":latest")
    engine = FakeEngine(
        IMAGE, tags=(f"{repository}:mine",), digests=(f"{repository}@{OTHER.digest}",)
    )
    async with engine.serving(tmp_path / "s") as where, opened(tmp_path, where) as images:
        proved = await images.pull(name)
        assert (await images.bring(f"{repository}:mine")).id == IMAGE.id
        assert images.get(f"{repository}@{OTHER.digest}").id == proved.id == OTHER.id


async def test_the_order(tmp_path: Path, real: RealRegistry) -> None:
    """The first engine that has it, else the next, else the registry; an explicit pull asks the registry alone."""
    name = real.push(OTHER, "order:latest")
    first, second = FakeEngine(IMAGE, tags=(name,)), FakeEngine(OTHER, tags=(name, "two:latest"))
    async with (
        first.serving(tmp_path / "1") as one,
        second.serving(tmp_path / "2") as two,
        opened(tmp_path, one, two) as images,
    ):
        assert (await images.bring(name)).id == IMAGE.id
        assert second.requests == []
        assert (await images.bring("two")).id == OTHER.id
        assert len(first.asked("two:latest/json")) == 1
        await images.remove(IMAGE.id)
        await images.remove(OTHER.id)
        before = len(first.requests + second.requests)
        assert (await images.pull(name)).id == OTHER.id
        assert len(first.requests + second.requests) == before
        other = real.push(IMAGE, "only-there:latest")
        assert (await images.bring(other)).id == IMAGE.id
        origin = images.origin(IMAGE.id)
        assert origin is not None
        assert (origin.kind, origin.place) == ("registry", other)


WHOLE = saved(IMAGE)
#: What an engine does: (its replies, what of its description is different, the reason that is told).
BAD: dict[str, tuple[dict[str, Reply], dict[str, Any], str]] = {
    "it fails": ({"json": Reply(500, b'{"message":"out of order"}')}, {}, "answers 500: out of order"),
    "it fails with nonsense": ({"json": Reply(500, b"\xff<html>")}, {}, "answers 500: b'"),
    "it redirects": ({"json": Reply(302, headers={"Location": "http://x/"})}, {}, "answers 302"),
    "it says nonsense": ({"json": Reply(body=b"[1]")}, {}, "makes no sense"),
    "its names are none": (
        {"json": Reply(body=json.dumps({"Id": IMAGE.id, "RepoTags": ["UPPER"]}).encode())}, {}, "makes no sense"),
    "its id is none": ({}, {"Id": "sha256:../../x"}, "is no image id"),
    "it says too much": ({"json": Reply(body=b" " * 2 * MIB)}, {}, "longer than"),
    "it is no HTTP": ({"json": Reply(headers={"Content-Length": "-3"})}, {}, "json"),
    "it hangs": ({"json": Reply(cut=0, end="hang")}, {}, "not answered in time"),
    "it hangs in the answer": ({"json": Reply(body=b"{}", cut=1, end="hang")}, {}, "in time"),
    "it hangs before the image": ({"get": Reply(cut=0, end="hang")}, {}, "in time"),
    "it hangs in the image": ({"get": Reply(body=WHOLE, cut=3000, end="hang")}, {}, "in time"),
    "it breaks off": ({"get": Reply(body=WHOLE, cut=3000)}, {}, "/get"),
    "the image has gone": ({"get": Reply(404, b'{"message":"No such image"}')}, {}, "answers 404"),
    "it sends a part": ({"get": Reply(body=WHOLE[:9000])}, {}, "ends"),
    "it sends nonsense": ({"get": Reply(body=b"x" * 9000)}, {}, "Not taken"),
    "it sends another": ({"get": Reply(body=saved(OTHER))}, {}, "was asked for sha256:"),
    "it sends two": ({"get": Reply(body=saved(IMAGE, OTHER))}, {}, "was asked for sha256:"),
    "it sends none": ({"get": Reply(body=tar_of({"x": b"y"}))}, {}, "manifest.json"),
    "it sends too much": ({"get": Reply(body=tar_of({"x": bytes(2 * MIB)}))}, {}, "Not taken"),
    "a layer is another": (
        {"get": Reply(body=saved(replace(IMAGE, tars=[OTHER.tars[1], IMAGE.tars[1]])))}, {}, "Not taken"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_engine_costs_a_note(tmp_path: Path, what: str) -> None:
    """The image comes from the registry then, nothing of the engine's stays; who insists on the engine is told why."""
    replies, about, why = BAD[what]
    async with HostileRegistry(IMAGE) as registry:
        engine = FakeEngine(IMAGE, tags=(registry.reference,))
        engine.replies |= replies
        engine.about |= about
        lines: list[str] = []
        hangs = any(reply.end == "hang" for reply in replies.values())
        patience = HASTY if hangs else TRUSTED.patience
        async with (
            engine.serving(tmp_path / "s") as where,
            opened(tmp_path, where, patience=patience) as images,
        ):
            with pytest.raises(HyperError) as failure:
                await images.bring(registry.reference, elsewhere=False)
            assert images.list() == []
            assert list((tmp_path / "images/layers").iterdir()) == []
            assert registry.requests == []
            record = await images.bring(
                registry.reference, progress=lambda event: lines.append(event.status)
            )
            assert record.id == IMAGE.id
            origin = images.origin(IMAGE.id)
            assert origin is not None
            assert origin.kind == "registry"
    notes = [line for line in lines if line.startswith("Not taken from a local engine: ")]
    assert notes == [f"Not taken from a local engine: {failure.value.message}"]
    assert why in f"{notes[0]}"
    assert "\n" not in notes[0]


async def test_what_it_has_for_other_machines_is_not_taken(tmp_path: Path) -> None:
    """One line says so; asked for by --platform it is."""
    foreign = imagebuilder.image([BASE], architecture="s390x")
    engine = FakeEngine(foreign, tags=("app:1",))
    engine.about["Architecture"] = "s390x"
    lines: list[str] = []
    async with engine.serving(tmp_path / "s") as where, opened(tmp_path, where) as images:
        with pytest.raises(NotFound, match="No such image: app:1"):
            await images.bring(
                "app:1", elsewhere=False, progress=lambda event: lines.append(event.status)
            )
        assert lines == ["Docker's app:1 is for linux/s390x, not for linux/amd64"]
        record = await images.bring("app:1", elsewhere=False, platform="linux/s390x")
        assert record.id == foreign.id


async def test_our_own_socket_is_no_other_engine(tmp_path: Path) -> None:
    """hyperd may serve Docker's socket itself: it is recognised by its process, and not asked."""
    engine = FakeEngine(IMAGE, tags=("app:1",))
    async with (
        engine.serving(tmp_path / "s") as where,
        opened(tmp_path, where, own_pid=os.getpid()) as images,
    ):
        with pytest.raises(NotFound, match="no other container engine is here"):
            await images.bring("app:1", elsewhere=False)
    assert engine.requests == []
    assert LocalEngines().own_pid == os.getpid()


async def test_where_nobody_is(tmp_path: Path) -> None:
    """No file, no folder, a stale socket, no engines at all: as if there were none. What is no socket is a mistake."""
    stale = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(stale))
    (tmp_path / "file").write_text("")
    nowhere = (tmp_path / "no", tmp_path / "file/below", stale)
    async with opened(tmp_path, *nowhere) as images:
        with pytest.raises(NotFound) as error:
            await images.bring("app:1", elsewhere=False)
        assert error.value.hint == f"looked for one at {', '.join(map(str, nowhere))}"
    async with opened(tmp_path) as images:
        with pytest.raises(NotFound, match="no other container engine is here") as error:
            await images.bring("app:1", elsewhere=False)
        assert error.value.hint == "hyperd runs with --local-engines=false"
    async with opened(tmp_path, tmp_path / "file") as images:
        with pytest.raises(HyperError, match="file is no socket"):
            await images.bring("app:1", elsewhere=False)
        with pytest.raises(InvalidRequest, match="invalid reference format"):
            await images.bring("a b", elsewhere=False)


async def test_a_full_queue_is_not_waited_for(tmp_path: Path) -> None:
    """An engine that takes no connections is told of at once."""
    with socket.socket(socket.AF_UNIX) as deaf, socket.socket(socket.AF_UNIX) as first:
        deaf.bind(str(tmp_path / "s"))
        deaf.listen(0)
        first.connect(str(tmp_path / "s"))
        async with opened(tmp_path, tmp_path / "s") as images:
            with pytest.raises(HyperError, match="takes no connection: Resource temporarily"):
                await images.bring("app:1", elsewhere=False)


LISTENS = "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True); sys.stdin.read()"  # noqa: E501


@pytest.mark.root
async def test_strangers_are_not_trusted(tmp_path: Path) -> None:
    """Who listens counts, whoever owns the file: an ordinary user's engine could hand root any program to run."""
    tmp_path.chmod(0o777)
    for folder in (tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    where = tmp_path / "s"
    process = await asyncio.create_subprocess_exec(
        *("/usr/bin/python3", "-c", LISTENS, str(where)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=65534,
        group=65534,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        os.chown(where, 0, 0)
        async with opened(tmp_path, where) as images:
            with pytest.raises(Forbidden, match="is of user 65534: only root's and our own"):
                await images.bring("app:1", elsewhere=False)
    finally:
        process.stdin.close()
        await process.wait()


async def test_a_cancelled_taking_leaves_nothing(tmp_path: Path) -> None:
    """The client has gone while the engine sends."""
    engine = FakeEngine(IMAGE, tags=("app:1",))
    engine.replies["get"] = Reply(body=WHOLE, cut=5000, end="hang")
    async with engine.serving(tmp_path / "s") as where, opened(tmp_path, where) as images:
        found = asyncio.Event()
        task = asyncio.create_task(images.bring("app:1", progress=lambda _: found.set()))
        await found.wait()
        while not list((tmp_path / "images/tmp").iterdir()):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert images.list() == []
