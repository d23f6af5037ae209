"""What App Container Images say of themselves, and where they are: the pure parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hyper.errors import InvalidRequest
from hyper.image.aci import convert, discovery, names
from hyper.image.aci.isolators import limits_of
from hyper.image.aci.manifest import Isolator, decode
from hyper.image.aci.quantity import quantity
from hyper.image.aci.whitelist import keep_only, owner
from hyper.image.tarstream import BadLayer
from hyper.image.tree import Tree, walk
from hyper.types.oci import decode_config
from tests.support.aci import manifest, pairs

EXAMPLE = Path(__file__).parents[1] / "vectors/aci/reduce-worker.json"
APP = {"exec": ["/bin/x"]}


def example() -> dict[str, Any]:
    """The spec's example; its shortened image id is a whole one."""
    found: dict[str, Any] = json.loads(EXAMPLE.read_bytes())
    found["dependencies"][0]["imageID"] = "sha512-" + "0" * 128
    return found


def decoded(**changes: Any) -> Any:
    return decode(json.dumps(manifest(**changes)).encode())


def test_the_spec_s_example_is_understood() -> None:
    """Every member of the example in the spec's text comes out as the image configuration it means."""
    config = convert.configuration(
        decode(json.dumps(example()).encode()), "sha512-1", dependencies=["sha512-2"]
    )
    raw = json.dumps(config | {"rootfs": {"type": "layers", "diff_ids": []}}).encode()
    image = decode_config(raw)
    assert image.config is not None
    assert image.aci is not None
    assert (image.os, image.architecture) == ("linux", "amd64")
    assert image.created == "2014-10-27T19:32:27.67021798Z"
    assert image.config.entrypoint_argv() == ["/usr/bin/reduce-worker", "--quiet"]
    assert image.config.user == "100:300"
    assert image.config.working_dir == "/opt/work"
    assert "REDUCE_WORKER_DEBUG=true" in (image.config.env or ())
    assert "AC_APP_NAME=reduce-worker" in (image.config.env or ())
    assert image.config.volumes == {"/var/lib/work": {}}
    assert "4000/tcp" in (image.config.exposed_ports or {})
    assert "20999/tcp" in (image.config.exposed_ports or {})
    aci = image.aci
    assert aci.name == "example.com/reduce-worker"
    assert aci.labels["version"] == "1.0.0"
    assert aci.groups == (400, 500)
    assert aci.memory == 2 * 10**9
    assert aci.nano_cpus == 500_000_000
    assert aci.retain == ("NET_BIND_SERVICE",)
    assert aci.pre_start == ("/usr/bin/data-downloader",)
    assert aci.post_stop == ("/usr/bin/deregister-worker", "--verbose")
    assert [(one.name, one.port, one.count) for one in aci.ports] == [
        ("health", 4000, 1),
        ("ftp-data", 20000, 1000),
    ]
    assert [(one.name, one.path, one.read_only) for one in aci.mount_points] == [
        ("work", "/var/lib/work", False)
    ]
    assert aci.dependencies == ("sha512-2",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"acKind": "PodManifest"}, "acKind is 'PodManifest'"),
        ({"acVersion": "1.0.0"}, "a spec that Hyper does not know"),
        ({"acVersion": "latest"}, "is no version"),
        ({"name": "Example.com/x"}, "no AC Identifier"),
        ({"labels": [*pairs({"a": "1"}), *pairs({"a": "2"})]}, "'a' comes twice"),
        ({"labels": pairs({"name": "x"})}, "no name of a label"),
        ({"app": {"exec": ["x"]} | {"user": ""}}, "must not be empty"),
        ({"app": {"exec": []}}, "names no program"),
        ({"app": APP | {"user": "a:b"}}, "colon"),
        ({"app": APP | {"workingDirectory": "opt"}}, "no absolute path"),
        ({"app": APP | {"workingDirectory": "/a/../../b"}}, "no absolute path"),
        ({"app": APP | {"eventHandlers": [{"name": "stop", "exec": ["x"]}]}}, "neither pre-start"),
        ({"app": APP | {"eventHandlers": [{"name": "pre-start", "exec": ["x"]}] * 2}}, "comes twice"),
        ({"app": APP | {"environment": pairs({"A=B": "1"})}}, "no name of a variable"),
        ({"app": APP | {"supplementaryGIDs": [-1]}}, "a group id that cannot be"),
        ({"app": APP | {"mountPoints": [{"name": "x", "path": "/"}]}}, "over /"),
        ({"app": APP | {"mountPoints": [{"name": "X", "path": "/x"}]}}, "no AC Name"),
        ({"app": APP | {"ports": [{"name": "x", "port": 0, "protocol": "tcp"}]}}, "no such ports"),
        ({"app": APP | {"ports": [{"name": "x", "port": 65535, "count": 2, "protocol": "tcp"}]}}, "no such ports"),
        ({"app": APP | {"ports": [{"name": "x", "port": 1, "protocol": "sctp"}]}}, "tcp and udp"),
        ({"dependencies": [{"imageName": "a b"}]}, "no AC Identifier"),
        ({"dependencies": [{"imageName": "a", "imageID": "sha256-00"}]}, "no sha512-"),
        ({"dependencies": [{"imageName": "a", "imageID": "sha512-00"}]}, "no sha512-"),
        ({"dependencies": [{"imageName": "a"}] * 65}, "65 entries (at most 64)"),
        ({"pathWhitelist": ["etc"]}, "no absolute path"),
        ({"pathWhitelist": ["/../etc"]}, "no absolute path"),
    ],
)  # fmt: skip
def test_a_manifest_that_breaks_a_rule_is_refused(changes: dict[str, Any], words: str) -> None:
    """Each error says which member breaks which rule."""
    with pytest.raises(InvalidRequest) as failure:
        decode(
            json.dumps(
                manifest()
                | ({"app": manifest(app=changes["app"])["app"]} if "app" in changes else changes)
            ).encode()
        )
    assert failure.value.message.startswith("invalid image manifest: ")
    assert words in failure.value.message


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b" " * (2 << 20)])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    """Garbage in every form is an error of the request."""
    with pytest.raises(InvalidRequest, match="invalid image manifest"):
        decode(data)


