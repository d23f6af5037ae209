"""Migrations of the daemon's database: whole or not at all, and never without a copy of what was there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hyper.engine.migrations import MIGRATIONS, Migration, migrate
from hyper.errors import HyperError

FIRST = "CREATE TABLE item (name TEXT) STRICT; INSERT INTO item VALUES ('old')"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The place of a database."""
    return tmp_path / "hyper.db"


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    """A database that is open, as the store opens it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        yield opened


def names(db: sqlite3.Connection) -> list[str]:
    """The names in the table of these tests."""
    return [row[0] for row in db.execute("SELECT name FROM item ORDER BY name")]


def schema(db: sqlite3.Connection) -> int:
    """The schema that the database says it has."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def rename(db: sqlite3.Connection) -> None:
    """A migration that is a function."""
    db.execute("UPDATE item SET name = 'new'")


def test_new_database_gets_all_schemas_without_a_copy(db: sqlite3.Connection, path: Path) -> None:
    """There is nothing to go back to."""
    migrate(db, path)
    assert schema(db) == len(MIGRATIONS)
    assert list(path.parent.glob("*.schema*")) == []


def test_old_database_is_kept_as_a_copy_and_changed_once(
    db: sqlite3.Connection, path: Path
) -> None:
    """The copy is a database of the old schema; a second start changes nothing."""
    migrate(db, path, (FIRST,))
    for _ in range(2):
        migrate(db, path, (FIRST, rename))
        assert (names(db), schema(db)) == (["new"], 2)
        with closing(sqlite3.connect(path.with_name("hyper.db.schema1"))) as copy:
            assert (names(copy), schema(copy)) == (["old"], 1)
    assert sorted(item.name for item in path.parent.iterdir()) == ["hyper.db", "hyper.db.schema1"]


def test_migration_that_fails_changes_nothing(db: sqlite3.Connection, path: Path) -> None:
    """What came before it stays, and the next start goes on from there."""

    def breaks(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO item VALUES ('half')")
        raise sqlite3.OperationalError("disk full")

    migrations: tuple[Migration, ...] = (FIRST, rename)
    migrate(db, path, migrations)
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, path, (*migrations, "INSERT INTO item VALUES ('third')", breaks))
    assert (names(db), schema(db)) == (["new", "third"], 3)
    migrate(db, path, (*migrations, "INSERT INTO item VALUES ('third')", rename))
    assert (names(db), schema(db)) == (["new", "new"], 4)


def test_copy_that_was_not_finished_is_made_again(db: sqlite3.Connection, path: Path) -> None:
    """A daemon that was killed while it copied leaves a draft, which is in nobody's way."""
    migrate(db, path, (FIRST,))
    path.with_name("hyper.db.schema1.new").write_bytes(b"half")
    migrate(db, path, (FIRST, rename))
    with closing(sqlite3.connect(path.with_name("hyper.db.schema1"))) as copy:
        assert names(copy) == ["old"]


def test_copy_of_an_earlier_upgrade_is_replaced(db: sqlite3.Connection, path: Path) -> None:
    """Whoever went back to the older Hyper and wrote with it has that in the copy of the next upgrade."""
    migrate(db, path, (FIRST,))
    migrate(db, path, (FIRST, rename))
    kept = path.with_name("hyper.db.schema1")
    with closing(sqlite3.connect(kept)) as older:
        older.backup(db)
    db.execute("INSERT INTO item VALUES ('written after going back')")
    migrate(db, path, (FIRST, rename))
    with closing(sqlite3.connect(kept)) as copy:
        assert (names(copy), schema(copy)) == (["old", "written after going back"], 1)


def test_newer_database_is_refused_and_not_touched(db: sqlite3.Connection, path: Path) -> None:
    """The error says what to do."""
    db.execute("PRAGMA user_version=99")
    with pytest.raises(HyperError, match=r"newer Hyper \(schema 99\)") as raised:
        migrate(db, path)
    assert "--data-root" in raised.value.hint
    assert list(path.parent.glob("*.schema*")) == []
