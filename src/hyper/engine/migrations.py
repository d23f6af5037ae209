"""The schemas of the daemon's database: each migration makes the next one of the one before.

``PRAGMA user_version`` is the number of migrations that were made. Each is one transaction: a daemon that is killed
meanwhile starts over from the last whole one. Before the first change of a database that an earlier Hyper wrote, the
file is copied to ``hyper.db.schemaN`` beside it, N being its schema, for that Hyper to be gone back to.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from hyper.engine.spec.older import with_spec
from hyper.errors import HyperError

Migration = str | Callable[[sqlite3.Connection], None]


def _keep_specs(db: sqlite3.Connection) -> None:
    """Containers are kept with their specs (docs/decisions/0031-container-spec.md)."""
    for identity, document in db.execute("SELECT id, document FROM container").fetchall():
        try:
            changed = with_spec(document)
        except (HyperError, msgspec.DecodeError) as error:
            raise HyperError(f"container {identity[:12]} cannot be taken over: {error}") from error
        db.execute("UPDATE container SET document=? WHERE id=?", (changed, identity))


def _driver_states(db: sqlite3.Connection) -> None:
    """Driver states are apart from what the record of every machine says (MachineRecord)."""
    common = ("driver", "name", "vcpus", "uid", "spawned_ns")
    rows = "SELECT id, document FROM container WHERE json_type(CAST(document AS TEXT), '$.machine') = 'object'"
    for id, data in db.execute(rows).fetchall():
        document = json.loads(data)
        kept: dict[str, Any] = document["machine"]
        if "state" in kept:
            continue
        machine = {name: kept.pop(name) for name in common if name in kept}
        document["machine"] = machine | {"state": kept}
        changed = json.dumps(document, ensure_ascii=False).encode()
        db.execute("UPDATE container SET document = ? WHERE id = ?", (changed, id))


def _sandboxes(db: sqlite3.Connection) -> None:
    """Machines have records of their own, with the containers in them; until now they were parts of containers.

    The machine of a container that did not run was one in which its files were looked at.
    """
    db.execute("CREATE TABLE sandbox (id TEXT PRIMARY KEY, document BLOB NOT NULL) STRICT")
    sandboxes: dict[str, dict[str, Any]] = {}
    guests: list[tuple[str, dict[str, Any]]] = []
    for id, data in db.execute("SELECT id, document FROM container").fetchall():
        document = json.loads(data)
        machine, seat = document.pop("machine", None), document.pop("seat", None) or {}
        owner = seat.pop("owner", "")
        if owner:
            guests.append((owner, {id: seat}))
        if machine is not None:
            sandboxes[id] = {
                "id": id,
                "kind": "container"
                if document.get("status") in ("running", "paused")
                else "helper",
                "identity": document.get("identity"),
                "size": document["spec"]["size"],
                "machine": machine,
                "members": {id: {} if owner else seat},
            }
        _put(db, "container", id, document)
    for owner, member in guests:
        if owner in sandboxes:
            sandboxes[owner]["members"].update(member)
    for id, sandbox in sandboxes.items():
        _put(db, "sandbox", id, sandbox)


def _pods(db: sqlite3.Connection) -> None:
    """Pods have records of their own; until now a pod was a container whose program only waited."""
    db.execute(
        "CREATE TABLE pod (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, identity INTEGER UNIQUE,"
        " document BLOB NOT NULL) STRICT"
    )
    for id, data in db.execute("SELECT id, document FROM container").fetchall():
        document = json.loads(data)
        pod = document.pop("pod", None)
        if pod is None:
            _put(db, "container", id, document)
            continue
        kept = {name: document[name] for name in _OF_PODS if name in document}
        host = document.get("host_config", {})
        kept |= {name: pod[name] for name in pod if name != "mounts"}
        kept |= {
            "network": host.get("NetworkMode", "default"),
            "exposed": list(document.get("config", {}).get("ExposedPorts") or ()),
            "memory": host.get("Memory", 0),
            "volume_mounts": pod.get("mounts", []),
        }
        values = (id, document["name"], document.get("identity"), json.dumps(kept).encode())
        db.execute("INSERT INTO pod VALUES (?, ?, ?, ?)", values)
        db.execute("DELETE FROM container WHERE id = ?", (id,))
        for row in db.execute("SELECT document FROM sandbox WHERE id = ?", (id,)).fetchall():
            sandbox = json.loads(row[0]) | {"kind": "pod"}
            changed = json.dumps(sandbox, ensure_ascii=False).encode()
            db.execute("UPDATE sandbox SET document = ? WHERE id = ?", (changed, id))


#: What the record of a pod's first container had that is the pod's.
_OF_PODS: Final = (
    *("id", "name", "created_ns", "spec", "status", "started_ns", "finished_ns", "restart_count"),
    *("identity", "ports", "endpoints", "remove_volumes", "stays_down"),
)


def _put(db: sqlite3.Connection, table: str, id: str, document: dict[str, Any]) -> None:
    data = json.dumps(document, ensure_ascii=False).encode()
    if table == "sandbox":
        db.execute("INSERT INTO sandbox VALUES (?, ?)", (id, data))
    else:
        db.execute("UPDATE container SET document = ? WHERE id = ?", (data, id))


#: SQL scripts, or functions of the open database for what SQL cannot say of documents. Only ever added to: at the end.
MIGRATIONS: Final[tuple[Migration, ...]] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE container (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, uid INTEGER UNIQUE, document BLOB NOT NULL
    ) STRICT;
    CREATE TABLE exec (
        id TEXT PRIMARY KEY,
        container_id TEXT NOT NULL REFERENCES container(id) ON DELETE CASCADE,
        document BLOB NOT NULL
    ) STRICT;
    CREATE INDEX exec_container ON exec(container_id);
    """,
    """
    CREATE TABLE network (id TEXT PRIMARY KEY, document BLOB NOT NULL) STRICT;
    """,
    # They were user ids, of ranges that began at multiples of 16384.
    """
    ALTER TABLE container RENAME COLUMN uid TO identity;
    UPDATE container SET identity = identity % 16384, document = CAST(
        json_set(CAST(document AS TEXT), '$.identity', identity % 16384) AS BLOB
    ) WHERE identity NOTNULL;
    """,
    _keep_specs,
    _driver_states,
    _sandboxes,
    _pods,
)


