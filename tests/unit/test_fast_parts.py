"""The parts of fast starts that need no machine: how many wait, whose identity, what a timeline tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from hyper.engine.identities import Identities
from hyper.engine.lifecycle.start_log import StartLog
from hyper.errors import HyperError, NotFound
from hyper.machine import abilities
from hyper.machine.driver import Driver
from hyper.machine.spec import MachineSpec, Nic, SharedPath, TapNic, UserNic
from hyper.machine.template import Card, Shape, TemplateStore, TemplateTerms
from hyper.proto.message import GuestHello
from hyper.sandbox.pool import IDLE_S, Pool, PooledMachine, _Bucket
from hyper.sandbox.shape import layer_disks, shape_of
from hyper.sandbox.templates import PrebootContext, Templates
from hyper.sandbox.timeline import HELLO, SPAWNED, TAKEN, Timeline
from hyper.sandbox.warm_up import WarmUp
from tests.support.machine_specs import PLAIN


@pytest.mark.parametrize(
    ("starts", "now", "wanted"),
    [
        ([], 0.0, 1),
        ([0.0], 0.5, 1),
        ([0.0, 0.1, 0.2, 0.3], 0.5, 2),
        ([0.1 * number for number in range(20)], 2.0, 6),
        ([0.1 * number for number in range(20)], 13.0, 1),
        ([0.0], IDLE_S + 1, 0),
    ],
)
def test_bucket_wants_as_many_machines_as_starts_ask_for(
    starts: list[float], now: float, wanted: int
) -> None:
    """One after any start, more while they come fast, none after a quiet while."""
    bucket = _Bucket()
    bucket.starts.extend(starts)
    bucket.last = starts[-1] if starts else 0.0
    assert bucket.wanted(now) == wanted


@pytest.mark.parametrize(
    ("most", "beside", "shared", "layers"),
    [
        (32, 1, False, 4),
        (32, 1, True, 3),
        (32, 3, True, 1),
        (32, 0, False, 5),
        (32, 31, False, 1),
        (3, 1, False, 2),
        (3, 2, False, 1),
    ],
)
def test_layers_give_way_to_volumes_until_one_is_left(
    most: int, beside: int, shared: bool, layers: int
) -> None:
    """Layers can be merged, volumes cannot; a start is fast with few disks, whatever the hypervisor takes."""
    driver = cast(Driver, SimpleNamespace(max_disks=lambda *, shared: most))
    assert layer_disks(driver, beside=beside, shared=shared) == layers


def test_identities_in_use_are_not_leased_again() -> None:
    """Neither leased twice nor one that a container's machine has; given back they are free."""
    identities = Identities(range(100, 103), used=lambda: {101})
    with identities.lease() as one, identities.lease() as two:
        assert (one, two) == (100, 102)
        with (
            pytest.raises(HyperError, match="all 3 machine identities are in use"),
            identities.lease(),
        ):
            pass
    with identities.lease() as again:
        assert again == 100


def test_identities_without_root_are_none() -> None:
    """Machines run as ourselves then."""
    with Identities(None, used=set).lease() as uid:
        assert uid is None


def test_start_log_keeps_the_last_timelines_of_removed_containers() -> None:
    """The last one of each container; the oldest go first."""
    log = StartLog()
    first = log.begin("a")
    second = log.begin("a")
    assert log.get("a") is second is not first
    for number in range(200):
        log.begin(str(number))
    with pytest.raises(NotFound):
        log.get("a")
    assert log.get("0") is not None


def test_timeline_tells_how_long_a_machine_took() -> None:
    """From its spawn to its hello, or from when it was taken out of the pool; nothing where it never came."""
    timeline = Timeline()
    assert timeline.ready_ms is None
    timeline.mark("machine planned", 1_000_000)
    assert timeline.ready_ms is None
    timeline.mark(TAKEN, 3_500_000)
    assert timeline.ready_ms == 2.5
    booted = Timeline()
    booted.mark("machine planned", 0)
    booted.mark(SPAWNED, 1_000_000)
    booted.mark(HELLO, 342_000_000)
    assert booted.ready_ms == 341


