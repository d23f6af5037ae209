"""``hyper __complete WORD...``: completions of the last, unfinished word. The scripts of ``hyper completion`` call it.

A line each: the word, a tab, what it means; a last line ``:files`` where a name of a file is meant. It starts no daemon
and is silent about failures: an error cannot be read in the middle of a command line.
"""

from __future__ import annotations

import re
import sys

from hyper.cli import table
from hyper.cli.pods import PODS
from hyper.errors import HyperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Command, Flag
    from hyper.client.engine import Engine

Found = list[tuple[str, str]]

FILES = ":files"
#: Commands whose containers run, and those whose do not.
_RUNNING = ("attach", "exec", "kill", "pause", "stop", "top", "stats", "port")
_STOPPED = ("start",)
#: The same of pods.
_PODS_RUNNING, _PODS_STOPPED = ("pod stop", "pod exec"), ("pod start",)
_KINDS = ("CONTAINER", "IMAGE", "NETWORK", "POD", "VOLUME")
#: What flags take, beyond what their TAKES word says.
_CHOICES = {
    "--pull": ("always", "missing", "never"),
    "--restart": ("always", "no", "on-failure", "unless-stopped"),
    "--attach": ("stdin", "stdout", "stderr"),
    "--log-driver": ("json-file", "none"),
    "--type": ("container", "image", "network", "volume"),
    "--signal": ("HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2"),
    "--stop-signal": ("HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2"),
    "--security-opt": ("no-new-privileges", "seccomp=unconfined"),
    "--format": ("json", "table"),
}


def complete(context: Context, words: Sequence[str]) -> int:
    """Print the completions of the last of ``words``."""
    *before, partial = words or [""]
    try:
        found = _candidates(context, list(before), partial)
    except HyperError:
        found = []
    for word, meaning in found:
        if word == FILES or word.startswith(partial):
            sys.stdout.write(f"{word}\t{meaning}\n" if meaning else f"{word}\n")
    return 0


def _candidates(context: Context, before: list[str], partial: str) -> Found:
    from hyper.cli.main import GLOBAL_FLAGS

    before = _without_flags(before, GLOBAL_FLAGS)
    if not before:
        return _flags(GLOBAL_FLAGS) if partial.startswith("-") else _first_words()
    if before == ["help"]:
        return _first_words()
    found = table.find(before)
    if found is None or (len(before) == 1 and before[0] in table.FAMILIES):
        return list(table.members(before[0]).items()) if before[0] in table.FAMILIES else []
    name, rest = found
    return _of_command(context, name, table.load(name), rest, partial)


def _first_words() -> Found:
    words = {name: what for name, what in table.SUMMARIES.items() if " " not in name}
    families = {
        family: f"{family}: {', '.join(table.members(family))}" for family in table.FAMILIES
    }
    return sorted((words | families).items())


def _without_flags(words: list[str], flags: Sequence[Flag]) -> list[str]:
    """``words`` from the first one that is neither a flag nor the value of one."""
    takes = {name for flag in flags if flag.takes for name in flag.names}
    index = 0
    while index < len(words) and words[index].startswith("-"):
        index += 2 if words[index] in takes else 1
    return words[index:]


def _of_command(
    context: Context, name: str, command: Command, rest: list[str], partial: str
) -> Found:
    known = {spelled: flag for flag in command.flags for spelled in flag.names}
    key, equals, value = partial.partition("=")
    if equals and key in known:
        made = _of_value(context, known[key])
        return [(f"{key}={w}", what) for w, what in made if w.startswith(value) and w != FILES]
    if rest and rest[-1] in known and known[rest[-1]].takes:
        return _of_value(context, known[rest[-1]])
    positionals = _positionals(rest, known, passes_on=command.passes_on)
    if partial.startswith("-") and not (command.passes_on and positionals):
        return _flags(command.flags)
    return _of_word(context, name, command, positionals)


def _positionals(rest: list[str], known: dict[str, Flag], *, passes_on: bool) -> list[str]:
    made: list[str] = []
    words = iter(rest)
    for word in words:
        if word.startswith("-") and len(word) > 1 and not (passes_on and made):
            if word in known and known[word].takes:
                next(words, None)
        else:
            made.append(word)
    return made


