"""Containers that were kept without a spec get the one that their documents amount to."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from hyper.engine.migrations import migrate
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.container_spec import (
    MachineSize,
    NetworkKind,
    Restart,
    RestartRule,
)
from hyper.engine.record.mount import BIND, VOLUME, MountPoint
from hyper.engine.spec.older import with_spec
from hyper.engine.store import Store
from hyper.errors import HyperError
from hyper.types.container import ContainerConfig, HostConfig, RestartPolicy, Ulimit
from tests.support.records import older_document, plain_record, spec_of

ROOT = Path(__file__).parents[1] / "fixtures" / "root-4c860e0.tar.xz"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The database of the daemon of commit 4c860e0 (tests/fixtures/README.md)."""
    with tarfile.open(ROOT) as root:
        for name in ("hyper.db", "hyper.db-wal", "hyper.db-shm"):
            for member in root.getmembers():
                if member.name.removeprefix("./") == name:
                    source = root.extractfile(member)
                    assert source is not None
                    with (tmp_path / name).open("wb") as target:
                        shutil.copyfileobj(source, target)
    return tmp_path / "hyper.db"


def found(path: Path) -> dict[str, ContainerRecord]:
    """The containers that today's daemon finds in the database ``path``, by name."""
    with closing(Store(path)) as store:
        return {record.name: record for record in store.containers()}


def test_containers_of_4c860e0_have_specs(kept: Path) -> None:
    """Each says of program, image, size, network, mounts and restart what was asked then."""
    containers = found(kept)
    assert {"done", "never", "always", "tick", "web", "guest", "pod-a"} <= set(containers)
    for record in containers.values():
        spec = record.spec
        assert spec.program.args == (*(record.config.entrypoint or []), *(record.config.cmd or []))
        assert spec.image.reference == record.config.image
        assert spec.image.id != ""
        assert "KILL" in spec.privileges.capabilities or record.host_config.cap_drop
    assert containers["always"].spec.restart == RestartRule(Restart.ALWAYS)
    guest = containers["guest"].spec
    assert guest.network.kind is NetworkKind.JOINED
    assert guest.network.joins in {record.id for record in containers.values()}
    assert containers["web"].spec.network.kind is NetworkKind.OWN


def test_everything_a_document_said_is_in_its_spec() -> None:
    """As if the container were made now; mounts with labels, a filter, and handlers in the agent's form, too."""
    config = ContainerConfig(cmd=["x"], env=["A=1"], stop_signal="INT", labels={"a": "b"})
    host = HostConfig(
        memory=64 << 20,
        nano_cpus=1_500_000_000,
        pids_limit=10,
        restart_policy=RestartPolicy("on-failure", 3),
        ulimits=[Ulimit("nofile", 64, -1)],
        extra_hosts=["a:1.2.3.4"],
        auto_remove=False,
    )
    mounts = [
        {"kind": "bind", "target": "/a", "source": "/b", "read_only": True},
        {"kind": "volume", "target": "/v", "volume": "v", "labels": {"k": "v"}},
    ]
    document = older_document(
        plain_record(config, host),
        vcpus=2,
        memory_mib=98,
        mounts=mounts,
        seccomp="YWI=",
        handlers=["", "2", "1", "a", "b", "c"],
    )
    members = json.loads(with_spec(document))
    assert not {"vcpus", "memory_mib", "mounts", "seccomp", "handlers", "image_id"} & set(members)
    made = plain_record(config, host).spec
    expected = spec_of(
        config,
        host,
        size=MachineSize(2, 98),
        seccomp=b"ab",
        mounts=(
            MountPoint(BIND, "/a", source="/b", read_only=True),
            MountPoint(VOLUME, "/v", volume="v", labels=(("k", "v"),)),
        ),
    )
    got = msgspec.json.decode(with_spec(document), type=ContainerRecord).spec
    assert got.program.pre_start == ("a", "b")
    assert got.program.post_stop == ("c",)
    assert (got.privileges, got.mounts, got.size) == (
        expected.privileges,
        expected.mounts,
        expected.size,
    )
    assert (got.limits, got.restart, got.network) == (made.limits, made.restart, made.network)


def test_document_that_makes_no_sense_stops_the_upgrade_and_is_named(tmp_path: Path) -> None:
    """Nothing is changed, and the person who reads it knows which container it is."""
    path = tmp_path / "hyper.db"
    with closing(Store(path)):
        pass
    bad = older_document(plain_record(host=HostConfig(ulimits=[])), seccomp=7)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA user_version=3")
        db.execute("INSERT INTO container VALUES (?, 'web', NULL, ?)", ("a" * 64, bad))
        with pytest.raises(HyperError, match="container aaaaaaaaaaaa cannot be taken over"):
            migrate(db, path)
        assert db.execute("SELECT document FROM container").fetchone()[0] == bad