def _with(**more: object) -> MachineSpec:
    return replace(PLAIN, **more)  # type: ignore[arg-type]


def test_shape_of_a_machine() -> None:
    """Cards make a difference, what the host shares makes it none of any template, and so does size."""
    assert shape_of(PLAIN) == Shape(1, 128, Card.NONE)
    assert shape_of(_with(nics=(TapNic("02:00:00:00:00:01", 3),))) == Shape(1, 128, Card.TAP)
    nic = UserNic("02:00:00:00:00:01", "10.0.2.0/24")
    assert shape_of(_with(nics=(nic,), vcpus=2)) == Shape(2, 128, Card.USER)
    assert shape_of(_with(shared=(SharedPath(Path("/x"), True),))) is None
    assert shape_of(_with(command_line=("x",))) is None


def test_terms_of_templates_name_a_largest_machine_and_what_waiting_costs() -> None:
    """A machine of the largest size is copied and counts as a copy; one more MiB, and it boots and counts as that."""
    terms = TemplateTerms(max_memory_mib=320, copy_mib=48, booted_mib=160)
    largest, larger = Shape(1, 320, Card.TAP), Shape(1, 321, Card.TAP)
    assert (terms.copied(largest), terms.cost_mib(largest)) == (True, 48)
    assert (terms.copied(larger), terms.cost_mib(larger)) == (False, 160)


def _pool(tmp_path: Path, *, available_mib: int) -> Pool:
    """One whose driver makes nothing."""
    driver = cast(abilities.Templates, _Nothing())
    preboot = PrebootContext(tmp_path, tmp_path, tmp_path / "pool", nullcontext, _no_card, 1.0)
    warm_up = WarmUp.__new__(WarmUp)
    templates = Templates(driver, TemplateStore(tmp_path / "t"), preboot, warm_up)
    return Pool(
        driver, templates, preboot, warm_up, limit_mib=1000, available_mib=lambda: available_mib
    )  # fmt: skip


async def test_a_host_that_is_short_of_memory_has_no_waiting_machines(tmp_path: Path) -> None:
    """Demand alone makes none: nothing of the driver is even asked for but what it is."""
    pool = _pool(tmp_path, available_mib=100)
    await pool.open()
    assert pool.acquire(Shape(1, 128, Card.NONE)) is None
    await pool.settled()
    [state] = pool.state()
    assert (state.waiting, state.wanted, pool.missed) == (0, 1, 1)
    await pool.close()


async def test_pool_closed_while_a_machine_ends_leaves_none(tmp_path: Path) -> None:
    """What the keeper was told to stop in the middle of is done again, to its end: nothing of the machine is left."""
    pool = _pool(tmp_path, available_mib=100)
    await pool.open()
    begun, ended, released = asyncio.Event(), [], AsyncExitStack()
    released.callback(ended.append, "holds")

    class Ending:
        """The first time it takes for ever."""

        async def kill(self) -> None:
            if not begun.is_set():
                begun.set()
                await asyncio.Event().wait()
            ended.append("kill")

        async def close(self) -> None:
            ended.append("close")

    class Silent:
        def abort(self, _: object) -> None:
            pass

    shape = Shape(1, 128, Card.NONE)
    hello = GuestHello.__new__(GuestHello)
    pool._leaving.append(PooledMachine(Ending(), Silent(), hello, shape, (), "x", released))  # type: ignore[arg-type]
    pool.acquire(shape)
    await begun.wait()
    await pool.close()
    assert ended == ["kill", "close", "holds"]


class _Nothing:
    """A driver of which nothing may be wanted."""

    terms = TemplateTerms(max_memory_mib=320, copy_mib=48, booted_mib=160)

    async def template_prefix(self) -> str:
        return "x"


@asynccontextmanager
async def _no_card(_: Card, __: str) -> AsyncIterator[tuple[Nic, ...]]:
    yield ()
