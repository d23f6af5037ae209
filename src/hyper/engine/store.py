"""The daemon's memory: containers, pods, execs, networks and sandboxes in SQLite.

Every change is one transaction, so a daemon killed at any moment finds either the old or the new. WAL with
``synchronous=NORMAL``: a killed daemon loses nothing, a power cut may lose the last changes but never the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hyper.engine.migrations import migrate
from hyper.engine.record.container import ContainerRecord, ExecRecord
from hyper.engine.record.network import NetworkRecord
from hyper.engine.record.pod import PodRecord
from hyper.engine.record.sandbox import SandboxRecord
from hyper.errors import Conflict, HyperError
from hyper.ids import new_id

T = TypeVar("T")


class Store:
    """The store of records: the database at ``path``, made or brought up to date on opening. One daemon at a time.

    Every method raises HyperError when the database cannot be read or written (disk full, damaged).

    Raises:
        HyperError: the database was written by a newer Hyper, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._containers = msgspec.json.Decoder(ContainerRecord)
        self._execs = msgspec.json.Decoder(ExecRecord)
        self._networks = msgspec.json.Decoder(NetworkRecord)
        self._pods = msgspec.json.Decoder(PodRecord)
        self._sandboxes = msgspec.json.Decoder(SandboxRecord)
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA foreign_keys=ON")
            migrate(self._db, path)
            self.daemon_id = self._daemon_id()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> HyperError:
        return HyperError(f"cannot use the database {self._path}: {error}")

    def _do(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of one statement, which is a transaction of its own."""
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _daemon_id(self) -> str:
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('daemon_id', ?)", (new_id(),))
        row = self._db.execute("SELECT value FROM meta WHERE key='daemon_id'").fetchone()
        return str(row[0])

    def add_container(self, record: ContainerRecord) -> None:
        """The record of a new container is kept.

        Raises:
            Conflict: the container's name is taken.
        """
        try:
            self._do(
                "INSERT INTO container (id, name, identity, document) VALUES (?, ?, ?, ?)",
                (record.id, record.name, record.identity, self._encode(record)),
            )
        except sqlite3.IntegrityError:
            raise Conflict(f"The container name {record.name!r} is already in use") from None

    def save_container(self, record: ContainerRecord) -> None:
        """The record of the container is kept as it is now."""
        self._do(
            "UPDATE container SET name=?, identity=?, document=? WHERE id=?",
            (record.name, record.identity, self._encode(record), record.id),
        )

    def delete_container(self, container_id: str) -> None:
        """The container and its execs are not kept any more."""
        self._do("DELETE FROM container WHERE id=?", (container_id,))

    def containers(self) -> list[ContainerRecord]:
        """The records of all containers, in no particular order."""
        return self._documents("SELECT document FROM container", self._containers)

    def _documents(self, query: str, decoder: msgspec.json.Decoder[T]) -> list[T]:
        try:
            return [decoder.decode(row[0]) for row in self._do(query)]
        except msgspec.DecodeError as error:
            raise self._failed(error) from error

    def save_sandbox(self, record: SandboxRecord) -> None:
        """The record of the sandbox is kept as it is now."""
        self._do(
            "INSERT INTO sandbox VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET document=excluded.document",
            (record.id, self._encode(record)),
        )

    def sandboxes(self) -> list[SandboxRecord]:
        """The records of all sandboxes."""
        return self._documents("SELECT document FROM sandbox", self._sandboxes)

    def delete_sandbox(self, sandbox_id: str) -> None:
        """The sandbox is not kept any more."""
        self._do("DELETE FROM sandbox WHERE id=?", (sandbox_id,))

    def add_pod(self, record: PodRecord) -> None:
        """The record of a new pod is kept. Raises: Conflict: the pod's name is another pod's."""
        try:
            self._do(
                "INSERT INTO pod (id, name, identity, document) VALUES (?, ?, ?, ?)",
                (record.id, record.name, record.identity, self._encode(record)),
            )
        except sqlite3.IntegrityError:
            raise Conflict(f"The pod name {record.name!r} is already in use") from None

    def save_pod(self, record: PodRecord) -> None:
        """The record of the pod is kept as it is now."""
        self._do("UPDATE pod SET document=? WHERE id=?", (self._encode(record), record.id))

    def pods(self) -> list[PodRecord]:
        """The records of all pods."""
        return self._documents("SELECT document FROM pod", self._pods)

    def delete_pod(self, pod_id: str) -> None:
        """The pod is not kept any more."""
        self._do("DELETE FROM pod WHERE id=?", (pod_id,))

    def free_identity(self, count: int) -> int:
        """The lowest of ``count`` machine identities that neither a container nor a pod has, from 0.

        Raises:
            HyperError: all are taken.
        """
        taken = {
            row[0]
            for row in self._do(
                "SELECT identity FROM container WHERE identity NOTNULL UNION"
                " SELECT identity FROM pod WHERE identity NOTNULL"
            )
        }
        for identity in range(count):
            if identity not in taken:
                return identity
        raise HyperError(f"all {count} machine identities are in use")

    def save_exec(self, record: ExecRecord) -> None:
        """The record of the exec is kept as it is now."""
        self._do(
            "INSERT INTO exec VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET document=excluded.document",
            (record.id, record.container_id, self._encode(record)),
        )

    def execs(self) -> list[ExecRecord]:
        """The records of all execs."""
        return self._documents("SELECT document FROM exec", self._execs)

    def delete_execs(self, exec_ids: Sequence[str]) -> None:
        """The execs are not kept any more."""
        ids = msgspec.json.encode(exec_ids).decode()
        self._do("DELETE FROM exec WHERE id IN (SELECT value FROM json_each(?))", (ids,))

    def save_network(self, network_id: str, record: NetworkRecord) -> None:
        """The record of the network is kept as it is now."""
        self._do(
            "INSERT INTO network VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET document=excluded.document",
            (network_id, self._encode(record)),
        )

    def networks(self) -> list[NetworkRecord]:
        """The records of all networks."""
        return self._documents("SELECT document FROM network", self._networks)

    def delete_network(self, network_id: str) -> None:
        """The network is not kept any more."""
        self._do("DELETE FROM network WHERE id=?", (network_id,))

    def close(self) -> None:
        """The database is closed: all is on disk and the file is released."""
        self._db.close()
