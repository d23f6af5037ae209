#!/usr/bin/env python3
"""What Hyper is for, in one minute: a real nginx image out of a real registry, in a microVM, and its page.

    make demo

Starts a registry and a daemon of its own in a private folder and removes everything at the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.registry import RealRegistry, registry
from tools import demo_image

ROOT = Path(__file__).parents[1]
HYPER = Path(sys.executable).with_name("hyper")
HYPERD = Path(sys.executable).with_name("hyperd")


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is done and how long it took."""
    print(f"==> {what}", flush=True)
    began = time.monotonic()
    yield
    print(f"    {time.monotonic() - began:.2f} s", flush=True)


@contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """A serving hyperd with roots in ``folder``; its address."""
    host = f"unix://{folder}/hyper.sock"
    read, write = os.pipe()
    roots = ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    with (folder / "hyperd.log").open("wb") as log:
        process = subprocess.Popen(
            [HYPERD, "-H", host, *roots, "--ready-fd", str(write)], pass_fds=[write], stderr=log
        )
    os.close(write)
    try:
        with os.fdopen(read, "rb") as ready:
            if not ready.read(1):
                sys.exit(f"hyperd did not start:\n{(folder / 'hyperd.log').read_text()}")
        yield host
    finally:
        process.terminate()
        process.wait()


def hyper(host: str, *words: str) -> str:
    """Run the command line as a person would; its output."""
    print(f"    $ hyper {' '.join(words)}", flush=True)
    done = subprocess.run(
        [HYPER, "-H", host, *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def page(address: str) -> str:
    """What the server at ``address`` answers; it may still be about to listen."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > deadline:
                raise


def show(folder: Path, real: RealRegistry) -> None:
    """Everything after the registry runs."""
    with step("an nginx image made from Debian's packages, pushed"):
        image = real.push(demo_image.nginx(), "nginx:latest")
    with step("hyperd"), ExitStack() as stack:
        host = stack.enter_context(daemon(folder))
        kept = stack.pop_all()
    with kept:
        hyper(host, "info")  # has the hypervisors probed, beside the pull
        with step("pulled, layers made into block images"):
            print(hyper(host, "pull", image).rstrip())
        with step("a microVM, from the command to the first page"):
            hyper(host, "run", "-d", "--name", "web", "-p", "127.0.0.1:0:80", image)
            address = hyper(host, "port", "web", "80").strip()
            html = page(address)
        print("    which hypervisors work here (asked once, then remembered):")
        print(hyper(host, "info").partition("Hypervisors:")[2].rstrip())
        print(hyper(host, "list"))
        print("\n".join(f"    | {line}" for line in html.splitlines()))
        with step("stopped and removed"):
            hyper(host, "rm", "-f", "web")


def main() -> None:
    """The demonstration."""
    os.environ["PATH"] += os.pathsep + str(ROOT / "build/debs/usr/bin")
    with tempfile.TemporaryDirectory(prefix="hyper-demo-") as name, ExitStack() as stack:
        with step("a registry on loopback"):
            real = stack.enter_context(registry())
        show(Path(name), real)


if __name__ == "__main__":
    main()
