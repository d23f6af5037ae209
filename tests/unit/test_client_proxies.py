"""Proxies of docker's config.json become variables of containers, as the docker client has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hyper.client.container_proxies import with_proxies

HERE = {"httpProxy": "http://p:1", "noProxy": "a,b", "allProxy": ""}
THERE = {"httpsProxy": "http://q:2"}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user whose config.json has proxies."""
    proxies = {"default": HERE, "tcp://far:2375": THERE}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {}, "proxies": proxies}))
    return {"DOCKER_CONFIG": str(tmp_path)}


def test_both_cases_of_what_is_asked_for(environ: dict[str, str]) -> None:
    """Those of the daemon's own address, else the default ones; what the user says of them stays."""
    assert with_proxies(["A=b"], environ, "unix:///x") == [
        "A=b", "HTTP_PROXY=http://p:1", "http_proxy=http://p:1", "NO_PROXY=a,b", "no_proxy=a,b"
    ]  # fmt: skip
    assert with_proxies([], environ, "tcp://far:2375") == [
        "HTTPS_PROXY=http://q:2", "https_proxy=http://q:2"
    ]  # fmt: skip
    assert with_proxies(["HTTP_PROXY", "no_proxy=mine"], environ, "") == [
        "HTTP_PROXY", "no_proxy=mine", "http_proxy=http://p:1", "NO_PROXY=a,b"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"proxies": 5}', '{"proxies": {"default": []}}',
     '{"proxies": {"default": {"httpProxy": 5}}}', "[\"proxies\"]"],
)  # fmt: skip
def test_a_file_that_makes_no_sense_adds_nothing(tmp_path: Path, text: str) -> None:
    """Nor does one that is not there."""
    (tmp_path / "config.json").write_text(text)
    for folder in (tmp_path, tmp_path / "none"):
        assert with_proxies(["A"], {"DOCKER_CONFIG": str(folder)}, "") == ["A"]
