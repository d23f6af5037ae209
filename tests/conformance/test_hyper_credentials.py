"""Credential helpers: what ``hyper`` or ``docker`` keeps in one, the other finds, and config.json does not have it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import DOCKER, HYPER, call
from tests.support.dockerd import Engine
from tests.support.registry import PASSWORD, USER, RealRegistry, registry

pytestmark = pytest.mark.root

#: A helper that keeps one secret, in a file beside itself.
HELPER = """#!/bin/sh
kept=$(dirname "$0")/kept
case $1 in
store) cat >"$kept" ;;
erase) rm -f "$kept" ;;
list) echo '{}' ;;
get) [ ! -e "$kept" ] || exec cat "$kept"; echo 'credentials not found in native keychain'; exit 1 ;;
esac
"""


@pytest.fixture(scope="module")
def private() -> Iterator[RealRegistry]:
    """A registry that wants a password."""
    with registry(auth=True) as running:
        yield running


class Home:
    """A config.json of one's own, a helper ``test`` in PATH, and an image to push."""

    def __init__(self, folder: Path, engine: Engine, private: RealRegistry) -> None:
        self.engine = engine
        self.host = private.host
        self.image = f"{private.host}/kept:{'hyper' if engine.is_hyper else 'docker'}"
        self.config, self.kept = folder / "config.json", folder / "kept"
        helper = folder / "docker-credential-test"
        helper.write_text(HELPER)
        helper.chmod(0o755)
        self._environ = {
            "DOCKER_CONFIG": str(folder),
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        }

    def configure(self, **members: object) -> None:
        self.config.write_text(json.dumps(members))

    def call(self, program: list[str], *words: str, stdin: bytes = b"") -> tuple[int, bytes]:
        """Exit code, and everything it said."""
        done = call(self.engine, program, *words, stdin=stdin, **self._environ)
        return done.returncode, done.stdout + done.stderr

    def login(self, program: list[str]) -> None:
        words = ("login", "-u", USER, "--password-stdin", self.host)
        code, said = self.call(program, *words, stdin=PASSWORD.encode())
        assert (code, b"Login Succeeded" in said) == (0, True), said


@pytest.fixture
def home(tmp_path: Path, engine: Engine, private: RealRegistry) -> Iterator[Home]:
    made = Home(tmp_path, engine, private)
    call(engine, DOCKER, "tag", engine.image, made.image)
    yield made
    call(engine, DOCKER, "rmi", made.image)


@pytest.mark.parametrize("setting", ["credsStore", "credHelpers"])
def test_a_helper_keeps_what_either_finds(home: Home, setting: str) -> None:
    """For all registries or for this one; logout takes it away."""
    home.configure(**{setting: "test" if setting == "credsStore" else {home.host: "test"}})
    for first, second in ((HYPER, DOCKER), (DOCKER, HYPER)):
        home.login(first)
        kept = json.loads(home.kept.read_text())
        assert kept == {"ServerURL": home.host, "Username": USER, "Secret": PASSWORD}
        assert json.loads(home.config.read_text())["auths"] == {home.host: {}}
        for program in (first, second):
            assert home.call(program, "push", home.image)[0] == 0
        assert home.call(second, "logout", home.host)[0] == 0
        assert not home.kept.exists()
        assert home.call(first, "push", home.image)[0] == 1


def test_an_empty_name_is_the_file(home: Home) -> None:
    """As docker reads it: this registry's credentials are not for the helper of all the others."""
    home.configure(credsStore="test", credHelpers={home.host: ""})
    for first, second in ((HYPER, DOCKER), (DOCKER, HYPER)):
        home.login(first)
        assert not home.kept.exists()
        assert json.loads(home.config.read_text())["auths"][home.host]["auth"]
        assert home.call(second, "push", home.image)[0] == 0
        assert home.call(first, "logout", home.host)[0] == 0


def test_a_helper_that_is_not_there(home: Home) -> None:
    """Named, with where it is named."""
    home.configure(credsStore="nosuch")
    words = ("login", "-u", USER, "--password-stdin", home.host)
    code, said = home.call(HYPER, *words, stdin=PASSWORD.encode())
    assert code == 1
    assert b"docker-credential-nosuch is not installed" in said
    assert b"config.json names it in credHelpers or credsStore" in said
    assert PASSWORD not in home.config.read_text()


def test_proxies_for_containers_are_those_of_docker(home: Home) -> None:
    """Both clients make the same variables of the file's proxies: the daemon's own or the default, in both cases."""
    default = {
        "httpProxy": "http://p:1",
        "httpsProxy": "http://q:2",
        "noProxy": "a,.b",
        "allProxy": "z:3",
    }
    for own in ({}, {home.engine.host: {"ftpProxy": "http://f:4"}}):
        home.configure(proxies={"default": default, **own})
        made = []
        for program in (HYPER, DOCKER):
            mine = () if own else ("-e", "http_proxy=mine")
            code, said = home.call(program, "create", *mine, home.image)
            assert code == 0, said
            box = said.decode().split()[-1]
            form = ("inspect", "--format", "{{json .Config.Env}}", box)
            made.append(sorted(json.loads(home.call(DOCKER, *form)[1])))
            home.call(DOCKER, "rm", box)
        assert made[0] == made[1]
        assert ("FTP_PROXY=http://f:4" in made[0]) is bool(own)
