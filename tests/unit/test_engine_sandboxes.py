"""Sandboxes as the engine keeps them: what is on disk at which moment, and what occupants learn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from hyper.engine.lifecycle.sandboxes import KeptSandbox, Sandboxes
from hyper.engine.record.sandbox import Kind, Placement
from hyper.engine.store import Store
from hyper.errors import MachineError
from hyper.machine.driver import MachineRecord
from hyper.sandbox.timeline import Timeline
from tests.support.records import plain_record

MACHINE = MachineRecord("test", "m", uid=1234)
OWNER, GUEST = "a" * 64, "b" * 64
LEAD = structs.replace(plain_record(), identity=3)


class Machine:
    """A machine that runs, as far as sandboxes look at it."""

    def __init__(self) -> None:
        self.forgotten: list[int] = []
        self.parted: list[tuple[int, tuple[str, ...]]] = []
        self.session: Any = SimpleNamespace(forget=self.forgotten.append)
        self._last = 1

    def new_container(self) -> int:
        """The next number."""
        self._last += 1
        return self._last

    new_process = new_container

    async def join(self, todo: Any, *, timeout_s: float) -> Any:
        """The answer that ``todo`` brings along."""
        if isinstance(todo.answer, Exception):
            raise todo.answer
        return todo.answer

    async def part(self, container: int, disks: tuple[str, ...]) -> None:
        """The container has left."""
        self.parted.append((container, disks))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of its own."""
    with closing(Store(tmp_path / "db")) as opened:
        yield opened


@pytest.fixture
def machine() -> Machine:
    """The machine that is launched."""
    return Machine()


@pytest.fixture
def sandboxes(store: Store, machine: Machine, tmp_path: Path) -> Sandboxes:
    """Sandboxes whose machines are launched at once."""

    async def launch(plan: Any, *, made: Callable[[MachineRecord], None], **_: Any) -> Any:
        made(MACHINE)
        return SimpleNamespace(sandbox=machine, program=None, pid=1)

    starter: Any = SimpleNamespace(launch=launch)
    driver: Any = None
    return Sandboxes(store, driver, starter, tmp_path / "exec")


async def launched(sandboxes: Sandboxes) -> KeptSandbox:
    """A sandbox that runs with its first container."""
    kept = sandboxes.begin(OWNER, Kind.CONTAINER, LEAD)
    plan: Any = SimpleNamespace(spec=SimpleNamespace(vcpus=2, memory_mib=96))
    await kept.launch(plan, member=OWNER, timeline=Timeline())
    return kept


def todo(answer: Any) -> Any:
    """The plan of a container that comes in with one disk."""
    return SimpleNamespace(disks=(SimpleNamespace(name="2-scratch"),), answer=answer)


async def test_a_sandbox_is_kept_from_its_machine_on_until_it_is_forgotten(
    sandboxes: Sandboxes, store: Store
) -> None:
    """Before there is a machine nothing is kept; the folder is there from the beginning to the end."""
    kept = sandboxes.begin(OWNER, Kind.CONTAINER, LEAD)
    assert (kept.run_dir.is_dir(), store.sandboxes()) == (True, [])
    kept = await launched(sandboxes)
    [record] = store.sandboxes()
    assert (record.id, record.kind, record.identity) == (OWNER, Kind.CONTAINER, 3)
    assert (record.size.vcpus, record.size.memory_mib) == (2, 96)
    assert (record.machine, record.members) == (MACHINE, {OWNER: Placement()})
    assert (sandboxes.machines(), sandboxes.uids()) == ([MACHINE], {1234})
    kept.forget()
    kept.forget()
    assert (store.sandboxes(), list(sandboxes), kept.run_dir.exists()) == ([], [], False)


async def test_the_next_daemon_knows_sandboxes_and_who_is_in_them(
    sandboxes: Sandboxes, store: Store, tmp_path: Path
) -> None:
    """Their machines are still to be found; what was launched and not kept is cleared away."""
    await launched(sandboxes)
    stray = sandboxes.begin(GUEST, Kind.HELPER, LEAD).run_dir
    cleared: list[Path] = []
    recovered: list[MachineRecord] = []

    async def clear(run_dir: Path) -> None:
        cleared.append(run_dir)

    async def recover(machines: list[MachineRecord]) -> None:
        recovered.extend(machines)

    driver: Any = SimpleNamespace(clear=clear, recover=recover)
    starter: Any = None
    second = Sandboxes(store, driver, starter, tmp_path / "exec")
    await second.open()
    [kept] = second
    assert (kept.sandbox, kept.placement(OWNER)) == (None, Placement())
    assert (recovered, cleared) == ([MACHINE], [stray])
    assert (kept.run_dir.exists(), stray.exists()) == (True, False)


async def test_a_container_that_joins_is_kept_before_it_comes(
    sandboxes: Sandboxes, store: Store, machine: Machine
) -> None:
    """With its disks: a daemon killed meanwhile has to take them away. It leaves without a trace."""
    kept = await launched(sandboxes)
    placement = kept.place()
    assert placement.joined
    await kept.join(GUEST, placement, todo("started"))
    assert store.sandboxes()[0].members[GUEST] == Placement(2, 3, ("2-scratch",))
    await kept.part(GUEST)
    assert (machine.forgotten, machine.parted) == ([3], [(2, ("2-scratch",))])


async def test_a_join_that_fails_leaves_no_placement(sandboxes: Sandboxes, store: Store) -> None:
    """Neither in the record nor on disk."""
    kept = await launched(sandboxes)
    with pytest.raises(MachineError):
        await kept.join(GUEST, kept.place(), todo(MachineError("no")))
    assert store.sandboxes()[0].members == kept.record.members == {OWNER: Placement()}


async def test_the_owners_end_ends_the_others_first(sandboxes: Sandboxes, store: Store) -> None:
    """They are ended and have left before the machine is; one that leaves later does not bring the record back."""
    kept = await launched(sandboxes)
    told: list[str] = []

    def occupant(name: str, id: str) -> Any:
        async def note(what: str) -> None:
            await asyncio.sleep(0)
            told.append(f"{name} {what}")

        return SimpleNamespace(
            record=SimpleNamespace(id=id),
            end_with_sandbox=lambda: note("ended"),
            settled=lambda: note("left"),
        )

    owner, guest = occupant("owner", OWNER), occupant("guest", GUEST)
    kept.enter(owner)
    kept.enter(guest)
    await kept.end_others(owner)
    await kept.others_left(owner)
    assert told == ["guest ended", "guest left"]
    kept.leave(owner, last=True)
    kept.leave(guest, last=False)
    assert store.sandboxes() == []
