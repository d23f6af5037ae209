"""The same commands about images on dockerd and on hyperd: the same exit codes, the same words.

The images come from one registry, so their ids are the same on both sides and outputs can be compared as they are.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tools.imagebuilder import file, image

from tests.support import images
from tests.support.dockerd import Engine
from tests.support.hyperd import Hyperd
from tests.support.registry import RealRegistry

pytestmark = pytest.mark.root

_CONTAINER = re.compile(rb"\b[0-9a-f]{64}\b|(?<=container )[0-9a-f]{12}\b")
#: dockerd shows these only when it has the time.
_SKIPPED = (b": Verifying Checksum", b": Download complete")
_LISTED = "images --no-trunc --format {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}"


@dataclass
class Pair:
    """Two engines that get the same commands."""

    docker: Engine
    hyper: Engine
    differences: list[str] = field(default_factory=list)

    def both(self, words: str, stdin: bytes = b"") -> list[tuple[int, bytes, bytes]]:
        """What a command gave on each side; differences are noted. ``|`` stands for a blank within a word."""
        argv = [word.replace("|", " ") for word in words.split(" ")]
        answers = [_call(engine, argv, stdin) for engine in (self.docker, self.hyper)]
        if answers[0] != answers[1]:
            shown = "\n".join(f"  {one!r}" for one in answers)
            self.differences.append(f"docker {words}\n{shown}")
        return answers


def _call(engine: Engine, words: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        ["docker", *words], input=stdin, capture_output=True, timeout=120, env=engine.environ()
    )
    lines = [line for line in done.stdout.splitlines() if not line.endswith(_SKIPPED)]
    if words[0] in ("images", "pull"):
        lines.sort()  # of the same age, or at the same time: their order is chance
    if words[0] == "commit":
        lines = []  # an id made of the time
    said = done.stderr.lower()  # the first letter of errors differs between dockerds, too
    return done.returncode, _CONTAINER.sub(_known, b"\n".join(lines)), _CONTAINER.sub(_known, said)


def _known(match: re.Match[bytes]) -> bytes:
    """Ids of containers are chance; those of images (behind ``sha256:``) are not."""
    before = match.string[max(0, match.start() - 7) : match.start()]
    return match[0] if before == b"sha256:" else b"<container>"


@pytest.fixture
def pair(docker_engine: Engine, own_daemon: Hyperd) -> Iterator[Pair]:
    """Both engines without any image."""
    made = Pair(docker_engine, Engine(own_daemon.host, ""))
    for engine in (made.docker, made.hyper):
        _call(engine, ["image", "prune", "-af"], b"")
    yield made
    own_daemon.clear()
    containers = _call(docker_engine, ["ps", "-aq"], b"")[1].decode().split()
    if containers:
        _call(docker_engine, ["rm", "-f", *containers], b"")
    assert made.differences == [], "\n".join(made.differences)


def test_names_and_removal(pair: Pair, real_registry: RealRegistry) -> None:
    """Tagging, untagging, deleting: by name, by id, with containers, forced, and all that is refused."""
    name = real_registry.push(images.deep(3), "rules:latest")
    other = real_registry.push(images.deep(2), "rules:other")
    short = images.deep(3).id.removeprefix("sha256:")[:12]
    digest = f"{name.rpartition(':')[0]}@{images.deep(3).digest}"
    for words in (
        f"pull {name}", f"pull -q {name}", f"pull {real_registry.host}/rules:nosuch", f"pull {other}",
        f"tag {name} moved:1", f"tag {short} moved:2", "tag nosuch x", f"tag {name} Upper", f"tag {name} a:b:c",
        f"tag {name} x@sha256:{'0' * 64}", _LISTED, "images --format {{.Repository}}:{{.Tag}} moved",
        f"tag {name} sha256:x",
        "images --format {{.Repository}}:{{.Tag}} mov*:?", f"images -q --filter before={name}",
        "images -q --filter since=moved:1", "images -q --filter dangling=true", "images --filter dangling=maybe",
        "images --filter nosuch=1", "images -q --filter reference=*/rules:[lm]*", f"images -q --digests {digest}",
        f"rmi {short}", "rmi moved:2", "rmi nosuch", f"rmi {'0' * 64}", f"rmi sha256:{'0' * 64}",
        f"create --name one {name} true", "create --name two moved:1 true",
        f"rmi {name}", f"rmi {short}", "rmi moved:1", _LISTED, f"rmi {short}",
        "rm one two", f"rmi {short}", _LISTED,
        f"pull -q {name}", f"create --name one {name} true", f"rmi {name}", f"rmi -f {name}", _LISTED,
        "rm one", f"rmi -f {short}", _LISTED,
        f"pull -q {name}", f"tag {name} again", f"rmi -f {short}", _LISTED,
        f"pull -q {digest}", _LISTED, f"rmi {digest}", f"rmi {other}", _LISTED,
    ):  # fmt: skip
        pair.both(words)


def test_pruning(pair: Pair, real_registry: RealRegistry) -> None:
    """Dangling ones, all unused ones, by label, by time; what a container uses stays."""
    labelled = image([[file("a", "a")]], {"Cmd": ["x"], "Labels": {"keep": "yes"}})
    plain = image([[file("a", "a")], [file("b", "b")]], {"Cmd": ["x"]})
    names = [
        real_registry.push(labelled, "prune:labelled"),
        real_registry.push(plain, "prune:plain"),
        real_registry.push(images.deep(2), "prune:used"),
    ]
    for name in names:
        pair.both(f"pull -q {name}")
    pair.both(f"create --name user {names[2]} true")
    for words in (
        "image prune -f", "image prune -af --filter label=nosuch", "image prune -af --filter until=2000-01-01T00:00:00",
        "image prune -af --filter nosuch=1", f"tag {names[1]} {names[0]}", _LISTED,
        "image prune -f --filter label!=keep", "image prune -f", _LISTED, "image prune -af", _LISTED,
    ):  # fmt: skip
        pair.both(words)


def test_history_and_inspect(pair: Pair, real_registry: RealRegistry) -> None:
    """What is said about an image."""
    name = real_registry.push(images.full_config(), "told:latest")
    form = "{{.Id}}\t{{.RepoTags}}\t{{.RepoDigests}}\t{{.Parent}}\t{{.Comment}}\t{{.Created}}\t{{.Author}}\t{{.Os}}"
    for words in (
        f"pull -q {name}", f"history --no-trunc --human=false {name}", "history nosuch",
        f"image inspect --format {form} {name}", f"image inspect --format {{{{json.RootFS}}}} {name}",
        f"image inspect --format {{{{.Size}}}} {name}",
    ):  # fmt: skip
        pair.both(words)


def test_platforms_and_instructions(pair: Pair, real_registry: RealRegistry) -> None:
    """Platforms that nobody knows; what variables of a commit's instructions become, and triggers for later builds."""
    name = real_registry.push(images.full_config(), "changed:latest")
    config = "{{json|.Config.Env}}{{json|.Config.Labels}}{{.Config.User}}{{.Config.WorkingDir}}{{json|.Config.OnBuild}}"
    for words in (
        f"pull --platform foobar {name}", f"pull --platform linux/s390x {name}", f"pull -q {name}",
        f"create --name one {name} true",
        "commit -c ENV|PATH=/x:$PATH|A=${A:-b} -c ENV|B|'$A'\"$A\" -c LABEL|l=\"$A\"|m='$A' -c USER|${NO}x$A"
        " -c WORKDIR|/$A -c ONBUILD|RUN|echo|$A one made:1",
        "commit -c ENV|A='b one made:2", "commit -c NOSUCH|x one made:2", "commit -c ENV|a=b|c one made:2",
    ):  # fmt: skip
        pair.both(words)
    pair.both(f"image inspect --format {config} made:1")
