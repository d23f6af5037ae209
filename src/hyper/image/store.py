"""The image store: content-addressed files, and the SQLite records that say which of them count.

    root/images.db               records; root/lock keeps a second daemon out
    root/layers/<hex>.sqfs       one squashfs per layer, named by its diff id
    root/merged/<hex>.sqfs       the lowest layers of deep images as one, named by their chain id
    root/blobs/<hex>             layers as they came, named by their digest (see `hyper.image.blobs`)
    root/tmp/                    whatever is not finished

A file appears by rename before its record is committed and disappears after its record. So a crash leaves at worst
files that no record names; `Store.collect` removes them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hyper.errors import Conflict
from hyper.image.record import LayerInfo, Origin
from hyper.image.reference import Reference, check_name, named
from hyper.image.schema import connect
from hyper.system import files

_SUFFIX = ".sqfs"
_LOCK_PATIENCE_S = 0.5


class Store:
    """The store: files and records. Methods are short and may be called from any thread. Closed by `close`."""

    def __init__(self, root: Path) -> None:
        """Open the store in ``root``, made if missing; what a crash left behind is removed.

        Raises:
            Conflict: another process has it open.
            HyperError: the database cannot be used.
        """
        self.root = root
        self.tmp = root / "tmp"
        for folder in (root, self.tmp, root / "layers", root / "merged", root / "blobs"):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._lock_fd = _lock(root / "lock")
        self._mutex = threading.RLock()
        self._pins: dict[str, int] = {}
        try:
            self._db = connect(root / "images.db")
        except BaseException:
            os.close(self._lock_fd)
            raise
        for leftover in self.tmp.iterdir():
            leftover.unlink()
        self.collect()

    def close(self) -> None:
        """Let go of the database and the lock."""
        with self._mutex:
            self._db.close()
            os.close(self._lock_fd)

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """The transaction of a change: everything or nothing, on disk when the context ends."""
        with self._mutex:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """The rows that a query finds."""
        with self._mutex:
            return self._db.execute(query, values).fetchall()

    # Layers

    def layer_path(self, diff_id: str) -> Path:
        """The path where a layer's squashfs is, or would be."""
        return self.root / "layers" / (diff_id.removeprefix("sha256:") + _SUFFIX)

    def merged_path(self, chain: str) -> Path:
        """The path where the union of the layers of a chain is, or would be."""
        return self.root / "merged" / (chain.removeprefix("sha256:") + _SUFFIX)

    def layer(self, diff_id: str) -> LayerInfo | None:
        """The facts about a layer, None if the store has it not."""
        found = self.rows("SELECT * FROM layers WHERE diff_id = ?", diff_id)
        if not found:
            return None
        identity, content, size, entries, opaque, empty = found[0]
        return LayerInfo(
            str(identity), _int(content), _int(size), _int(entries), bool(opaque), bool(empty)
        )

    def add_layer(self, info: LayerInfo, finished: Path) -> None:
        """Take the complete, synced file ``finished`` in as a layer."""
        with self.adopted(finished, self.layer_path(info.diff_id)) as db:
            values = (info.diff_id, info.content_bytes, info.file_bytes, info.entries)
            db.execute(
                "INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?, ?)",
                (*values, int(info.opaque), int(info.empty)),
            )

    def has_merged(self, chain: str) -> bool:
        """Whether the union of a chain is there."""
        return bool(self.rows("SELECT 1 FROM merged WHERE chain_id = ?", chain))

    def add_merged(self, chain: str, finished: Path) -> None:
        """Take the complete, synced file ``finished`` in as the union of a chain."""
        size = finished.stat().st_size
        with self.adopted(finished, self.merged_path(chain)) as db:
            db.execute("INSERT OR REPLACE INTO merged VALUES (?, ?)", (chain, size))

    @contextmanager
    def adopted(self, finished: Path, target: Path) -> Iterator[sqlite3.Connection]:
        """The file is renamed, its name durable; then comes a transaction for the record."""
        # One lock over all steps: collect() would take the file for garbage in between.
        with self._mutex:
            finished.rename(target)
            files.sync_dir(target.parent)
            with self.change() as db:
                yield db

    @contextmanager
    def pinned(self, diff_ids: Iterable[str]) -> Iterator[None]:
        """Keep layers that no image names yet from being collected, as long as the context lasts."""
        mine = list(diff_ids)
        with self._mutex:
            for diff_id in mine:
                self._pins[diff_id] = self._pins.get(diff_id, 0) + 1
        try:
            yield
        finally:
            with self._mutex:
                for diff_id in mine:
                    self._pins[diff_id] -= 1
                    if not self._pins[diff_id]:
                        del self._pins[diff_id]

    def is_pinned(self, diff_id: str) -> bool:
        """Whether a caller keeps a layer from being collected."""
        with self._mutex:
            return diff_id in self._pins

    # Images

    def add_image(
        self,
        image_id: str,
        config: bytes,
        manifest: bytes,
        layers: Iterable[str],
        *,
        origin: Origin,
        parent: str = "",
    ) -> bool:
        """Record an image whose layers are all there. Whether it was unknown (or removed) before.

        ``manifest``: as its registry or archive has it, b"" for an image made here or without one. ``origin`` counts
        (from now) if it was unknown. ``parent``: the image it was made from on this host.
        """
        with self.change() as db:
            known = db.execute("SELECT visible FROM images WHERE id = ?", (image_id,)).fetchone()
            if known is not None:
                if not known[0]:
                    _show(db, image_id, origin)
                if manifest:
                    db.execute(
                        "UPDATE images SET manifest = ? WHERE id = ? AND length(manifest) = 0",
                        (manifest, image_id),
                    )
                return not known[0]
            db.execute(
                "INSERT INTO images (id, config, manifest, pulled_ns, parent) VALUES (?, ?, ?, 0, ?)",
                (image_id, config, manifest, parent),
            )
            _show(db, image_id, origin)
            db.executemany(
                "INSERT INTO image_layers VALUES (?, ?, ?)",
                [(image_id, number, diff_id) for number, diff_id in enumerate(layers)],
            )
            return True

    def show_image(self, image_id: str, origin: Origin) -> bool:
        """The image, if it is here, is no removed one; ``origin`` counts if it was. False: it is not here at all."""
        with self.change() as db:
            known = db.execute("SELECT visible FROM images WHERE id = ?", (image_id,)).fetchone()
            if known is not None and not known[0]:
                _show(db, image_id, origin)
            return known is not None

    def origin(self, image_id: str) -> Origin | None:
        """The origin of an image; None for one that is not here, and for one from before this was written down."""
        query = "SELECT origin, place, took_ms, pulled_ns FROM images WHERE id = ? AND origin != ''"
        for kind, place, took_ms, at_ns in self.rows(query, image_id):
            return Origin(str(kind), str(place), _int(took_ms), _int(at_ns))
        return None

    def set_reference(self, reference: Reference, image_id: str) -> None:
        """Make a tag (moved if it was another's) or a digest of a repository name the image.

        Raises:
            InvalidRequest: the name would be taken for a digest.
        """
        check_name(reference)
        with self.change() as db:
            if reference.tag is not None:
                values = (reference.name, reference.tag, image_id)
                db.execute("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", values)
                db.execute(
                    "UPDATE images SET tagged_ns = ? WHERE id = ?", (time.time_ns(), image_id)
                )
            if reference.digest is not None:
                values = (reference.name, reference.digest, image_id)
                db.execute("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", values)

    def drop_references(self, references: Iterable[Reference]) -> None:
        """Forget tags and digests."""
        with self.change() as db:
            for reference in references:
                if reference.digest is not None:
                    values = (reference.name, reference.digest)
                    db.execute("DELETE FROM digests WHERE name = ? AND digest = ?", values)
                else:
                    values = (reference.name, reference.tag or "")
                    db.execute("DELETE FROM tags WHERE name = ? AND tag = ?", values)

    def resolve(self, reference: Reference) -> str | None:
        """The id of the image that a tag or digest names."""
        if reference.digest is not None:
            query = "SELECT image_id FROM digests WHERE name = ? AND digest = ?"
            found = self.rows(query, reference.name, reference.digest)
        else:
            query = "SELECT image_id FROM tags WHERE name = ? AND tag = ?"
            found = self.rows(query, reference.name, reference.tag)
        return str(found[0][0]) if found else None

    def references(self, image_id: str) -> list[Reference]:
        """The tags, then the digests, that name an image; sorted."""
        tags = self.rows("SELECT name, tag FROM tags WHERE image_id = ? ORDER BY 1, 2", image_id)
        digests = self.rows(
            "SELECT name, digest FROM digests WHERE image_id = ? ORDER BY 1, 2", image_id
        )
        return [named(str(name), tag=str(tag)) for name, tag in tags] + [
            named(str(name), digest=str(digest)) for name, digest in digests
        ]

    def layers_of(self, image_id: str) -> list[str]:
        """An image's diff ids, lowest first."""
        query = "SELECT diff_id FROM image_layers WHERE image_id = ? ORDER BY position"
        return [str(row[0]) for row in self.rows(query, image_id)]

    def stack_of(self, image_id: str) -> list[str]:
        """The layers that matter, lowest first: none that is empty, hidden as a whole, or repeated above."""
        stack: list[str] = []
        for diff_id in self.layers_of(image_id):
            info = self.layer(diff_id)
            assert info is not None
            if info.opaque:
                stack.clear()
            if not info.empty:
                stack.append(diff_id)
        return _without_repetition(stack)

    def hold(self, holder: str, image_id: str) -> None:
        """Keep an image's layers for ``holder`` (it has one hold at most), even when the image is removed."""
        with self.change() as db:
            db.execute("INSERT OR REPLACE INTO holds VALUES (?, ?)", (holder, image_id))

    def release(self, holder: str) -> None:
        """Give up a hold, if there is one; an image that was only held goes."""
        with self.change() as db:
            db.execute("DELETE FROM holds WHERE holder = ?", (holder,))

    def hide(self, image_id: str) -> None:
        """Remove an image with all its names; if a container holds it, its layers stay."""
        with self.change() as db:
            db.execute("DELETE FROM tags WHERE image_id = ?", (image_id,))
            db.execute("DELETE FROM digests WHERE image_id = ?", (image_id,))
            db.execute("UPDATE images SET visible = 0 WHERE id = ?", (image_id,))

    # Garbage

    def collect(self) -> list[str]:
        """Remove images neither seen nor held, then unnamed layers, then their files. The diff ids that went."""
        with self._mutex:
            with self.change() as db:
                db.execute(
                    "DELETE FROM images WHERE NOT visible"
                    " AND id NOT IN (SELECT image_id FROM holds)"
                )
                unused = [
                    str(row[0])
                    for row in db.execute(
                        "SELECT diff_id FROM layers"
                        " WHERE diff_id NOT IN (SELECT diff_id FROM image_layers)"
                    )
                    if row[0] not in self._pins
                ]
                db.executemany("DELETE FROM layers WHERE diff_id = ?", [(one,) for one in unused])
                for table in ("blobs", "sources"):
                    db.execute(
                        f"DELETE FROM {table} WHERE diff_id NOT IN (SELECT diff_id FROM layers)"  # noqa: S608
                    )
                self._forget_merged(db)
            self._sweep()
        return unused

    def _forget_merged(self, db: sqlite3.Connection) -> None:
        chains: set[str] = set()
        for (image_id,) in db.execute("SELECT id FROM images").fetchall():
            chains.update(chain_ids(self.stack_of(image_id)))
        kept = [row[0] for row in db.execute("SELECT chain_id FROM merged").fetchall()]
        gone = [(chain,) for chain in kept if chain not in chains]
        db.executemany("DELETE FROM merged WHERE chain_id = ?", gone)

    def _sweep(self) -> None:
        """The files that no record names are removed."""
        for folder, suffix, query in (
            ("layers", _SUFFIX, "SELECT diff_id FROM layers"),
            ("merged", _SUFFIX, "SELECT chain_id FROM merged"),
            ("blobs", "", "SELECT digest FROM blobs"),
        ):
            named = {str(row[0]).removeprefix("sha256:") + suffix for row in self.rows(query)}
            for file in (self.root / folder).iterdir():
                if file.name not in named:
                    file.unlink()


