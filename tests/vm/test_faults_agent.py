"""A guest whose agent is silent, babbles or lies: the start fails in time, with its console, and nothing is left."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.assets import find_asset
from tests.support.containers import create
from tests.support.daemon_log import bugs
from tests.support.hygiene import control_groups
from tests.support.hyperd import Hyperd, hyperd
from tests.support.machines import make_cpio

pytestmark = pytest.mark.vm

SOURCE = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_port(void)
{
    mkdir("/dev", 0755);
    mount("dev", "/dev", "devtmpfs", 0, "");
    return open("/dev/vport0p1", O_RDWR);
}

int main(void)
{
    char data[4096];
    int port = open_port();
    printf("this is the other init: BEHAVIOUR, port %s\n", port < 0 ? "missing" : "open");
    fflush(stdout);
    if (strcmp("BEHAVIOUR", "ends") == 0)
        return 1;
    if (strcmp("BEHAVIOUR", "babbles") == 0)
        for (;;) {
            memset(data, 'x', sizeof data);
            if (write(port, data, sizeof data) < 0)
                usleep(1000);
        }
    if (strcmp("BEHAVIOUR", "lies") == 0) {
        /* The host's own HELLO comes back: its nonce is right, its body is not a guest's. */
        int size = (int)read(port, data, 77);
        for (int at = 0; at < size; at++)
            data[at] = (char)data[at];
        write(port, data, (size_t)size);
    }
    sleep(15); /* longer than the daemon waits, and not so long that its probe of this guest takes for ever */
    return 1;
}
"""


@pytest.fixture(params=["silent", "babbles", "lies", "ends"])
def liar(
    request: pytest.FixtureRequest, tmp_path: Path, busybox: str
) -> Iterator[tuple[str, Hyperd]]:
    """A daemon whose machines run another init on the real kernel."""
    source, init = tmp_path / "init.c", tmp_path / "init"
    source.write_text(SOURCE.replace("BEHAVIOUR", request.param))
    subprocess.run(
        ["musl-gcc", "-static", "-Os", "-o", init, source], check=True, stderr=subprocess.DEVNULL
    )
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / "vmlinux").symlink_to(find_asset("vmlinux"))
    (assets / "initrd").write_bytes(
        make_cpio([("dev", 0o040755, b""), ("init", 0o100755, init.read_bytes())])
    )
    # A slow host may take some seconds to come to the init; who ends by himself is not waited for.
    options = ("--assets", str(assets), "--boot-timeout", "10", "--accelerator", "tcg")
    with hyperd(*options) as daemon:
        daemon.run("pull", "-q", busybox)
        yield request.param, daemon


WORDS = {
    "silent": "did not answer in 10 s",
    "babbles": "did not answer in 10 s",
    "lies": "the agent broke its protocol",
    "ends": "the machine ended before its agent answered",
}


def test_a_start_fails_in_time_and_says_why(liar: tuple[str, Hyperd], busybox: str) -> None:
    """The reason in one line, the console's tail below it; no machine, socket or group is left."""
    behaviour, daemon = liar
    box = create(daemon, busybox, "true")
    status, content = daemon.api.raw("POST", f"/containers/{box}/start")
    text = content.decode()
    assert status == 500
    assert WORDS[behaviour] in text, text
    assert f"this is the other init: {behaviour}, port open" in text, text
    assert daemon.machines() == []
    assert list((daemon.exec_root / "vm").iterdir()) == []
    state = daemon.api.get(f"/containers/{box}/json")["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", 128)
    assert WORDS[behaviour] in state["Error"]
    assert box[:16] not in {group.name for group in control_groups()}
    assert bugs(daemon) == []
