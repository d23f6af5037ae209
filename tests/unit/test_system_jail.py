"""bubblewrap's arguments against golden files; ``HYPER_GOLDEN=write`` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hyper.system.jail import Bind, JailFds, JailSpec, View, argv

GOLDEN = Path(__file__).parent.parent / "golden"
VIEWS = (
    View(Path("/usr/lib/x86_64-linux-gnu")),
    View(Path("/usr/share/qemu")),
    View(Path("/usr/bin/qemu-system-x86_64")),
    View(Path("/srv/kernel"), Path("/boot/vmlinux")),
)
SHARING: dict[str, Any] = {
    "views": VIEWS[:1],
    "binds": (
        Bind(Path("/srv/data"), Path("/share/0"), read_only=False),
        Bind(Path("/etc/passwd"), Path("/share/1"), read_only=True),
    ),
    "capabilities": ("chown", "setuid"),
    "allowed": frozenset({"chroot"}),
    "proc": True,
    "network": False,
}
SPECS = {
    "root": JailSpec(views=VIEWS, uid=1879048193),
    "user": JailSpec(views=VIEWS, uid=None),
    "offline": JailSpec(views=VIEWS, uid=1879048193, network=False),
    "everything": JailSpec(
        views=VIEWS,
        uid=1879048193,
        devices=(View(Path("/state/kvm"), Path("/dev/kvm")),),
        groups=(1879113726,),
        low_ports=True,
    ),
    "share-root": JailSpec(uid=0, **SHARING),
    "share-user": JailSpec(uid=None, **SHARING),
}


def lines(words: list[str]) -> str:
    return " ".join(f"\n{word}" if word.startswith("--") else word for word in words).replace(
        " \n", "\n"
    )


@pytest.mark.parametrize("name", SPECS)
def test_golden(name: str) -> None:
    path = GOLDEN / f"qemu-jail-{name}.txt"
    text = lines(argv(SPECS[name], ["/usr/bin/program", "an argument"], JailFds(3, 4))) + "\n"
    if os.environ.get("HYPER_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", SPECS)
def test_machines_outlive_us(name: str) -> None:
    assert "--die-with-parent" not in argv(SPECS[name], ["x"], JailFds(3, 4))


def test_a_folder_that_is_shown_is_not_made_first() -> None:
    spec = JailSpec(views=(View(Path("/a")), View(Path("/a/b/c"))), uid=1)
    words = argv(spec, ["x"], JailFds(3, 4))
    made = [words[at + 1] for at, word in enumerate(words) if word == "--dir"]
    assert "/a" not in made
