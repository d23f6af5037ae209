"""Records of machines, and the driver states in them: today's, and those that an earlier Hyper kept."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from hyper.engine.migrations import _driver_states
from hyper.machine.driver import MachineRecord
from hyper.machine.process import state
from hyper.machine.process.inventory import Inventory
from hyper.machine.process.state import ProcessState
from hyper.machine.qemu.state import QemuState

#: As commit 4c860e0 kept it.
OLDER = {
    "driver": "qemu",
    "accelerator": "tcg",
    "name": "0123456789abcdef",
    "pid": 4711,
    "start_ticks": 815,
    "run_dir": "/run/hyper/vm/0123456789abcdef",
    "spawned_ns": 99,
    "vcpus": 2,
    "slots": {"layer0": True, "scratch": False},
    "uid": 2100000005,
}
STATE = QemuState(
    pid=4711,
    start_ticks=815,
    run_dir="/run/hyper/vm/0123456789abcdef",
    accelerator="tcg",
    slots={"layer0": True, "scratch": False},
)
RECORD = STATE.kept_in(MachineRecord("qemu", "0123456789abcdef", 2, 2100000005, 99))


def test_record_of_an_earlier_hyper_is_read_with_its_driver_state() -> None:
    """What every machine has is where it is today, all else is the driver's; nothing is lost."""
    found = MachineRecord.of(OLDER)
    assert (found.driver, found.name, found.vcpus, found.uid) == (
        *("qemu", "0123456789abcdef", 2, 2100000005),
    )
    assert QemuState.of(found) == STATE
    assert found == RECORD


def test_record_when_kept_and_read_is_the_same() -> None:
    """A record survives its document; one that lacks what a record has is none."""
    assert MachineRecord.of(json.loads(state.encode(RECORD))) == RECORD
    with pytest.raises(TypeError):
        MachineRecord.of({"pid": 1})


def test_record_in_a_run_folder_is_that_drivers(tmp_path: Path) -> None:
    """A folder's record is found by its own driver alone; a damaged one is none."""
    state.save(RECORD, tmp_path)
    assert state.load(tmp_path, "qemu") == RECORD
    assert state.load(tmp_path, "other") is None
    (tmp_path / state.RECORD_FILE).write_text("{")
    assert state.load(tmp_path, "qemu") is None


def test_inventory_of_an_earlier_hyper_is_read(tmp_path: Path) -> None:
    """A machine that an earlier daemon noted is found, and taken off by its process alone."""
    inventory = Inventory(tmp_path / "machines")
    inventory.add(RECORD)
    (tmp_path / "machines" / "0123456789abcdef.json").write_text(json.dumps(OLDER))
    assert inventory.all() == [RECORD]
    later = MachineRecord.of(OLDER | {"pid": 4712})
    inventory.remove(later)
    assert inventory.all() == [RECORD]
    inventory.remove(RECORD)
    assert inventory.all() == []


def test_process_states_are_of_one_process_by_number_and_start() -> None:
    """The folder a machine has moved to does not matter."""
    moved = ProcessState(4711, 815, "/elsewhere")
    assert moved.is_process_of(STATE)
    assert not ProcessState(4711, 816, STATE.run_dir).is_process_of(STATE)
    assert asdict(moved) == moved.kept_in(RECORD).state


def test_migration_of_containers_machines_gives_drivers_a_state_of_their_own() -> None:
    """A machine of the fourth schema is the same one in the fifth; containers without one are left alone."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("CREATE TABLE container (id TEXT PRIMARY KEY, document BLOB NOT NULL) STRICT")
        documents = {
            "runs": {"id": "runs", "name": "bücher", "machine": OLDER},
            "done": {"id": "done", "machine": None},
            "never": {"id": "never"},
        }
        for id, document in documents.items():
            db.execute("INSERT INTO container VALUES (?, ?)", (id, json.dumps(document).encode()))
        _driver_states(db)
        _driver_states(db)  # nothing is left to do
        found = {id: json.loads(data) for id, data in db.execute("SELECT * FROM container")}
    assert MachineRecord.of(found["runs"].pop("machine")) == RECORD
    assert found == documents | {"runs": {"id": "runs", "name": "bücher"}}
