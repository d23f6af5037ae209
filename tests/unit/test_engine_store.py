"""The daemon's memory: conflicts, identities, reopening, damage, and no room."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from hyper.engine.migrations import MIGRATIONS, migrate
from hyper.engine.record.container import ContainerRecord, ExecRecord
from hyper.engine.record.sandbox import Kind, Placement
from hyper.engine.record.state import Status
from hyper.engine.store import Store
from hyper.errors import Conflict, HyperError
from hyper.ids import new_id
from hyper.machine.driver import MachineRecord
from hyper.types.container import ContainerConfig, HostConfig
from tests.support.records import older_document, spec_of


def record(name: str, **changes: object) -> ContainerRecord:
    """A container's record."""
    config = ContainerConfig(cmd=["true"], labels={"a": "ü\n"})
    made = ContainerRecord(
        id=new_id(),
        name=name,
        created_ns=1,
        config=config,
        host_config=HostConfig(),
        spec=spec_of(config),
    )
    for key, value in changes.items():
        setattr(made, key, value)
    return made


def exec_record(container: ContainerRecord) -> ExecRecord:
    """An exec in it."""
    return ExecRecord(
        id=new_id(), container_id=container.id, args=["x"], env=[], cwd="", user="", tty=False,
        privileged=False, attach_stdin=False, attach_stdout=True, attach_stderr=True,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "hyper.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """An empty one."""
    made = Store(path)
    yield made
    made.close()


def test_a_name_is_given_once(store: Store) -> None:
    """The second is a conflict that names it; after removal it is free again."""
    first = record("web")
    store.add_container(first)
    with pytest.raises(Conflict, match="'web' is already in use"):
        store.add_container(record("web"))
    store.delete_container(first.id)
    store.add_container(record("web"))


def test_identities_are_the_lowest_free_ones_and_never_shared(store: Store) -> None:
    """A freed one is given again; when all are taken it is an error, not a shared wall."""
    made = []
    for number in range(3):
        item = record(f"c{number}", identity=store.free_identity(3))
        store.add_container(item)
        made.append(item)
    assert [item.identity for item in made] == [0, 1, 2]
    with pytest.raises(HyperError, match="all 3 machine identities are in use"):
        store.free_identity(3)
    store.delete_container(made[1].id)
    assert store.free_identity(3) == 1
    with pytest.raises(Conflict):
        store.add_container(record("other", identity=0))


def test_identities_of_the_second_schema_were_user_ids(path: Path) -> None:
    """They are the same ones afterwards, without the range of their daemon."""
    old = record("old", identity=0x7001_0000 + 5 * 16384 + 17)
    plain = record("plain")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db, path, MIGRATIONS[:2])
        for item in (old, plain):
            document = older_document(item).replace(b'"identity"', b'"uid"')
            values = (item.id, item.name, item.identity, document)
            db.execute("INSERT INTO container VALUES (?, ?, ?, ?)", values)
    with closing(Store(path)) as store:
        found = {item.name: item for item in store.containers()}
        assert found == {"old": msgspec.structs.replace(old, identity=17), "plain": plain}
        with pytest.raises(Conflict):
            store.add_container(record("other", identity=17))


MACHINE = {"driver": "qemu", "name": "a", "state": {"pid": 7}}


def test_machines_of_the_fifth_schema_become_sandboxes(path: Path) -> None:
    """One that ran has its container and those that joined it; one of a container that did not run was a helper."""
    kept = {
        name: json.loads(msgspec.json.encode(record(name, status=status)))
        for name, status in {
            "own": Status.RUNNING,
            "guest": Status.PAUSED,
            "looked-at": Status.EXITED,
            "plain": Status.CREATED,
            "stray": Status.RUNNING,
        }.items()
    }
    ids = {name: document["id"] for name, document in kept.items()}
    for name in ("own", "looked-at"):
        kept[name] |= {"machine": MACHINE, "identity": 3}
    seat = {"container": 2, "process": 5, "disks": ["2-scratch"]}
    kept["guest"]["seat"] = {"owner": ids["own"], **seat}
    kept["stray"]["seat"] = {"owner": "f" * 64, **seat}
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db, path, MIGRATIONS[:5])
        for name, document in kept.items():
            values = (ids[name], name, json.dumps(document))
            db.execute("INSERT INTO container VALUES (?, ?, NULL, CAST(? AS BLOB))", values)
    with closing(Store(path)) as store:
        assert {item.name for item in store.containers()} == set(kept)
        found = {item.id: item for item in store.sandboxes()}
    own, helper = found.pop(ids["own"]), found.pop(ids["looked-at"])
    assert found == {}
    assert (own.kind, own.identity, own.size) == (Kind.CONTAINER, 3, record("x").spec.size)
    assert own.machine == MachineRecord("qemu", "a", state={"pid": 7})
    assert own.members == {
        ids["own"]: Placement(),
        ids["guest"]: Placement(2, 5, ("2-scratch",)),
    }
    assert (helper.kind, helper.members) == (Kind.HELPER, {ids["looked-at"]: Placement()})


def test_pods_of_the_sixth_schema_were_containers(path: Path) -> None:
    """The first container of each is the pod's record; its sandbox is the pod's. Other containers stay."""
    first = json.loads(msgspec.json.encode(record("shop", status=Status.RUNNING, started_ns=5)))
    first["host_config"] |= {"NetworkMode": "net1", "Memory": 1 << 27}
    first["config"]["ExposedPorts"] = {"80/tcp": {}}
    first["identity"] = 4
    mounts = [
        {"type": "tmpfs", "source": "tag:shm:/", "target": "/dev/shm", "flags": 14, "data": ""}
    ]
    first["pod"] = {"volumes": [{"Name": "v"}], "share_pid": True, "whole": True, "mounts": mounts}
    plain = json.loads(msgspec.json.encode(record("plain"))) | {"pod": None}
    sandbox = {"id": first["id"], "kind": "container", "members": {first["id"]: {}, "m": {}}}
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db, path, MIGRATIONS[:6])
        for document in (first, plain):
            values = (document["id"], document["name"], None, json.dumps(document))
            db.execute("INSERT INTO container VALUES (?, ?, ?, CAST(? AS BLOB))", values)
        values_ = (first["id"], json.dumps(sandbox))
        db.execute("INSERT INTO sandbox VALUES (?, CAST(? AS BLOB))", values_)
    with closing(Store(path)) as store:
        assert [item.name for item in store.containers()] == ["plain"]
        [pod], [kept] = store.pods(), store.sandboxes()
        assert store.free_identity(6) == 0
    assert (pod.id, pod.name, pod.status, pod.started_ns) == (
        first["id"],
        "shop",
        Status.RUNNING,
        5,
    )
    assert (pod.network, pod.exposed, pod.memory) == ("net1", ["80/tcp"], 1 << 27)
    assert ([volume.name for volume in pod.volumes], pod.share_pid, pod.whole) == (
        ["v"],
        True,
        True,
    )
    assert [mount.target for mount in pod.volume_mounts] == ["/dev/shm"]
    assert (kept.kind, list(kept.members)) == (Kind.POD, [first["id"], "m"])


def test_everything_is_found_again_by_the_next_daemon(path: Path) -> None:
    """Containers, execs, the daemon's id; also without a close, as after kill -9."""
    first = Store(path)
    container = record("web", status=Status.RUNNING, exit_code=3)
    item = exec_record(container)
    first.add_container(container)
    first.save_exec(item)
    container.error = "late"
    first.save_container(container)
    second = Store(path)
    assert second.containers() == [container]
    assert second.execs() == [item]
    assert second.daemon_id == first.daemon_id
    second.delete_container(container.id)
    assert second.execs() == []
    first.close()
    second.close()


def test_two_databases_are_two_daemons(tmp_path: Path) -> None:
    """Their ids differ, and so do their machines' identities."""
    with closing(Store(tmp_path / "a")) as one, closing(Store(tmp_path / "b")) as other:
        assert one.daemon_id != other.daemon_id


def test_an_exec_of_a_container_that_is_gone_is_an_error_of_ours(store: Store) -> None:
    """No row refers to nothing."""
    with pytest.raises((HyperError, sqlite3.IntegrityError)):
        store.save_exec(exec_record(record("gone")))


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    """A daemon of tomorrow must find it as it was."""
    Store(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")
    before = path.read_bytes()
    with pytest.raises(HyperError, match=r"hyper\.db was written by a newer Hyper \(schema 99\)"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 300, b"SQLite format 3\0" + b"\xff" * 8000]
)
def test_a_damaged_file_is_named(path: Path, content: bytes) -> None:
    """And not overwritten."""
    path.write_bytes(content)
    with pytest.raises(HyperError, match=r"cannot use the database .*hyper\.db"):
        Store(path)
    assert path.read_bytes() == content


def test_a_damaged_document_is_named(path: Path) -> None:
    """A row that does not say what a container is."""
    store = Store(path)
    item = record("web")
    store.add_container(item)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE container SET document=?", (b'{"id": 5}',))
    with pytest.raises(HyperError, match="cannot use the database"):
        store.containers()
    store.close()


def test_no_room_is_an_error_with_the_files_name(store: Store) -> None:
    """And the next write, with room again, succeeds: the connection is not broken by it."""
    store._db.execute("PRAGMA max_page_count=1")
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    big = record("big", error="x" * 1_000_000)
    with pytest.raises(HyperError, match=r"hyper\.db: database or disk is full"):
        store.add_container(big)
    assert store.containers() == []
    store._db.execute(f"PRAGMA max_page_count={pages + 10_000}")
    store.add_container(big)
    assert store.containers() == [big]
