"""Pods: one of three containers beside one of one, and that beside a container alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.measure import REST_S, by_turns
from bench.row import Goal, Row
from bench.stage import NO_POOL, Client, Stage

_POD = "bench-pod"
_BOX = "bench-box"


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """`hyper pod run -d`, whole process; the pod is removed outside of it. With waiting machines, and without."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        files = {count: _pod_file(Path(folder), count, stage.hyper.image) for count in (1, 3)}
        yield _three_beside_one(stage.hyper, files, runs, stage.accelerator, "")
        yield _one_beside_none(stage.hyper, files[1], runs, stage.accelerator)
        with stage.warm_hyperd(*NO_POOL) as (_, client):
            yield _three_beside_one(client, files, runs, stage.accelerator, ", template only")


def _pod_file(folder: Path, count: int, image: str) -> str:
    boxes = [
        {"name": f"box{number}", "image": image, "command": ["sleep", "86400"]}
        for number in range(count)
    ]
    path = folder / f"{count}.json"
    path.write_text(json.dumps({"id": _POD, "containers": boxes}))
    return str(path)


def _pod_ms(client: Client, file: str) -> float:
    took = client.time_ms("pod", "run", "-d", file)
    client.run("pod", "rm", "-f", _POD)
    return took


def _box_ms(client: Client) -> float:
    took = client.time_ms("run", "-d", "--name", _BOX, client.image, "sleep", "86400")
    client.run("rm", "-f", _BOX)
    return took


def _three_beside_one(
    client: Client, files: dict[int, str], runs: int, accelerator: str, how: str
) -> Row:
    three, one = by_turns(
        runs, lambda: _pod_ms(client, files[3]), lambda: _pod_ms(client, files[1]), rest_s=REST_S
    )
    return Row(
        f"`pod run -d` of three busybox containers{how}",
        "ms",
        three,
        Goal(1.5, ratio=True),
        one,
        accelerator=accelerator,
        peer_name="a pod of one",
        command="`hyper pod run -d FILE`",
    )


def _one_beside_none(client: Client, file: str, runs: int, accelerator: str) -> Row:
    pod, alone = by_turns(
        runs, lambda: _pod_ms(client, file), lambda: _box_ms(client), rest_s=REST_S
    )
    return Row(
        "`pod run -d` of one busybox container",
        "ms",
        pod,
        peer=alone,
        accelerator=accelerator,
        peer_name="`run -d` of it",
        command="`hyper pod run -d FILE`, `hyper run -d busybox sleep 86400`",
    )