def test_both_spellings_of_supplementary_groups_are_read() -> None:
    """The spec's example and its schema differ in it."""
    for name in ("supplementaryGids", "supplementaryGIDs"):
        assert decoded(app=APP | {name: [5]}).app.supplementary_gids == (5,)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("128974848", 1, 128974848),
        ("125952Ki", 1, 128974848),
        ("123Mi", 1, 128974848),
        ("1G", 1, 10**9),
        ("0.5", 10**9, 500_000_000),
        ("500m", 10**9, 500_000_000),
        ("1.5Gi", 1, 3 << 29),
        ("1m", 1, 1),
    ],
)
def test_quantities_are_what_the_spec_says(text: str, unit: int, value: int) -> None:
    """Metric and binary suffixes, decimals and milli-units; rounded up."""
    assert quantity(text, unit=unit) == value


@pytest.mark.parametrize("text", ["", "G", "-1", "1e3", "1 G", "1Zi", "9999999E", "٣"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Also one that no machine has."""
    with pytest.raises(InvalidRequest):
        quantity(text)


def test_isolators_that_are_not_understood_are_told() -> None:
    """Known ones are limits; the names of the others are kept."""
    found = limits_of(
        [
            Isolator("resource/memory", {"request": "1M", "limit": "64M"}),
            Isolator("os/linux/capabilities-remove-set", {"set": ["CAP_KILL"]}),
            Isolator("os/linux/no-new-privileges", True),
            Isolator("resource/block-iops", {"default": True, "limit": "1000"}),
        ]
    )
    assert (found.memory, found.remove, found.no_new_privileges) == (64_000_000, ("KILL",), True)
    assert found.ignored == ("resource/block-iops",)


@pytest.mark.parametrize(
    "isolators",
    [
        [Isolator("resource/memory", {"limit": "much"})],
        [Isolator("resource/cpu", 3)],
        [Isolator("os/linux/capabilities-retain-set", {"set": ["NET_ADMIN"]})],
        [
            Isolator("os/linux/capabilities-retain-set", {"set": ["CAP_KILL"]}),
            Isolator("os/linux/capabilities-remove-set", {"set": ["CAP_KILL"]}),
        ],
    ],
)
def test_isolators_that_make_no_sense_are_refused(isolators: list[Isolator]) -> None:
    """Wrong values, and two sets of capabilities."""
    with pytest.raises(InvalidRequest, match="isolator"):
        limits_of(isolators)


def test_names_to_discover_are_parsed() -> None:
    """Version, labels, and a port that is no part of the name."""
    wanted = names.parse("example.com:8443/app/x:1.0,arch=amd64")
    assert (wanted.name, wanted.host) == ("example.com/app/x", "example.com:8443")
    assert dict(wanted.labels) == {"version": "1.0", "arch": "amd64"}
    assert names.parse("example.com:1.0").labels == {"version": "1.0"}
    for bad in (
        "",
        "Example.com/x",
        "a/b:",
        "a//b",
        "a/b,c",
        "a/b:1,version=2",
        "a:70000/b",
        "a/b,name=c",
    ):
        with pytest.raises(InvalidRequest):
            names.parse(bad)


def test_labels_match_as_the_spec_says() -> None:
    """What is asked for must be there; what is not asked for may be."""
    wanted = names.parse("a/b:1")
    assert wanted.matches("a/b", {"version": "1", "env": "x"})
    assert not wanted.matches("a/b", {"version": "2"})
    assert not wanted.matches("a/b", {})
    assert not wanted.matches("a/c", {"version": "1"})


@pytest.mark.parametrize(
    "labels",
    [
        {"os": "freebsd", "arch": "amd64"},
        {"os": "linux", "arch": "s390x"},
        {"os": "linux", "arch": "x"},
    ],
)
def test_an_image_for_another_platform_is_refused(labels: dict[str, str]) -> None:
    """Another system, another architecture, one that nobody knows."""
    with pytest.raises(InvalidRequest, match="the image is for"):
        names.platform_of(labels)


def test_pages_are_asked_from_the_image_up() -> None:
    """The name's own page, then each parent's."""
    assert list(discovery.pages(names.parse("example.com:1/a/b"))) == [
        "https://example.com:1/a/b?ac-discovery=1",
        "https://example.com:1/a?ac-discovery=1",
        "https://example.com:1/?ac-discovery=1",
    ]


def test_tags_lead_to_an_image_and_its_signature() -> None:
    """The spec's example of a page: templates by HTTPS count, hdfs and other prefixes do not."""
    html = (
        '<meta name="ac-discovery" content="example.com https://s.example.com/{os}/{arch}/{name}-{version}.{ext}">'
        '<meta name="ac-discovery" content="example.com hdfs://s.example.com/{name}-{version}-{os}-{arch}.{ext}">'
        '<META NAME="ac-discovery" CONTENT="other.com https://o.example.com/{name}.{ext}"/>'
        '<meta name="ac-discovery" content="example.com https://u.example.com/{user}.{ext}">'
        '<meta name="ac-discovery" content="example.com https://n.example.com/always.aci">'
        '<meta name="ac-discovery-pubkeys" content="example.com https://example.com/pubkeys.gpg">'
    )
    wanted = names.parse("example.com/reduce-worker:1.0.0,arch=amd64")
    assert discovery.places(wanted, discovery.tags(html)) == [
        discovery.Places(
            "https://s.example.com/linux/amd64/example.com/reduce-worker-1.0.0.aci",
            "https://s.example.com/linux/amd64/example.com/reduce-worker-1.0.0.aci.asc",
        )
    ]


@pytest.mark.parametrize(
    "html", ["", "<meta", "<meta name=ac-discovery>", "\0" * 1000, "<" * 100_000]
)
def test_a_page_of_garbage_has_no_tags(html: str) -> None:
    """Nothing in a page is an error."""
    assert discovery.tags(html) == []


def test_a_version_cannot_leave_its_place_in_a_url() -> None:
    """Labels come from people: what is special in URLs is quoted."""
    wanted = names.Wanted("example.com/a", {"version": "1?x#y z\n@"})
    (place,) = discovery.places(wanted, [("example.com", "https://s/{version}.{ext}")])
    assert place.image == "https://s/1%3Fx%23y%20z%0A%40.aci"


def test_simple_discovery_needs_more_than_a_host() -> None:
    """https://NAME-VERSION-OS-ARCH.aci, as the spec had it before meta tags."""
    place = discovery.simple(names.parse("example.com:1/a:2,arch=amd64"))
    assert place is not None
    assert place.image == "https://example.com:1/a-2-linux-amd64.aci"
    assert discovery.simple(names.parse("example.com")) is None


def grown(*paths: str) -> Tree:
    from hyper.image.tarstream import DIRECTORY, REGULAR, Entry

    tree = Tree()
    for number, path in enumerate(paths):
        kind = DIRECTORY if path.endswith("/") else REGULAR
        tree.add(Entry(path.encode(), kind, uid=7, gid=number), number)
    return tree


def kept(tree: Tree) -> list[str]:
    return sorted(path.decode() for path, _ in walk(tree.root) if path)


def test_a_whitelist_is_complete() -> None:
    """Files it names and the folders on the way stay; a folder it names is empty."""
    tree = grown("etc/a", "etc/b", "etc/d/x", "usr/bin/x", "usr/bin/y", "empty/")
    keep_only(tree.root, ["/etc/a", "/etc/d/", "/usr//bin/./y", "/empty"])
    assert kept(tree) == ["empty", "etc", "etc/a", "etc/d", "usr", "usr/bin", "usr/bin/y"]


@pytest.mark.parametrize("path", ["/etc/c", "/nothing/at/all", "/etc/a/below"])
def test_a_whitelist_of_what_is_not_there_is_refused(path: str) -> None:
    """The paths "will exist in the app's rootfs"."""
    with pytest.raises(BadLayer, match="not there"):
        keep_only(grown("etc/a", "etc/b").root, ["/etc/a", path])


def test_the_owner_of_a_file_is_found() -> None:
    """For user and group that are paths."""
    tree = grown("bin/", "bin/ping")
    assert owner(tree.root, "/bin/ping") == (7, 1)
    with pytest.raises(BadLayer, match="no file in it"):
        owner(tree.root, "/bin/pong")


@pytest.mark.parametrize(
    ("name", "labels", "reference"),
    [
        ("example.com/app", {"version": "1.0"}, "example.com/app:1.0"),
        ("example.com/app", {}, "example.com/app:latest"),
        ("nginx", {"version": "1.0"}, None),
        ("library/nginx", {}, None),
        ("docker.io/library/nginx", {}, None),
        ("index.docker.io/library/nginx", {}, None),
        ("example.com/~user/app", {}, None),
        ("example.com/app", {"version": "1.0+x"}, None),
    ],
)
def test_only_names_below_a_host_become_tags(
    name: str, labels: dict[str, str], reference: str | None
) -> None:
    """An archive cannot call itself what Docker Hub's images are called."""
    found = convert.tag_of(name, labels)
    assert (None if found is None else str(found)) == reference
