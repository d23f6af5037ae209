"""Blobs: layers as they came, compressed or not. Push and save hand them on; a lost one can be fetched again.

The machines read squashfs, from which no identical tar can be made again; so the store keeps each layer's blob beside
it (docs/decisions/0010-blobs.md). A blob lives as long as its layer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hyper.image.store import Store


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob: a layer's tar as a file of the store. ``compression``: "" (none), "gzip", "zstd", "bzip2", "xz"."""

    digest: str
    diff_id: str
    size: int
    compression: str


def path(store: Store, digest: str) -> Path:
    """The path where a blob is, or would be."""
    return store.root / "blobs" / digest.removeprefix("sha256:")


def add(store: Store, blob: Blob, finished: Path) -> None:
    """The blob ``blob`` is in the store: the complete, synced file ``finished``; its layer is there, or pinned."""
    finished.chmod(0o400)
    if os.geteuid() == 0:
        os.chown(finished, 0, 0)
    with store.adopted(finished, path(store, blob.digest)) as db:
        values = (blob.digest, blob.diff_id, blob.size, blob.compression)
        db.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?)", values)


def drop(store: Store, digest: str) -> None:
    """The blob is not in the store any more; its layer stays."""
    with store.change() as db:
        db.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
    path(store, digest).unlink(missing_ok=True)


def get(store: Store, digest: str) -> Blob | None:
    """The blob with this digest, None if the store has it not."""
    found = store.rows(f"{_SELECT} WHERE digest = ?", digest)
    return _blob(found[0]) if found else None


def of_layer(store: Store, diff_id: str) -> list[Blob]:
    """The blobs that unpack to a layer; sorted, the compressed ones first."""
    found = store.rows(f"{_SELECT} WHERE diff_id = ? ORDER BY compression = '', digest", diff_id)
    return [_blob(row) for row in found]


def add_sources(store: Store, name: str, blobs: Iterable[tuple[str, str]]) -> None:
    """The repository ``name`` (in full) is remembered to have these (digest, diff id)."""
    with store.change() as db:
        db.executemany(
            "INSERT OR REPLACE INTO sources VALUES (?, ?, ?)",
            [(digest, name, diff_id) for digest, diff_id in blobs],
        )


def sources(store: Store, digest: str) -> list[str]:
    """The repositories (in full) that had a blob; sorted."""
    query = "SELECT name FROM sources WHERE digest = ? ORDER BY name"
    return [str(row[0]) for row in store.rows(query, digest)]


def disk_bytes(store: Store) -> int:
    """The bytes that all blobs together take."""
    ((total,),) = store.rows("SELECT coalesce(sum(bytes), 0) FROM blobs")
    return int(str(total))


_SELECT = "SELECT digest, diff_id, bytes, compression FROM blobs"


def _blob(row: tuple[object, ...]) -> Blob:
    digest, diff_id, size, compression = row
    return Blob(str(digest), str(diff_id), int(str(size)), str(compression))
