"""The small pure parts: challenges, credentials, endpoints, platforms, documents, chains, stacks."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from hyper.errors import InvalidRequest
from hyper.image import platform
from hyper.image.auth import Challenge, RegistryAuth, challenges
from hyper.image.endpoint import HUB_HOST, Endpoints
from hyper.image.reference import parse, parse_tag
from hyper.image.store import chain_ids
from hyper.types import oci
from hyper.types.oci import Descriptor, Platform
from tests.support.images import FULL_CONFIG

D = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="x"', [Challenge("basic", "x")]),
        ('Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
         [Challenge("bearer", "https://a/t", "s", "repository:a/b:pull,push")]),
        ('BEARER Realm=https://a, Service="s", Basic realm="b"',
         [Challenge("bearer", "https://a", "s"), Challenge("basic", "b")]),
        ("", []),
        ("nonsense", [Challenge("nonsense")]),
    ],
)  # fmt: skip
def test_challenges(header: str, expected: list[Challenge]) -> None:
    assert challenges(header) == expected


def test_credentials_from_the_header() -> None:
    """What clients send; what is no JSON object names nobody, as with dockerd."""
    value = base64.urlsafe_b64encode(
        json.dumps({"username": "u", "password": "pä:s"}).encode()
    ).decode()
    for form in (value, value.rstrip("=")):
        auth = RegistryAuth.from_header(form)
        assert auth == RegistryAuth("u", "pä:s")
    assert "pä" not in repr(auth)
    packed = {"auth": base64.b64encode(b"u:p").decode()}
    assert RegistryAuth.from_header(
        base64.b64encode(json.dumps(packed).encode()).decode()
    ) == RegistryAuth("u", "p")
    loose = {"Username": "u", "password": "p", "auth": None, "email": None}
    assert RegistryAuth.from_header(
        base64.b64encode(json.dumps(loose).encode()).decode()
    ) == RegistryAuth("u", "p")
    assert RegistryAuth.from_header("") is None
    assert RegistryAuth.from_header(base64.b64encode(b"{}").decode()) is None
    for bad in (
        "!!!",
        base64.b64encode(b"[1]").decode(),
        base64.b64encode(b'{"auth": "\xff"}').decode(),
    ):
        assert RegistryAuth.from_header(bad) is None


def test_endpoints(tmp_path: Path) -> None:
    endpoints = Endpoints(
        insecure=("reg.lan:5000", "plain.lan", "10.1.0.0/16"),
        mirrors=("https://mirror.lan/base/",),
        certs_dirs=[tmp_path],
    )
    mirror, hub = endpoints.of(parse("nginx"))
    assert (mirror.host, mirror.prefix, mirror.mirror) == ("mirror.lan", "/base", True)
    assert (hub.host, hub.schemes) == (HUB_HOST, ("https",))
    for host in (
        "localhost",
        "localhost:5",
        "127.9.9.9:1",
        "[::1]:2",
        "reg.lan:5000",
        "plain.lan:77",
        "10.1.2.3",
    ):
        assert endpoints.of(parse(f"{host}/x"))[0].schemes == ("https", "http"), host
    for host in ("reg.lan", "reg.lan:5001", "10.2.0.1:5000", "example.org"):
        assert endpoints.of(parse(f"{host}/x"))[0].schemes == ("https",), host


def test_hosts_that_were_written_down(tmp_path: Path) -> None:
    """Anybody may lead to them: insecure ones, by network too, mirrors, those with a folder in certs.d."""
    (tmp_path / "auth.lan:444").mkdir()
    endpoints = Endpoints(
        insecure=("reg.lan:5000", "10.1.0.0/16"), mirrors=("http://m.lan",), certs_dirs=[tmp_path]
    )
    for host in ("reg.lan:5000", "10.1.2.3", "10.1.2.3:77", "m.lan", "auth.lan:444"):
        assert endpoints.is_named(host), host
    for host in (
        "localhost:5000",
        "127.0.0.1",
        "10.2.0.1",
        "auth.lan",
        "..",
        ".",
        "",
        "a/../auth.lan:444",
    ):
        assert not endpoints.is_named(host), host


def _entry(os: str, architecture: str, variant: str = "") -> Descriptor:
    return Descriptor(D, 1, platform=Platform(architecture, os, variant))


def test_platforms() -> None:
    entries = [
        Descriptor(D, 1),
        _entry("unknown", "unknown"),
        _entry("windows", "amd64"),
        _entry("linux", "amd64", "v3"),
        _entry("linux", "amd64"),
        _entry("linux", "arm", "v6"),
        _entry("linux", "arm", "v7"),
        _entry("linux", "arm64", "v8"),
    ]
    for wanted, index in (("linux/amd64", 4), ("linux/arm/v7", 6), ("linux/arm/v6", 5), ("linux/arm64", 7),
                          ("aarch64", 7), ("linux/arm", 6), ("linux/amd64/v3", 3)):  # fmt: skip
        assert platform.choose(entries, platform.parse(wanted)) is entries[index], wanted
    assert platform.choose(entries, platform.parse("linux/s390x")) is None
    assert platform.show(platform.parse("linux/arm64/v8")) == "linux/arm64/v8"
    for bad in ("", "a/b/c/d", "linux/", "linux/a b"):
        with pytest.raises(InvalidRequest):
            platform.parse(bad)
    with pytest.raises(InvalidRequest, match='"foobar": unknown operating system or architecture'):
        platform.parse("foobar")
    for text, meant in (
        ("macos", "darwin"),
        ("windows", "windows"),
        ("riscv64", "linux"),
        ("x86_64", "linux"),
    ):
        assert platform.parse(text).os == meant


def test_no_image_is_called_as_a_digest_begins() -> None:
    """Docker's words; elsewhere than at Docker Hub the name is one like any other."""
    for repository in ("sha256", "sha256:abc", "docker.io/library/sha256"):
        with pytest.raises(InvalidRequest, match="refusing to create an ambiguous tag"):
            parse_tag(repository, "")
    assert parse_tag("example.com/sha256", "1").tag == "1"


