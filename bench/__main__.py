"""``python -m bench [NAME ...] [-n RUNS]``: measure; without names everything, kept in bench/RESULTS.md."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType

from tests.support.hygiene import snapshot

from bench import (
    attach,
    binds,
    boot,
    burst,
    chart,
    command,
    copy,
    creations,
    density,
    freed,
    gvisor,
    many,
    names,
    nginx,
    pod,
    published,
    pull,
    report,
    size,
    stats,
    storage,
    transfer,
)
from bench.facts import facts
from bench.row import Row
from bench.stage import Sizes, Stage, unpacked_programs_too

RESULTS = Path(__file__).with_name("RESULTS.md")
#: Fewer do not make a median that may be published.
ENOUGH = 10

#: What there are promises about comes first.
THEMES: dict[str, Callable[[Stage, int], Iterator[Row]]] = {
    "run": command.run,
    "run-template": command.run_template,
    "run-cold": command.run_cold,
    "gvisor": gvisor.rows,
    "boot": boot.rows,
    "exec": command.exec_,
    "density": density.rows,
    "creations": creations.rows,
    "burst": burst.rows,
    "nginx": nginx.rows,
    "pod": pod.rows,
    "pull": pull.rows,
    "freed": freed.rows,
    "version": command.version,
    "files": size.files,
    "memory": size.memory,
    "smallest": size.smallest,
    "attach": attach.rows,
    "stats": stats.rows,
    "storage": storage.rows,
    "binds": binds.rows,
    "copy": copy.rows,
    "transfer": transfer.rows,
    "many": many.rows,
    "names": names.rows,
    "published": published.rows,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what was asked for; 0 if all of it could be."""
    parser = _parser()
    options = parser.parse_args(argv)
    if unknown := [name for name in options.names if name not in THEMES]:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(THEMES)}")
    unpacked_programs_too()
    before = snapshot()
    sizes = Sizes(options.sandboxes, options.creations, options.at_once)
    with Stage(options.accelerator, sizes) as stage:
        found = facts(options.accelerator)
        rows, failures = _measure(stage, options.names or list(THEMES), options.runs)
    for line in before.differences(snapshot()):
        # On a machine that others use too it may be theirs.
        print(f"bench: is here and was not before: {line[:120]}", file=sys.stderr)
    print(report.table(rows))
    whole = not options.names and options.runs >= ENOUGH and sizes == Sizes()
    if output := options.output or (RESULTS if whole else None):
        plot = output.with_name("results.svg")
        plot.write_text(chart.chart(rows, f"{found['Date']}, {found['CPU']}, {found['QEMU']}"))
        output.write_text(report.document(found, rows, failures, plot.name))
        print(f"bench: written to {output} and {plot}", file=sys.stderr)
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    told = "\n".join(f"  {name:14}{_first_line(theme)}" for name, theme in THEMES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=f"names:\n{told}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="what to measure, see below")
    add("-n", dest="runs", type=int, default=11, help="runs of each (default 11)")
    add("--accelerator", choices=["tcg", "kvm"], default="tcg")
    for field in fields(Sizes):
        add(
            f"--{field.name.replace('_', '-')}",
            type=int,
            default=field.default,
            help=_HELP[field.name],
        )
    add("-o", dest="output", type=Path, help="write the document there, whatever was measured")
    return parser


#: Of sizes.
_HELP = {
    "sandboxes": "that `density` keeps alive at once (default 200)",
    "creations": "of a run of `creations` (default 100)",
    "at_once": "starts of a run of `burst` (default 50)",
}


def _first_line(theme: Callable[[Stage, int], Iterator[Row]]) -> str:
    return (theme.__doc__ or "").partition("\n")[0]


def _measure(stage: Stage, names: Sequence[str], runs: int) -> tuple[list[Row], dict[str, str]]:
    """Rows by theme; a theme that fails says why and does not keep the others from being measured."""
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for name in names:
        began = time.monotonic()
        try:
            for row in THEMES[name](stage, runs):
                rows.append(replace(row, theme=name, runs=runs))
        except Exception as error:  # noqa: BLE001 (of whatever kind: it is reported)
            failures[name] = f"{type(error).__name__}: {error}"
            print(f"bench: {name}: {failures[name]}", file=sys.stderr)
        print(f"bench: {name} took {time.monotonic() - began:.0f} s", file=sys.stderr)
    return rows, failures


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _apart(work: Callable[[], int]) -> int:
    """Do ``work`` in a process of its own session; its exit code. Being interrupted interrupts it.

    Ctrl-C would otherwise end the engines too, before what runs on them was removed.
    """
    child = os.fork()
    if child == 0:
        os.setsid()
        # Everything is let go of on the way out.
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            sys.exit(work())
        except KeyboardInterrupt:
            print("bench: interrupted; what it had started is gone", file=sys.stderr)
            sys.exit(130)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(_apart(main))
