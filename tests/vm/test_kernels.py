"""Kernels in place of Hyper's: for one container, for all of a daemon's, and what is no kernel for a machine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import ApiError
from tests.support.assets import find_asset
from tests.support.dockerd import Engine
from tests.support.hyperd import Hyperd, hyperd

pytestmark = pytest.mark.vm

BZIMAGE = Path(__file__).parents[2] / "build/hyperkernel/bzImage"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ours under another name, and without the word by which it is told how fast its timer is."""
    path = tmp_path_factory.mktemp("kernel") / "vmlinux"
    image = find_asset("vmlinux").read_bytes()
    image = re.sub(rb"(?<=\d)-hyper\b", b"-other", image)
    path.write_bytes(image.replace(b"lapic_timer_khz", b"no_timer_so_far"))
    yield path
    path.unlink()


def hyper(daemon: Hyperd, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [Path(sys.prefix) / "bin/hyper", *words]
    environ = Engine(daemon.host, "").environ()
    return subprocess.run(argv, capture_output=True, text=True, env=environ, timeout=120)


def test_a_container_with_a_kernel_of_its_own(daemon: Hyperd, busybox: str, foreign: Path) -> None:
    """A vmlinux by hyper's word, a bzImage by the annotation: the machine boots it, from no template and no pool, with
    all that a container has; another container of the same daemon has Hyper's."""
    show = ["sh", "-c", "uname -r; echo hello >/file; cat /file; sleep 0.2; date +%s >/dev/null"]
    done = hyper(daemon, "run", "--name", "one", "--kernel", str(foreign), busybox, *show)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\S+-other\nhello\n", done.stdout)
    shown = daemon.api.get("/containers/one/json")
    assert shown["HostConfig"]["Annotations"] == {"hyper.kernel": str(foreign)}
    assert shown["Hyper"]["Start"]["Way"] == "boot"
    body = {"Image": busybox, "Cmd": show}
    packed = {"HostConfig": {"Annotations": {"hyper.kernel": str(BZIMAGE)}}}
    for name, more in (("two", packed), ("three", {})):
        daemon.api.post(f"/containers/create?name={name}", body | more)
        daemon.api.post(f"/containers/{name}/start")
        daemon.run("wait", name)
        assert re.fullmatch(r"\S+-hyper\nhello\n", daemon.run("logs", name).decode())
    assert daemon.api.get("/containers/two/json")["Hyper"]["Start"]["Way"] == "boot"


def test_what_is_no_kernel_is_refused_at_the_creation(
    daemon: Hyperd, busybox: str, tmp_path: Path, foreign: Path
) -> None:
    """With what is wrong with it; one that is gone later is missed at the start."""
    text = tmp_path / "text"
    text.write_text("no kernel")
    gone = tmp_path / "gone"
    for path, why in (
        ("vmlinux", "'vmlinux' is no absolute path"),
        (str(gone), f"the kernel {gone} cannot be used: No such file or directory"),
        (str(text), f"the kernel {text} cannot be used: it is neither a vmlinux"),
    ):
        with pytest.raises(ApiError) as error:
            annotated(daemon, busybox, path)
        assert error.value.status == 400
        assert why in str(error.value)
    with pytest.raises(ApiError) as error:
        annotated(daemon, busybox, str(foreign), NetworkMode="container:x")
    assert "has its kernel" in str(error.value)
    gone.write_bytes(foreign.read_bytes())
    late = annotated(daemon, busybox, str(gone))
    gone.unlink()
    with pytest.raises(ApiError) as error:
        daemon.api.post(f"/containers/{late}/start")
    assert f"the kernel {gone} cannot be used" in str(error.value)


def annotated(daemon: Hyperd, image: str, kernel: str, **host: str) -> str:
    host_config = {"Annotations": {"hyper.kernel": kernel}, **host}
    body = {"Image": image, "HostConfig": host_config}
    return str(daemon.api.post("/containers/create", body)["Id"])


def test_a_daemon_with_another_kernel(busybox: str, foreign: Path, tmp_path: Path) -> None:
    """All its machines boot it, copies of templates among them; a file that is none keeps the daemon from starting."""
    with hyperd("--kernel", str(foreign)) as daemon:
        daemon.api.post("/hyper/v1/templates", {})
        done = hyper(daemon, "run", "--name", "one", busybox, "uname", "-r")
        assert done.stdout.endswith("-other\n"), done.stderr
        assert daemon.api.get("/containers/one/json")["Hyper"]["Start"]["Way"] in (
            "template",
            "pool",
        )
        assert daemon.api.get("/info")["Hyper"]["Kernel"] == {"Path": str(foreign)}
    text = tmp_path / "text"
    text.write_text("no kernel")
    with pytest.raises(AssertionError, match="neither a vmlinux"), hyperd("--kernel", str(text)):
        pass