def test_configurations_as_strangers_write_them() -> None:
    text = json.dumps(
        {"config": {**FULL_CONFIG, "Cmd": "one string", "Env": None, "Unknown": {}}, "more": 1}
    )
    config = oci.decode_config(text.encode()).config
    assert config is not None
    assert config.cmd_argv() == ["one string"]
    assert config.env is None
    assert oci.decode_config(b"{}").diff_ids == ()
    with pytest.raises(InvalidRequest, match="longer than"):
        oci.decode_config(b" " * (oci.MAX_DOCUMENT_BYTES + 1))
    layers = [{"digest": D, "size": 1}] * (oci.MAX_LAYERS + 1)
    with pytest.raises(InvalidRequest, match="513 layers"):
        oci.decode_manifest(
            json.dumps({"config": {"digest": D, "size": 1}, "layers": layers}).encode()
        )


def test_kinds() -> None:
    assert oci.kind_of(b"{}", "") == oci.OCI_MANIFEST
    assert oci.kind_of(b'{"manifests": []}', "text/plain") == oci.OCI_INDEX
    assert oci.kind_of(b"{}", f"{oci.DOCKER_LIST}; charset=utf-8") == oci.DOCKER_LIST
    assert oci.kind_of(b'{"mediaType": "x"}', oci.DOCKER_LIST) == "x"


def test_chain_ids() -> None:
    """The example of the OCI image-spec: ChainID(L0) = L0, ChainID(L0|L1) = digest of both."""
    two = hashlib.sha256(f"{D} {D}".encode()).hexdigest()
    assert chain_ids([D, D]) == [D, f"sha256:{two}"]
    assert chain_ids([]) == []