def _show(db: sqlite3.Connection, image_id: str, origin: Origin) -> None:
    db.execute(
        "UPDATE images SET visible = 1, origin = ?, place = ?, took_ms = ?, pulled_ns = ? WHERE id = ?",
        (origin.kind, origin.place, origin.took_ms, time.time_ns(), image_id),
    )


def chain_ids(diff_ids: Iterable[str]) -> list[str]:
    """The chain id of every prefix of ``diff_ids``. Source: OCI image-spec, "Layer ChainID"."""
    chains: list[str] = []
    for diff_id in diff_ids:
        if not chains:
            chains.append(diff_id)
        else:
            digest = hashlib.sha256(f"{chains[-1]} {diff_id}".encode()).hexdigest()
            chains.append(f"sha256:{digest}")
    return chains


def _without_repetition(diff_ids: list[str]) -> list[str]:
    """The diff ids without those that come again later: everything they set is set again there."""
    return list(dict.fromkeys(reversed(diff_ids)))[::-1]


def _lock(path: Path) -> int:
    """A descriptor that locks ``path``. It waits a moment: a child that our predecessor forked just before it
    was killed has the lock until it executes its program.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                os.close(fd)
                raise Conflict(
                    f"the image store {path.parent} is in use by another process"
                ) from error
            time.sleep(0.01)
        else:
            return fd


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
