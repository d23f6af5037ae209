"""--change: what each instruction makes of a configuration, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from hyper.errors import InvalidRequest
from hyper.image.instructions import MAX_INSTRUCTIONS, applied


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({}, "CMD echo hi", {"Cmd": ["/bin/sh", "-c", "echo hi"]}),
        ({}, 'CMD ["echo", "hi"]', {"Cmd": ["echo", "hi"]}),
        ({"Shell": ["/bin/ash"]}, "entrypoint x", {"Shell": ["/bin/ash"], "Entrypoint": ["/bin/ash", "x"]}),
        ({"Env": ["A=1", "B=2"]}, "ENV A=3 C='d e'", {"Env": ["A=3", "B=2", "C=d e"]}),
        ({}, "ENV A b c", {"Env": ["A=b c"]}),
        ({"Labels": {"a": "1"}}, 'LABEL b=2 "c"="3 4"', {"Labels": {"a": "1", "b": "2", "c": "3 4"}}),
        ({}, "EXPOSE 80 53/udp 90-91", {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}}}),
        ({"Volumes": {"/a": {}}}, "VOLUME /b /c", {"Volumes": {"/a": {}, "/b": {}, "/c": {}}}),
        ({}, 'VOLUME ["/b c"]', {"Volumes": {"/b c": {}}}),
        ({}, "USER app:staff", {"User": "app:staff"}),
        ({"WorkingDir": "/a"}, "WORKDIR b/../c", {"WorkingDir": "/a/c"}),
        ({}, "ONBUILD RUN x", {"OnBuild": ["RUN x"]}),
        ({}, "STOPSIGNAL SIGUSR1", {"StopSignal": "SIGUSR1"}),
        ({}, "HEALTHCHECK NONE", {"Healthcheck": {"Test": ["NONE"]}}),
        ({}, "HEALTHCHECK --interval=5s --retries=2 CMD x y",
         {"Healthcheck": {"Test": ["CMD-SHELL", "x y"], "Interval": 5_000_000_000, "Retries": 2}}),
        ({}, "USER a\nWORKDIR /b \\\n", {"User": "a", "WorkingDir": "/b"}),
    ],
)  # fmt: skip
def test_what_they_do(before: dict[str, Any], change: str, after: dict[str, Any]) -> None:
    """Each instruction, in both of its forms; what it is applied to stays as it was."""
    kept = {**before}
    assert applied(before, [change]) == after
    assert before == kept


@pytest.mark.parametrize(
    "change",
    ["RUN x", "FROM x", "CMD", "ENV A", "ENV A=1 B", "ENV A='", "EXPOSE x", "EXPOSE 0", "EXPOSE 9-8", "EXPOSE 70000",
     "ONBUILD FROM x", "SHELL x", "HEALTHCHECK x", "HEALTHCHECK --x=1 CMD y", "HEALTHCHECK --interval=z CMD y",
     "\n".join(["USER x"] * (MAX_INSTRUCTIONS + 1))],
)  # fmt: skip
def test_what_is_refused(change: str) -> None:
    """What makes no sense in a change, and what is malformed."""
    with pytest.raises(InvalidRequest):
        applied({}, [change])
