"""The plot in the results: each figure in its peer's, as bars from 1 on a logarithmic axis. Pure.

Drawn by hand: some rectangles and words. A plotting library would be ten packages more for everybody who runs the
tests, and its files would change with its version; these change when a figure does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from bench.row import DOCKER, Row

_LEFT, _RIGHT, _LINE, _TOP, _BOTTOM = 470, 90, 24, 74, 44
_WIDTH = 1060
_GOOD, _BAD, _PLAIN, _INK = "#2a9d63", "#cf4b3f", "#7d8ca3", "#1f2733"
#: Of characters, before a name is cut.
_NAME = 66


def chart(rows: Iterable[Row], subtitle: str) -> str:
    """An SVG of all rows that have a ratio: bars to the left of 1 are ours to be glad of."""
    bars = [row for row in rows if row.ratio is not None and 0 < row.ratio < math.inf]
    height = _TOP + _LINE * len(bars) + _BOTTOM
    axis = _Axis([cost(row) for row in bars] + [_goal_cost(row) or 1 for row in bars])
    body = [
        *_heading(subtitle),
        *axis.drawn(height),
        *(part for place, row in enumerate(bars) for part in _bar(axis, row, place)),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" font-family="DejaVu Sans, Helvetica, sans-serif" '
            f'font-size="12" fill="{_INK}">',
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            *body,
            "</svg>\n",
        ]
    )


def cost(row: Row) -> float:
    """The ratio, turned round where more is better: less is better in the plot."""
    assert row.ratio is not None
    return 1 / row.ratio if _more_is_better(row) else row.ratio


def _goal_cost(row: Row) -> float | None:
    bound = row.ratio_goal
    if not bound:
        return None
    return 1 / bound if _more_is_better(row) else bound


def _more_is_better(row: Row) -> bool:
    return row.unit.endswith("/s")


class _Axis:
    """A logarithmic axis in powers of two that holds all of ``values`` and 1."""

    def __init__(self, values: Sequence[float]) -> None:
        self.low = math.floor(min(map(math.log2, values), default=0) - 0.2)
        self.high = math.ceil(max(map(math.log2, values), default=0) + 0.2)
        self.low, self.high = min(self.low, -1), max(self.high, 1)

    def x(self, value: float) -> float:
        """Where ``value`` is."""
        share = (math.log2(value) - self.low) / (self.high - self.low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def drawn(self, height: int) -> list[str]:
        """Lines with their values."""
        bottom = height - _BOTTOM + 6
        parts = []
        for power in range(self.low, self.high + 1):
            x, heavy = self.x(2.0**power), power == 0
            text = f"{2**power} ×" if power >= 0 else f"1/{2**-power} ×"
            colour = _INK if heavy else "#dde3ea"
            parts += [
                f'<line x1="{x}" y1="{_TOP - 6}" x2="{x}" y2="{bottom}" stroke="{colour}"/>',
                f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{text}</text>',
            ]
        return parts


def _heading(subtitle: str) -> list[str]:
    tick = f'<line x1="20" y1="46" x2="20" y2="62" stroke="{_INK}" stroke-width="2.5"/>'
    return [
        '<text x="14" y="22" font-size="16" font-weight="bold">Hyper in the peer’s figure (Docker’s, '
        "unless named); shorter to the left is better</text>",
        f'<text x="14" y="40" fill="#55606e">{escape(subtitle)}</text>',
        tick,
        '<text x="28" y="58" fill="#55606e">the goal; </text>',
        f'<text x="94" y="58" fill="#55606e"><tspan fill="{_GOOD}">■</tspan> met, '
        f'<tspan fill="{_BAD}">■</tspan> missed, <tspan fill="{_PLAIN}">■</tspan> no goal. '
        "Rates (…/s) are turned round: time for as much.</text>",
    ]


def _bar(axis: _Axis, row: Row, place: int) -> list[str]:
    y = _TOP + _LINE * place
    value, goal = cost(row), _goal_cost(row)
    one, end = axis.x(1), axis.x(value)
    left, width = min(one, end), round(max(abs(end - one), 1), 1)
    colour = {True: _GOOD, False: _BAD, None: _PLAIN}[row.met]
    parts = [
        f'<text x="{_LEFT - 10}" y="{y + 12}" text-anchor="end">{escape(_name(row))}</text>',
        f'<rect x="{left}" y="{y + 1}" width="{width}" height="14" fill="{colour}"/>',
        f'<text x="{_WIDTH - 20}" y="{y + 12}" text-anchor="end" font-weight="bold">{value:.2f}</text>',
    ]
    if goal is not None:
        x = axis.x(goal)
        parts.append(
            f'<line x1="{x}" y1="{y - 2}" x2="{x}" y2="{y + 18}" stroke="{_INK}" stroke-width="2.5"/>'
        )
    return parts


def _name(row: Row) -> str:
    name = row.name.replace("`", "")
    known = row.peer_name == DOCKER or row.peer_name in name
    suffix = "" if known else f" : {row.peer_name}"
    room = _NAME - len(suffix)
    return (name if len(name) <= room else name[: room - 1] + "…") + suffix
