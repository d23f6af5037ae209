"""QEMU's command line, word by word. ``HYPER_GOLDEN=write`` writes the files anew: read what changed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.machine.qemu.argv import MachineFds, arguments, forward_rules
from hyper.machine.qemu.spec import QemuSpec
from hyper.machine.spec import (
    Disk,
    FileBlocks,
    Forward,
    SharedPath,
    UserNic,
)
from tests.support.machine_specs import BRIDGED, COPY, PLAIN, TEMPLATE

GOLDEN = Path(__file__).parent.parent / "golden"
BINARY = Path("/usr/bin/qemu-system-x86_64")
FULL = replace(
    PLAIN,
    name="full",
    vcpus=2,
    disks=(
        Disk("layer0", FileBlocks(Path("/store/a")), read_only=True),
        Disk("scratch", FileBlocks(Path("/store/b")), read_only=False),
    ),
    nics=(
        UserNic(
            mac="52:54:00:12:34:56",
            network="10.0.2.0/24",
            forwards=(
                Forward("tcp", "0.0.0.0", 8080, 80),
                Forward("udp", "127.0.0.1", 5353, 53),
            ),
        ),
    ),
    command_line=("hyper.debug=1",),
)
SHARING = replace(PLAIN, name="sharing", shared=(SharedPath(Path("/srv/data"), read_only=True),))
MANY_DISKS = replace(
    PLAIN,
    name="many-disks",
    disks=tuple(
        Disk(f"layer{n}", FileBlocks(Path(f"/store/{n}")), read_only=True) for n in range(5)
    ),
)
SPECS = [PLAIN, FULL, BRIDGED, SHARING, TEMPLATE, COPY, MANY_DISKS]


def lines(spec: QemuSpec, accelerator: str) -> str:
    """One option a line."""
    fds = MachineFds(
        agent=10,
        monitor=11,
        console=12,
        disks=tuple(range(20, 20 + len(spec.disks))),
        share=40 if spec.shared else None,
    )
    words = arguments(spec, binary=BINARY, accelerator=accelerator, fds=fds, tsc_khz=2500000)
    return (
        " ".join(
            f"\n{word}" if word.startswith("-") else repr(word) if " " in word else word
            for word in words
        ).replace(" \n", "\n")
        + "\n"
    )


@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_golden(spec: QemuSpec, accelerator: str) -> None:
    """The command line of each machine is the one that is kept in tests/golden."""
    path = GOLDEN / f"qemu-{spec.name}-{accelerator}.txt"
    if os.environ.get("HYPER_GOLDEN") == "write":
        path.write_text(lines(spec, accelerator))
    assert lines(spec, accelerator) == path.read_text()


def test_no_host_path_but_the_binary_is_named() -> None:
    """A command line has no path of the host but QEMU's own: files are descriptors."""
    words = arguments(FULL, binary=BINARY, accelerator="tcg", fds=MachineFds(3, 4, 5, (6, 7)))
    text = " ".join(words)
    assert "/host" not in text
    assert "/store" not in text
    assert "/run/hyper" not in text


@pytest.mark.parametrize("name", ["a,b", "a=b", "", "a\nb"])
def test_names_cannot_smuggle_options(name: str) -> None:
    """A name with a comma or another word of QEMU's is refused."""
    bad_disk = replace(FULL, disks=(Disk(name, FileBlocks(Path("/x")), read_only=True),))
    for spec in (replace(PLAIN, name=name), bad_disk):
        with pytest.raises(ValueError, match="not usable"):
            arguments(spec, binary=BINARY, accelerator="tcg", fds=MachineFds(3, 4, 5, (6,)))


def test_forwards_lead_to_the_15th_address() -> None:
    """A forwarded port leads to the address that the guest has on its network."""
    nic = UserNic("52:54:00:12:34:56", "192.168.7.0/24", (Forward("tcp", "127.0.0.1", 1, 2),))
    assert [rule for rule, _ in forward_rules(nic)] == ["tcp:127.0.0.1:1-192.168.7.15:2"]


@pytest.mark.parametrize(
    "forward", [Forward("sctp", "127.0.0.1", 1, 2), Forward("tcp", "::1", 1, 2)]
)
def test_what_slirp_cannot_forward(forward: Forward) -> None:
    """A forwarding that QEMU's user network has no word for is refused."""
    with pytest.raises(ValueError):
        forward_rules(UserNic("52:54:00:12:34:56", "10.0.2.0/24", (forward,)))


@pytest.mark.parametrize(
    ("accelerator", "tsc_khz", "chips"),
    [("tcg", 2_500_000, "off"), ("tcg", None, "on"), ("kvm", 2_500_000, "on"), ("kvm", None, "on")],
)
def test_timer_chips_are_for_guests_that_have_to_find_out_how_fast_their_clock_is(
    accelerator: str, tsc_khz: int | None, chips: str
) -> None:
    """Who is told has neither the PIT nor the PIC it needs; and only who has none of them is told."""
    fds = MachineFds(3, 4, 5, ())
    text = " ".join(
        arguments(PLAIN, binary=BINARY, accelerator=accelerator, fds=fds, tsc_khz=tsc_khz)
    )
    assert f"pit={chips},pic={chips}" in text
    assert ("tsc_early_khz=2500000" in text) == (chips == "off")
