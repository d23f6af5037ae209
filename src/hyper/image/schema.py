"""The tables of the image store, and how older ones become newer ones."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hyper.errors import HyperError

#: One script per version, applied in order, each in one transaction. Never change one that was released.
MIGRATIONS = (
    """
    CREATE TABLE images (
        id TEXT PRIMARY KEY,
        config BLOB NOT NULL,
        manifest BLOB NOT NULL,
        -- 0: removed by the user, kept because somebody holds it
        visible INTEGER NOT NULL DEFAULT 1,
        pulled_ns INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE layers (
        diff_id TEXT PRIMARY KEY,
        content_bytes INTEGER NOT NULL,
        file_bytes INTEGER NOT NULL,
        entries INTEGER NOT NULL,
        opaque INTEGER NOT NULL,
        empty INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE image_layers (
        image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        diff_id TEXT NOT NULL REFERENCES layers(diff_id),
        PRIMARY KEY (image_id, position)
    ) STRICT;
    CREATE INDEX image_layers_by_layer ON image_layers(diff_id);
    CREATE TABLE tags (
        name TEXT NOT NULL,
        tag TEXT NOT NULL,
        image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        PRIMARY KEY (name, tag)
    ) STRICT;
    CREATE INDEX tags_by_image ON tags(image_id);
    CREATE TABLE digests (
        name TEXT NOT NULL,
        digest TEXT NOT NULL,
        image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        PRIMARY KEY (name, digest)
    ) STRICT;
    CREATE INDEX digests_by_image ON digests(image_id);
    CREATE TABLE holds (
        holder TEXT PRIMARY KEY,
        image_id TEXT NOT NULL REFERENCES images(id)
    ) STRICT;
    CREATE INDEX holds_by_image ON holds(image_id);
    CREATE TABLE merged (
        chain_id TEXT PRIMARY KEY,
        file_bytes INTEGER NOT NULL
    ) STRICT;
    """,
    """
    -- layers as they came: what push and save need
    CREATE TABLE blobs (
        digest TEXT PRIMARY KEY,
        diff_id TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        -- '' (a plain tar), gzip, zstd, bzip2, xz
        compression TEXT NOT NULL
    ) STRICT;
    CREATE INDEX blobs_by_layer ON blobs(diff_id);
    -- repositories that had a blob when we last spoke to them
    CREATE TABLE sources (
        digest TEXT NOT NULL,
        name TEXT NOT NULL,
        diff_id TEXT NOT NULL,
        PRIMARY KEY (digest, name)
    ) STRICT;
    -- '': from nowhere on this host
    ALTER TABLE images ADD COLUMN parent TEXT NOT NULL DEFAULT '';
    -- 0: never
    ALTER TABLE images ADD COLUMN tagged_ns INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX images_by_parent ON images(parent);
    """,
    """
    -- how it came here: what for, '' for those of before; where from; how long it took; when is pulled_ns
    ALTER TABLE images ADD COLUMN origin TEXT NOT NULL DEFAULT '';
    ALTER TABLE images ADD COLUMN place TEXT NOT NULL DEFAULT '';
    ALTER TABLE images ADD COLUMN took_ms INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- App Container Images that became images here
    CREATE TABLE acis (
        aci_id TEXT NOT NULL,
        image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        -- a JSON object
        labels TEXT NOT NULL,
        -- fingerprint of the key whose signature was checked; '': none was
        signer TEXT NOT NULL,
        -- digest of the file it came in
        archive TEXT NOT NULL,
        added_ns INTEGER NOT NULL,
        PRIMARY KEY (aci_id, image_id)
    ) STRICT;
    CREATE INDEX acis_by_image ON acis(image_id);
    CREATE INDEX acis_by_name ON acis(name);
    CREATE INDEX acis_by_archive ON acis(archive);
    """,
)


def connect(path: Path) -> sqlite3.Connection:
    """An open, current database. Committed means on disk.

    Raises:
        HyperError: the database is damaged, or from a newer Hyper.
    """
    try:
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA foreign_keys=ON")
        _migrate(database, path)
    except sqlite3.DatabaseError as error:
        raise HyperError(f"cannot use the image database {path}: {error}") from error
    return database


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    database.execute("CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY) STRICT")
    (version,) = database.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()
    if version > len(MIGRATIONS):
        raise HyperError(
            f"the image database {path} has version {version}, made by a newer Hyper",
            hint=f"this one knows versions up to {len(MIGRATIONS)}",
        )
    for number in range(version + 1, len(MIGRATIONS) + 1):
        # executescript ends an open transaction: the script itself must hold it.
        database.executescript(
            "BEGIN IMMEDIATE;"  # noqa: S608 (our own constants)
            + MIGRATIONS[number - 1]
            + "INSERT INTO migrations SELECT coalesce(max(version), 0) + 1 FROM migrations; COMMIT;"
        )