def _flags(flags: Sequence[Flag]) -> Found:
    return sorted((flag.key, flag.help) for flag in flags)


def _of_value(context: Context, flag: Flag) -> Found:
    if flag.key in _CHOICES:
        return [(choice, "") for choice in _CHOICES[flag.key]]
    if "NETWORK" in flag.takes and "SUBNET" not in flag.takes:
        return _names(context.existing_engine(), "NETWORK")
    if "CONTAINER" in flag.takes:
        return _names(context.existing_engine(), "CONTAINER")
    if flag.key == "--volume":
        return [*_names(context.existing_engine(), "VOLUME"), (FILES, "")]
    return [(FILES, "")] if "FILE" in flag.takes else []


def _of_word(context: Context, name: str, command: Command, before: list[str]) -> Found:
    if name == "cp":
        boxes = _names(context.existing_engine(), "CONTAINER")
        return [*((f"{box}:", what) for box, what in boxes), (FILES, "")]
    if name == "completion":
        return [(shell, "") for shell in ("bash", "fish", "zsh")]
    if name in ("pod logs", "pod exec") and (found := _in_pod(context, name, before)) is not None:
        return found
    wanted = re.findall(r"[A-Z_]+", command.words.replace("ARG", ""))
    if not wanted:
        return []
    is_repeated = command.words.endswith("...]")
    if len(before) >= len(wanted) and not is_repeated:
        return []
    kind = wanted[min(len(before), len(wanted) - 1)]
    if kind == "NAME" and name == "inspect":
        kind = "CONTAINER"
    if kind not in _KINDS:
        return [(FILES, "")] if kind in ("FILE", "PATH", "COMMAND") else []
    made = _names(context.existing_engine(), kind, command=name)
    return [(word, what) for word, what in made if word not in before]


def _in_pod(context: Context, name: str, before: list[str]) -> Found | None:
    """The containers of a pod, where a word names one by its pod; None: the word names something else."""
    if name == "pod logs" and len(before) == 1:
        for pod in _pods(context.existing_engine(), name):
            if pod["Name"] == before[0]:
                return [(box["Name"], box["Status"]) for box in pod["Containers"]]
        return []
    if name == "pod logs":
        return [] if before else None
    if before:
        return [(FILES, "")]
    pods = _pods(context.existing_engine(), name)
    inner = [
        (f"{pod['Name']}/{box['Name']}", box["Status"])
        for pod in pods
        for box in pod["Containers"]
        if not box["Init"]
    ]
    return sorted([(pod["Name"], pod["Status"]) for pod in pods] + inner)


def _pods(engine: Engine, command: str) -> list[dict[str, Any]]:
    pods: list[dict[str, Any]] = engine.get(PODS)
    if command in _PODS_RUNNING:
        return [pod for pod in pods if pod["Status"] == "running"]
    if command in _PODS_STOPPED:
        return [pod for pod in pods if pod["Status"] in ("created", "exited")]
    return pods


def _names(engine: Engine, kind: str, *, command: str = "") -> Found:
    if kind == "POD":
        return sorted((pod["Name"], pod["Status"]) for pod in _pods(engine, command))
    if kind == "CONTAINER":
        found = engine.get("/containers/json", all=command not in _RUNNING)
        if command in _STOPPED:
            found = [box for box in found if box.get("State") != "running"]
        return sorted((_name(box), box.get("Status", "")) for box in found)
    if kind == "IMAGE":
        tags = [tag for image in engine.get("/images/json") for tag in image.get("RepoTags") or ()]
        return [(tag, "") for tag in _familiar(tags)]
    if kind == "NETWORK":
        return sorted((net["Name"], net.get("Driver", "")) for net in engine.get("/networks"))
    volumes = engine.get("/volumes").get("Volumes") or ()
    return sorted((volume["Name"], volume.get("Driver", "")) for volume in volumes)


def _name(box: dict[str, list[str]]) -> str:
    return next((n[1:] for n in box.get("Names") or () if n.count("/") == 1), str(box["Id"])[:12])


def _familiar(tags: Iterable[str]) -> list[str]:
    """The tags in short, ``nginx`` for ``nginx:latest``, without images that have no name."""
    return sorted({tag.removesuffix(":latest") for tag in tags if not tag.startswith("<none>")})
