"""What -v, --mount, --volumes-from and an image's volumes come to, and Docker's words for what they may not be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hyper.engine.record.mount import BIND, TMPFS, VOLUME, MountPoint
from hyper.engine.spec import mounts
from hyper.errors import InvalidRequest
from hyper.types.container import ContainerConfig, HostConfig
from hyper.types.mount import MountSpec


def points(host: HostConfig, *volumes: str, **others: list[MountPoint]) -> dict[str, MountPoint]:
    """The mount points by target; ``others``: those of other containers."""
    config = ContainerConfig(volumes={target: {} for target in volumes})
    found = mounts.mount_points(
        config, host, volumes_of=others.__getitem__, exists=lambda path: path == "/there"
    )
    return {point.target: point for point in found}


def spec(**members: Any) -> MountSpec:
    """One of HostConfig.Mounts from its wire form."""
    return msgspec.convert(members, MountSpec)


def test_binds() -> None:
    """Host paths and names, with every mode."""
    asked = ["/a/../b//c:/x/.", "name:/y:ro", "/d:/z:ro,Z,rslave", "n2:/w:nocopy,rw", "/only"]
    found = points(HostConfig(binds=asked))
    assert found["/x"] == MountPoint(BIND, "/x", source="/b/c", propagation="rprivate", create=True)
    assert found["/y"] == MountPoint(VOLUME, "/y", volume="name", read_only=True, mode="ro")
    assert (found["/z"].read_only, found["/z"].propagation) == (True, "rslave")
    assert (found["/w"].no_copy, found["/w"].read_only) == (True, False)
    assert found["/only"].anonymous
    assert len(found["/only"].volume) == 64
    told = mounts.warnings(found.values(), is_socket=lambda path: path == "/b/c")
    assert [text.partition(":")[0] for text in told] == [
        "Bind mount /b/c is a unix socket of the host, which nothing in a virtual machine can connect to",
        "Mount propagation rslave of /z has no effect",
    ]


@pytest.mark.parametrize(
    ("bind", "text"),
    [
        ("", "invalid volume specification: ''"),
        (":/x", "invalid volume specification: ':/x'"),
        ("/a:ro", "invalid volume specification: '/a:ro'"),
        ("/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"),
        ("/a:/b:what", "invalid mode: what"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:b", "invalid mount path: 'b' mount path must be absolute"),
        ("/a:/", "destination can't be '/'"),
        ("/a:/b/..", "destination can't be '/'"),
        ("./a:/b", 'create ./a: "./a" includes invalid characters for a local volume name'),
        ("x:/b", "volume name is too short"),
        ("/a\0:/b", "invalid mount path"),
        ("/a:/" + "b" * 4096, "invalid mount path"),
    ],
)
def test_bad_binds(bind: str, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        points(HostConfig(binds=[bind]))
    assert text in str(caught.value)


def test_mounts() -> None:
    """Each type with all that it can have."""
    found = points(
        HostConfig(
            mounts=[
                spec(Type="bind", Source="/there", Target="/a", ReadOnly=True),
                spec(
                    Type="bind", Source="/no", Target="/b", BindOptions={"CreateMountpoint": True}
                ),
                spec(
                    Type="volume",
                    Source="vol",
                    Target="/c",
                    VolumeOptions={
                        "NoCopy": True,
                        "Subpath": "x/./y",
                        "Labels": {"k": "v"},
                        "DriverConfig": {"Name": "local", "Options": {"type": "directory"}},
                    },
                ),
                spec(Type="volume", Target="/d"),
                spec(
                    Type="tmpfs",
                    Target="/e",
                    ReadOnly=True,
                    TmpfsOptions={"SizeBytes": 4096, "Mode": 0o1770, "Options": [["noexec"]]},
                ),
            ]
        )
    )
    assert (found["/a"].read_only, found["/a"].create) == (True, False)
    assert found["/b"].create
    assert (found["/c"].no_copy, found["/c"].subpath) == (True, "x/y")
    assert found["/c"].labels == (("k", "v"),)
    assert found["/c"].driver_options == (("type", "directory"),)
    assert found["/d"].anonymous
    assert found["/e"] == MountPoint(
        TMPFS, "/e", read_only=True, options="size=4096,mode=1770,noexec,ro"
    )


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"Type": "bind", "Target": "/x"}, "field Source must not be empty"),
        ({"Type": "bind", "Source": "/no", "Target": "/x"}, "bind source path does not exist: /no"),
        ({"Type": "bind", "Source": "no", "Target": "/x"}, "'no' mount path must be absolute"),
        ({"Type": "bind", "Source": "/there"}, "field Target must not be empty"),
        (
            {"Type": "bind", "Source": "/there", "Target": "/x", "VolumeOptions": {}},
            "field VolumeOptions must not be specified",
        ),
        (
            {
                "Type": "bind",
                "Source": "/there",
                "Target": "/x",
                "BindOptions": {"Propagation": "?"},
            },
            "invalid propagation mode: ?",
        ),
        ({"Type": "volume", "Target": "/x", "ReadOnly": True}, "must not set ReadOnly mode"),
        (
            {"Type": "volume", "Target": "/x", "VolumeOptions": {"Subpath": "a"}},
            "must not set Subpath",
        ),
        (
            {
                "Type": "volume",
                "Source": "vol",
                "Target": "/x",
                "VolumeOptions": {"Subpath": "a/../.."},
            },
            "subpath must be a relative path within the volume",
        ),
        (
            {"Type": "volume", "Source": "vol", "Target": "/x", "VolumeOptions": {"Subpath": "/a"}},
            "subpath must be a relative path within the volume",
        ),
        ({"Type": "tmpfs", "Source": "/a", "Target": "/x"}, "field Source must not be specified"),
        ({"Type": "npipe", "Target": "/x"}, "mount type unknown"),
        *(
            (
                {"Type": "bind", "Source": "/there", "Target": "/x", "BindOptions": {name: True}},
                "NonRecursive is not possible",
            )
            for name in ("NonRecursive", "ReadOnlyNonRecursive")
        ),
    ],
)
def test_bad_mounts(members: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        points(HostConfig(mounts=[spec(**members)]))
    assert str(caught.value).startswith(f'invalid mount config for type "{members["Type"]}": ')
    assert text in str(caught.value)


def test_who_wins_where_several_want_one_place() -> None:
    """The client's own, then another container's, then the image's; two of its own are a mistake."""
    theirs = [
        MountPoint(VOLUME, "/a", volume="theirs", anonymous=True),
        MountPoint(VOLUME, "/b", volume="named"),
        MountPoint(TMPFS, "/t"),
    ]
    host = HostConfig(volumes_from=["other:ro"], binds=["mine:/a"], tmpfs={"/c": ""})
    found = points(host, "/a", "/b", "/c", "/d", other=theirs)
    assert found["/a"].volume == "mine"
    assert (found["/b"].volume, found["/b"].read_only) == ("named", True)
    assert sorted(found) == ["/a", "/b", "/d"]
    for twice in (
        HostConfig(binds=["/a:/x", "/b:/x/"]),
        HostConfig(binds=["/a:/x"], tmpfs={"/x": ""}),
        HostConfig(binds=["/a:/x"], mounts=[spec(Type="volume", Target="/x")]),
    ):
        with pytest.raises(InvalidRequest, match="Duplicate mount point: /x"):
            points(twice)
    with pytest.raises(InvalidRequest, match="too many mounts"):
        points(HostConfig(binds=[f"/a:/{number}" for number in range(mounts.MAX_MOUNTS + 1)]))
