"""Volumes on a file server: what their options become for the guest's kernel."""

from __future__ import annotations

import pytest

from hyper.engine.spec import nfs
from hyper.errors import InvalidRequest, MachineError
from hyper.proto.message import KernelSource, Mount, MountFlag, NfsSource, encode_source

VOLUME = MountFlag.VOLUME


async def made(
    options: str, device: str = ":/export", *, read_only: bool = False, sub: str = ""
) -> Mount:
    """The mount of a volume with these options."""
    nfs.check("vol", options, device)
    return await nfs.mount("vol", options, device, "/d", read_only=read_only, copy=True, sub=sub)


@pytest.mark.parametrize(
    ("options", "device", "source", "data"),
    [
        ("addr=10.0.0.5", ":/x", "net::10.0.0.5:/x", "vers=4.2,addr=10.0.0.5"),
        ("addr=10.0.0.5", "nas:/x", "net::10.0.0.5:/x", "vers=4.2,addr=10.0.0.5"),
        ("", "127.0.0.1:/a:b", "net::127.0.0.1:/a:b", "vers=4.2,addr=127.0.0.1"),
        ("soft,addr=::1,vers=4", "[::2]:/x", "net::[::1]:/x", "soft,vers=4,addr=::1"),
        ("addr=1.2.3.4,nfsvers=3", ":/x", "net::1.2.3.4:/x", "nfsvers=3,nolock,addr=1.2.3.4"),
        ("addr=1.2.3.4,v3,lock", ":/x", "net::1.2.3.4:/x", "v3,lock,addr=1.2.3.4"),
        ("addr=1.2.3.4,_netdev,defaults,v4.1", ":/x", "net::1.2.3.4:/x", "v4.1,addr=1.2.3.4"),
    ],
)
async def test_what_the_kernel_is_told(options: str, device: str, source: str, data: str) -> None:
    """The server by its address, a version always, no lock daemon with version 3, no words of programs."""
    mount = await made(options, device)
    told = encode_source(mount.source, mount.flags)
    assert (mount.type, told, mount.data) == ("nfs", source, data)


async def test_flags() -> None:
    """Words of mount(8) are flags; what is read-only is not filled."""
    assert (await made("addr=::1")).flags == VOLUME | 4
    assert (await made("addr=::1,noexec,dev")).flags == VOLUME | 8
    assert (await made("addr=::1,ro")).flags == VOLUME | MountFlag.NO_COPY | 4 | 1
    assert (await made("addr=::1", read_only=True)).flags == VOLUME | MountFlag.NO_COPY | 4 | 1
    mount = await made("addr=::1", sub="a/b")
    assert (mount.source, mount.flags) == (NfsSource("[::1]:/export", "a/b"), VOLUME | 4)
    with pytest.raises(InvalidRequest, match="cannot have a colon: 'a:b'"):
        await made("addr=::1", sub="a:b")


async def test_a_name_without_an_address() -> None:
    """Said before a machine is started."""
    with pytest.raises(InvalidRequest, match=r"volume 'vol': file server 'nas.invalid'"):
        await made("addr=nas.invalid")
    with pytest.raises(InvalidRequest, match="volume 'vol': file server"):
        await made(f"addr={'a' * 70}.invalid")


async def test_a_server_that_does_not_answer_is_named() -> None:
    """A start that took too long says what it may have waited for, and nothing where it waited for no server."""
    mount = await made("addr=10.0.0.5")
    with (
        pytest.raises(MachineError, match=r"silent; it mounts 10.0.0.5:/export, which may"),
        nfs.named([mount]),
    ):
        raise MachineError("silent")
    with (
        pytest.raises(MachineError, match=r"^silent$"),
        nfs.named([Mount("tmpfs", KernelSource("tmpfs"), "/")]),
    ):
        raise MachineError("silent")
