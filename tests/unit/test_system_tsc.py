"""The counter's speed, where it has one."""

from __future__ import annotations

import pytest

from hyper.system import tsc
from hyper.system.tsc import TscMeter


async def test_two_meters_agree() -> None:
    first, second = await TscMeter().khz(), await TscMeter().khz()
    if first is None or second is None:
        pytest.skip("no invariant time stamp counter here")
    assert abs(first - second) / first < 1e-3
    assert 100_000 < first < 20_000_000


async def test_it_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = TscMeter()
    khz = await meter.khz()
    monkeypatch.setattr(meter, "_read", lambda: pytest.fail("read again"))
    assert await meter.khz() == khz


async def test_where_it_varies_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsc, "_is_invariant", lambda: False)
    assert await TscMeter().khz() is None
