"""What writing and reading cost in a container, by where: its own layer, a volume, a directory of the host."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.row import Row
from bench.stage import Stage

_FILES = 500
_WRITES = 100
#: Places in the guest, and what they are. Taken by turns in one machine.
_PLACES = {
    "/scratch": "the container's own layer",
    "/image": "a volume that is an image",
    "/dir": "a volume that is a directory",
    "/bind": "a bind mount",
}
#: Prints a line a place and run: its name and three durations in seconds.
_SCRIPT = f"""
now() {{ cut -d' ' -f1 /proc/uptime; }}
t() {{ s=$(now); $1 $2; e=$(now); echo "$s $e" | awk '{{printf " %.2f", $2-$1}}'; }}
write() {{ dd if=/dev/zero of=$1/s bs=4k count=1 conv=fsync,notrunc 2>/dev/null; }}
each() {{ i=0; while [ $i -lt {_WRITES} ]; do write $1; i=$((i+1)); done; }}
unpack() {{ mkdir -p $1/x; tar xf /dev/shm/a.tar -C $1/x; sync; }}
readall() {{ cat $1/x/* >/dev/null; }}
mkdir -p /scratch /dev/shm/t; cd /dev/shm/t
i=0; while [ $i -lt {_FILES} ]; do echo "file $i" >f$i; i=$((i+1)); done
tar cf /dev/shm/a.tar .
for run in $(seq $1); do for place in {" ".join(_PLACES)}; do
echo -n $place; t each $place; t unpack $place; t readall $place; echo; rm -rf $place/x
done; done
"""
_NOTES = (
    (f"{_WRITES} writes of 4 KiB, each synced", "`dd conv=fsync,notrunc`, its process included"),
    (f"`tar x` of {_FILES} small files", "and `sync`"),
    (f"read {_FILES} small files", "`cat`, just after they were written"),
)


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """Writes, unpacking and reading: on the container's layer, both kinds of volume, a bind mount."""
    hyper = stage.hyper
    hyper.run("volume", "create", "-o", "type=directory", "bench-dir")
    hyper.run("volume", "create", "-o", "type=image", "bench-image")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o777)
        mounts = ("-v", "bench-image:/image", "-v", "bench-dir:/dir", "-v", f"{folder}:/bind")
        try:
            out = hyper.run(
                "run", "--rm", *mounts, hyper.image, "sh", "-c", _SCRIPT, "sh", str(runs)
            )
        finally:
            hyper.run("volume", "rm", "-f", "bench-dir", "bench-image")
    taken = _parse(out)
    for deed, (name, note) in enumerate(_NOTES):
        for place, what in _PLACES.items():
            values = [durations[deed] * 1000 for durations in taken[place]]
            yield Row(
                f"Storage, {name}: {what}", "ms", values, accelerator=stage.accelerator, note=note
            )


def _parse(out: str) -> dict[str, list[Sequence[float]]]:
    taken: dict[str, list[Sequence[float]]] = {place: [] for place in _PLACES}
    for line in out.splitlines():
        place, *durations = line.split()
        taken[place].append([float(text) for text in durations])
    return taken
