"""HyperStart's own unit tests: C, under ASan and UBSan, on the byte vectors Python is tested on."""

import re
import subprocess
from pathlib import Path

from hyper.proto import limits
from tests.support.vectors import FRAMES, MESSAGES, MOUNT_SOURCES

SOURCE = Path(__file__).parents[2] / "guest" / "hyperstart"


def test_c_codec_and_logic(tmp_path: Path) -> None:
    """The agent's own tests pass under the sanitizers, with every vector that Python reads."""
    made = subprocess.run(
        ["make", "--no-print-directory", "-C", SOURCE, f"O={tmp_path}", "test"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout
    counts = re.search(
        r"(\d+) frame cases, (\d+) message cases, (\d+) source cases, (\d+) checks, 0 failures",
        made.stdout,
    )
    assert counts, made.stdout
    # Nothing was skipped: every frame case, and every message case the guest has to decode.
    host_only = {
        "GuestHello",
        "Reply",
        "ProcessExit",
        "GuestError",
        "OomKill",
        "Stats",
        "Processes",
    }
    decodable = [case for case in MESSAGES.values() if dict(case)["kind"] not in host_only]
    assert int(counts[1]) == len(FRAMES)
    assert int(counts[2]) == len(decodable)
    assert int(counts[3]) == len(MOUNT_SOURCES)
    assert int(counts[4]) > 1000


def test_limits_are_the_same_in_c_and_python() -> None:
    """The limits in the agent's header have the values of ``proto.limits``."""
    text = (SOURCE / "src" / "limits.h").read_text()
    found = dict(re.findall(r"^    ([A-Z_]+) = (.+?),(?: /\*.*)?$", text, re.MULTILINE))
    names = {"END_BYTE": "END"}
    values: dict[str, int] = {}
    for name, expression in found.items():
        values[name] = eval(expression, {"__builtins__": {}}, values)
        assert values[name] == getattr(limits, names.get(name, name)), name
    assert len(found) >= 20