def migrate(
    db: sqlite3.Connection, path: Path, migrations: tuple[Migration, ...] = MIGRATIONS
) -> None:
    """The database ``db``, whose file is ``path``, has the newest schema.

    ``db`` has no transaction open and begins none by itself (isolation_level None).

    Raises:
        HyperError: a newer Hyper wrote it. sqlite3.Error: it cannot be read or written; nothing is half changed.
    """
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(migrations):
        raise HyperError(
            f"{path} was written by a newer Hyper (schema {version})",
            hint="install that version again, or use another --data-root",
        )
    if 0 < version < len(migrations):
        _keep_copy(db, path.with_name(f"{path.name}.schema{version}"))
    for number, migration in enumerate(migrations[version:], start=version + 1):
        _step(db, migration, number)


def _keep_copy(db: sqlite3.Connection, copy: Path) -> None:
    """The database as it is now is also in the file ``copy``, in place of what an earlier upgrade kept there."""
    draft = copy.with_name(copy.name + ".new")
    draft.unlink(missing_ok=True)
    db.execute("VACUUM INTO ?", (str(draft),))
    draft.rename(copy)


def _step(db: sqlite3.Connection, migration: Migration, number: int) -> None:
    if isinstance(migration, str):
        db.executescript(f"BEGIN;{migration};PRAGMA user_version={number};COMMIT")
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        migration(db)
        db.execute(f"PRAGMA user_version={number}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
