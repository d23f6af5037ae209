"""--change: what each instruction makes of a configuration, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from hyper.errors import InvalidRequest
from hyper.image import expansion
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
        ({"OnBuild": ["RUN x"]}, "ONBUILD ADD $a /", {"OnBuild": ["RUN x", "ADD $a /"]}),
        ({"Env": ["PATH=/bin"]}, "ENV PATH=/x:$PATH", {"Env": ["PATH=/x:/bin"]}),
        ({"Env": ["a=1"]}, "ENV a=2 b=$a", {"Env": ["a=2", "b=1"]}),
        ({"Env": ["a=1"]}, "ENV a=2\nENV b=$a", {"Env": ["a=2", "b=2"]}),
        ({"Env": ["a=1"]}, "ENV b '$a'$a\"$a\"", {"Env": ["a=1", "b=$a11"]}),
        ({"Env": ["a=1"]}, "LABEL k$a='$a' l=\"${a} \\$a\"", {"Env": ["a=1"], "Labels": {"k1": "$a", "l": "1 $a"}}),
        ({"Env": ["u=joe"]}, "USER $u:${g:-staff}", {"Env": ["u=joe"], "User": "joe:staff"}),
        ({"Env": ["d=/a"]}, "WORKDIR $d/b", {"Env": ["d=/a"], "WorkingDir": "/a/b"}),
        ({"Env": ["p=80"]}, "EXPOSE $p", {"Env": ["p=80"], "ExposedPorts": {"80/tcp": {}}}),
        ({"Env": ["d=/a"]}, 'VOLUME ["$d/x"]', {"Env": ["d=/a"], "Volumes": {"/a/x": {}}}),
        ({"Env": ["a=1"]}, "CMD echo $a", {"Env": ["a=1"], "Cmd": ["/bin/sh", "-c", "echo $a"]}),
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


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("$a", "1"), ("${a}b", "1b"), ("$ab", ""), ("$", "$"), ("a$", "a$"), ("$.", "$."), ("\\$a", "$a"),
        ("'$a'", "$a"),
        ('"$a"', "1"), ('"\\$a\\n"', "$a\\n"), ("${n:-x$a}", "x1"), ("${e:-x}", "x"), ("${e-x}", ""), ("${n-x}", "x"),
        ("${a:+y}", "y"), ("${e:+y}", ""), ("${e+y}", "y"), ("${n+y}", ""), ("${a:?no}", "1"), ("${n:-${a:-z}}", "1"),
        ("a\\", "a\\"), ("\\a", "a"), ("", ""),
    ],
)  # fmt: skip
def test_variables_stand_for_what_they_do_in_a_shell(word: str, meant: str) -> None:
    """The cases of Docker's documentation, "Environment replacement"."""
    assert expansion.expand(word, {"a": "1", "e": ""}) == meant


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("'a", "matching single-quote"), ('"a', "matching double-quote"), ("${a", "missing '}'"),
        ("${}", "bad substitution"), ("${n:-" * 30 + "}" * 30, "substitutions within"),
        ("${a/b/c}", "unsupported modifier"), ("${n:?gone}", "n: gone"),
    ],
)  # fmt: skip
def test_words_that_mean_nothing_are_refused(word: str, why: str) -> None:
    """With what is wrong."""
    with pytest.raises(InvalidRequest, match=why):
        expansion.expand(word, {"a": "1"})
