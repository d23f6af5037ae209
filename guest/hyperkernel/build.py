#!/usr/bin/python3
"""Build HyperKernel from the distribution's linux-source, once, and cache it.

The result is a directory ``<cache>/kernel/<key>/`` holding ``vmlinux`` (stripped, for the PVH
start), ``bzImage``, ``config``, ``kernel.json`` and ``build.log``. The key is a hash of all that
goes in, so whoever asks again with the same source, fragments and compiler gets the same files
without a build. Progress goes to stderr; stdout carries the one thing asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import selectors
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

HERE = Path(__file__).resolve().parent
SOURCE_DIR = Path("/usr/src")
RECIPE_VERSION = 1  # raise it when a change of this file changes the files it makes
FLAVOURS = ("plain", "full")
IMAGES = ("vmlinux", "bzImage", "config")
MANIFEST = "kernel.json"
LOG = "build.log"
EXPECTED_OBJECTS = 1700  # about what the fragments compile; only the progress line reads it
PLAIN_PROGRESS_S = 20.0
TTY_PROGRESS_S = 0.2
LOG_TAIL_LINES = 30

# Program or header -> the Debian package that has it.
TOOLS = {
    "make": "make",
    "gcc": "gcc",
    "ld": "binutils",
    "bc": "bc",
    "bison": "bison",
    "patch": "patch",
    "flex": "flex",
    "tar": "tar",
    "xz": "xz-utils",
    "/usr/include/gelf.h": "libelf-dev",
}

# What the kernel's makefiles may see of the caller. Fixed names and date: the same inputs
# give the same bytes.
BUILD_ENV = {
    "LC_ALL": "C",
    "ARCH": "x86_64",
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "hyper",
    "KBUILD_BUILD_HOST": "hyper",
    "KBUILD_BUILD_VERSION": "1",
}


class BuildError(Exception):
    """The kernel cannot be built; the text says what failed and, after a newline, a hint."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A kernel source tarball and the version that identifies its content."""

    tarball: Path
    version: str


@dataclasses.dataclass(frozen=True)
class Fragment:
    """One config fragment or one patch: its file name and its text."""

    name: str
    text: str


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Everything that decides what the built files contain."""

    source: Source
    fragments: tuple[Fragment, ...]
    toolchain: str
    patches: tuple[Fragment, ...] = ()

    @property
    def key(self) -> str:
        """16 hex digits that change whenever any input changes."""
        digest = hashlib.sha256()
        parts = [f"recipe {RECIPE_VERSION}", self.source.version, self.toolchain]
        for files in (self.fragments, self.patches):
            parts.append(str(len(files)))
            parts += [part for file in files for part in (file.name, file.text)]
        for part in parts:
            data = part.encode()
            digest.update(struct.pack("<Q", len(data)) + data)
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """An option a fragment asks for and the value it really got (``n`` = not set)."""

    option: str
    wanted: str
    got: str

    def __str__(self) -> str:
        return f"{self.option}: wanted {self.wanted}, got {self.got}"


# --- inputs -----------------------------------------------------------------------------------


def find_source(directory: Path = SOURCE_DIR) -> Source:
    """Return the newest linux-source tarball in a directory.

    Raises:
        BuildError: there is none; the hint names the package to install.
    """
    found: list[tuple[tuple[int, ...], Path]] = []
    for path in directory.glob("linux-source-*.tar.xz"):
        match = re.fullmatch(r"linux-source-(\d+(?:\.\d+)*)\.tar\.xz", path.name)
        if match:
            found.append((tuple(int(n) for n in match[1].split(".")), path))
    if not found:
        raise BuildError(
            f"no kernel source in {directory} (linux-source-*.tar.xz)\n"
            "hint: apt-get install linux-source"
        )
    tarball = max(found)[1]
    return Source(tarball, source_version(tarball))


def source_version(tarball: Path) -> str:
    """Name the tarball's content: its package's version if dpkg owns it, else its SHA-256."""
    package = tarball.name.removesuffix(".tar.xz")
    if tarball.parent == SOURCE_DIR and shutil.which("dpkg-query"):
        query = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", package],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        status, _, version = query.stdout.partition(" ")
        if query.returncode == 0 and status == "installed" and version:
            return f"{package} {version}"
    return f"{package} sha256:{sha256_of(tarball)}"


def toolchain_version() -> str:
    """Return the first lines of ``gcc --version`` and ``ld --version``, joined.

    Raises:
        BuildError: a program or header the build needs is missing.
    """
    missing = [package for tool, package in TOOLS.items() if not tool_exists(tool)]
    if missing:
        raise BuildError(
            "tools to build a kernel are missing\n"
            f"hint: apt-get install {' '.join(sorted(missing))}"
        )
    return "; ".join(first_line([tool, "--version"]) for tool in ("gcc", "ld"))


def tool_exists(tool: str) -> bool:
    """Tell whether a program (by name) or a file (by absolute path) is there."""
    return Path(tool).exists() if tool.startswith("/") else shutil.which(tool) is not None


def first_line(argv: Sequence[str]) -> str:
    """Run a program and return the first line it prints."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        env=build_env(),
    )
    return done.stdout.partition("\n")[0]


def read_fragments(directory: Path, suffix: str = ".config") -> tuple[Fragment, ...]:
    """Return a directory's files with a suffix, in name order.

    Raises:
        BuildError: there are none.
    """
    paths = sorted(directory.glob(f"*{suffix}"))
    if not paths:
        raise BuildError(f"no *{suffix} files in {directory}")
    return tuple(Fragment(path.name, path.read_text()) for path in paths)


# --- options ----------------------------------------------------------------------------------

_SET = re.compile(r"(CONFIG_\w+)=(.+)")
_UNSET = re.compile(r"# (CONFIG_\w+) is not set")


def parse_options(text: str) -> dict[str, str]:
    """Read kconfig text: option -> value, ``n`` where it says "is not set"; the last one wins."""
    options: dict[str, str] = {}
    for line in text.splitlines():
        if match := _SET.fullmatch(line.strip()):
            options[match[1]] = match[2]
        elif match := _UNSET.fullmatch(line.strip()):
            options[match[1]] = "n"
    return options


def unfulfilled(fragments: Iterable[Fragment], config: str) -> list[Mismatch]:
    """Compare what the fragments ask for with a finished ``.config``."""
    actual = parse_options(config)
    wanted: dict[str, str] = {}
    for fragment in fragments:
        wanted |= parse_options(fragment.text)
    return [
        Mismatch(option, value, actual.get(option, "n"))
        for option, value in wanted.items()
        if actual.get(option, "n") != value
    ]


def require_fulfilled(fragments: Iterable[Fragment], config: str) -> None:
    """Raise BuildError, naming each option, unless the config grants all that was asked for."""
    mismatches = unfulfilled(fragments, config)
    if mismatches:
        listed = "\n".join(f"  {m}" for m in mismatches)
        raise BuildError(
            f"{len(mismatches)} requested option(s) did not end up in .config:\n{listed}\n"
            "hint: a dependency is missing, or the option has another name in this version"
        )


# --- cache ------------------------------------------------------------------------------------


def default_cache() -> Path:
    """Return ``${XDG_CACHE_HOME:-~/.cache}/hyper/kernel``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "hyper" / "kernel"


def is_complete(result: Path) -> bool:
    """Tell whether a result directory has its manifest and every file at the size noted there."""
    try:
        sizes = json.loads((result / MANIFEST).read_text())["sizes"]
        return all((result / name).stat().st_size == sizes[name] for name in IMAGES)
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def build_lock(cache: Path) -> Iterator[int]:
    """Hold the cache's one build lock; yields its descriptor.

    The compilers inherit it, so the lock outlives a killed builder until its last child is gone.
    """
    fd = os.open(cache / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another kernel build is running, waiting for it")
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def sweep_stale(cache: Path) -> list[Path]:
    """Remove what interrupted builds left; call it with the build lock held.

    Whoever owns a building directory holds the lock, so under the lock all of them are dead.
    """
    stale = sorted(cache.glob("*.building-*"))
    for path in stale:
        shutil.rmtree(path)
    return stale


@contextlib.contextmanager
def building_dir(cache: Path, key: str) -> Iterator[Path]:
    """Yield a fresh private directory; it is gone afterwards, whatever happened."""
    path = cache / f"{key}.building-{os.getpid()}"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def publish(result: Path, destination: Path) -> None:
    """Move a finished result directory to its name in the cache, replacing a broken one."""
    for path in result.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.chmod(0o444)
    if destination.exists():
        shutil.rmtree(destination)
    result.rename(destination)


def install(result: Path, out: Path) -> None:
    """Put the images and the manifest into a directory: linked where possible, else copied."""
    out.mkdir(parents=True, exist_ok=True)
    for name in (*IMAGES, MANIFEST):
        temporary = out / f".{name}.{os.getpid()}"
        try:
            try:
                os.link(result / name, temporary)
            except OSError:
                shutil.copy2(result / name, temporary)
            temporary.replace(out / name)
        finally:
            # rename(2) does nothing when both names are links to one file
            temporary.unlink(missing_ok=True)


# --- running make -----------------------------------------------------------------------------


def say(text: str) -> None:
    """Write one line to stderr."""
    print(f"hyperkernel: {text}", file=sys.stderr, flush=True)


class Progress:
    """Counts compiled objects and reports now and then, in the way the terminal allows."""

    def __init__(self, stream: IO[str] = sys.stderr) -> None:
        self.stream = stream
        self.tty = stream.isatty()
        self.interval_s = TTY_PROGRESS_S if self.tty else PLAIN_PROGRESS_S
        self.started = self.reported = time.monotonic()
        self.objects = 0

    def feed(self, line: str) -> None:
        """Take one line of make's output."""
        if re.match(r"  (CC|AS) ", line):
            self.objects += 1

    def tick(self) -> None:
        """Report if it is time to."""
        now = time.monotonic()
        if now - self.reported >= self.interval_s:
            self.reported = now
            self._write(now - self.started)

    def finish(self) -> None:
        """End the updating line, if there is one."""
        if self.tty:
            self.stream.write("\r\033[K")
            self.stream.flush()

    def _write(self, elapsed_s: float) -> None:
        text = (
            f"hyperkernel: compiled {self.objects} of ~{EXPECTED_OBJECTS} objects,"
            f" {elapsed_s:.0f} s"
        )
        self.stream.write(f"\r{text}\033[K" if self.tty else f"{text}\n")
        self.stream.flush()


def build_env() -> dict[str, str]:
    """Return the fixed environment plus the caller's PATH and HOME; nothing else leaks in."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | BUILD_ENV


def run(argv: Sequence[str], *, cwd: Path, log: Path, progress: Progress, lock_fd: int) -> None:
    """Run one step of the build with its output appended to the log.

    Its whole process group is gone afterwards, also when this process is interrupted.

    Raises:
        BuildError: it ended with a status other than 0; carries the tail of the log.
    """
    with log.open("a") as sink:
        sink.write(f"$ {shlex.join(argv)}\n")
        sink.flush()
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=build_env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=(lock_fd,),
        )
        try:
            follow(process, sink, progress)
            status = process.wait()
        except BaseException:
            end_group(process)
            raise
        finally:
            progress.finish()
    if status != 0:
        tail = "\n".join(log.read_text().splitlines()[-LOG_TAIL_LINES:])
        raise BuildError(f"{shlex.join(argv)}: exit status {status}; the log ends with:\n{tail}")


def follow(process: subprocess.Popen[str], sink: IO[str], progress: Progress) -> None:
    """Copy a process's output to the log until it ends, keeping the progress alive meanwhile."""
    assert process.stdout is not None
    with process.stdout as stdout, selectors.DefaultSelector() as selector:
        os.set_blocking(stdout.fileno(), False)
        selector.register(stdout, selectors.EVENT_READ)
        pending = ""
        while True:
            if selector.select(progress.interval_s):
                chunk = os.read(stdout.fileno(), 65536).decode(errors="replace")
                if not chunk:
                    return
                sink.write(chunk)
                *lines, pending = (pending + chunk).split("\n")
                for line in lines:
                    progress.feed(line)
            progress.tick()


def end_group(process: subprocess.Popen[str]) -> None:
    """Terminate a process and all of its group; none is left."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)


# --- building ---------------------------------------------------------------------------------


def has_pvh_note(elf: bytes) -> bool:
    """Tell whether an ELF64 file carries the PVH entry note, without which QEMU cannot start it.

    Source: Linux include/xen/interface/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY (18).
    """
    (table,) = struct.unpack_from("<Q", elf, 32)
    entry_size, entries = struct.unpack_from("<HH", elf, 54)
    for index in range(entries):
        kind, _, offset = struct.unpack_from("<IIQ", elf, table + index * entry_size)
        (size,) = struct.unpack_from("<Q", elf, table + index * entry_size + 32)
        if kind == 4 and struct.pack("<II", 4, 8) in elf[offset : offset + size]:
            return struct.pack("<I4s", 18, b"Xen\0") in elf[offset : offset + size]
    return False


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest(inputs: Inputs, version: str, result: Path) -> str:
    """Describe a result directory's images as JSON text."""
    described = {
        "version": version,
        "key": inputs.key,
        "source": inputs.source.version,
        "toolchain": inputs.toolchain,
        "sizes": {name: (result / name).stat().st_size for name in IMAGES},
        "sha256s": {name: sha256_of(result / name) for name in IMAGES},
    }
    return json.dumps(described, indent=2) + "\n"


class Builder:
    """One build in a private directory: unpack, configure, compile, collect."""

    def __init__(self, inputs: Inputs, directory: Path, lock_fd: int) -> None:
        self.inputs = inputs
        self.directory = directory
        self.lock_fd = lock_fd
        self.tree = directory / "tree"
        self.result = directory / "result"
        self.log = self.result / LOG
        self.progress = Progress()
        self.result.mkdir()

    def build(self) -> Path:
        """Return the directory that now holds all files of the result."""
        say(f"unpacking {self.inputs.source.tarball}")
        self.unpack()
        self.patch()
        self.configure()
        say("compiling; this happens once per kernel version and takes some minutes")
        self.make(f"-j{len(os.sched_getaffinity(0))}", "vmlinux", "bzImage")
        self.collect()
        return self.result

    def step(self, *argv: str) -> None:
        """Run a program in the source tree."""
        run(
            argv,
            cwd=self.tree,
            log=self.log,
            progress=self.progress,
            lock_fd=self.lock_fd,
        )

    def make(self, *arguments: str) -> None:
        """Run the kernel's make."""
        self.step("make", *arguments)

    def unpack(self) -> None:
        """The source tree is at ``self.tree``."""
        self.tree.mkdir()
        self.step(
            "tar",
            "--extract",
            "--xz",
            "--strip-components=1",
            f"--file={self.inputs.source.tarball}",
        )

    def write(self, name: str, files: Iterable[Fragment]) -> list[str]:
        """Write texts, the very ones the key was made from, to a directory; return their paths."""
        parts = self.directory / name
        parts.mkdir()
        for file in files:
            (parts / file.name).write_text(file.text)
        return [str(parts / file.name) for file in files]

    def patch(self) -> None:
        """Our patches are applied to the tree; one that does not fit fails the build."""
        for path in self.write("patches", self.inputs.patches):
            self.step("patch", "--strip=1", "--batch", "--forward", f"--input={path}")

    def configure(self) -> None:
        """The tree has a ``.config`` that grants every option the fragments ask for."""
        paths = self.write("fragments", self.inputs.fragments)
        self.make("tinyconfig")
        self.step("scripts/kconfig/merge_config.sh", "-m", ".config", *paths)
        self.make("olddefconfig")
        require_fulfilled(self.inputs.fragments, (self.tree / ".config").read_text())

    def collect(self) -> None:
        """The result directory has the images and their manifest; the source tree is gone."""
        vmlinux = self.result / "vmlinux"
        self.step("strip", "--strip-all", "-o", str(vmlinux), "vmlinux")
        if not has_pvh_note(vmlinux.read_bytes()):
            raise BuildError("the stripped vmlinux has no PVH entry note")
        shutil.copyfile(self.tree / "arch/x86/boot/bzImage", self.result / "bzImage")
        shutil.copyfile(self.tree / ".config", self.result / "config")
        version = (self.tree / "include/config/kernel.release").read_text().strip()
        (self.result / MANIFEST).write_text(manifest(self.inputs, version, self.result))
        shutil.rmtree(self.tree)


def ensure(inputs: Inputs, cache: Path) -> Path:
    """Return the cache directory that holds the kernel for these inputs, building it if needed.

    Raises:
        BuildError: the build failed; its full log is then ``<cache>/<key>.log``.
    """
    destination = cache / inputs.key
    if is_complete(destination):
        return destination
    cache.mkdir(parents=True, exist_ok=True)
    with build_lock(cache) as lock_fd:
        sweep_stale(cache)
        if is_complete(destination):  # the build we waited for was ours
            return destination
        failure_log = cache / f"{inputs.key}.log"
        failure_log.unlink(missing_ok=True)
        with building_dir(cache, inputs.key) as directory:
            builder = Builder(inputs, directory, lock_fd)
            try:
                publish(builder.build(), destination)
            except BuildError as error:
                builder.log.rename(failure_log)
                raise BuildError(f"{error}\nfull log: {failure_log}") from error
    return destination


# --- command line -----------------------------------------------------------------------------


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="build.py",
        description="Build HyperKernel, or find it in the cache.",
        epilog="Prints the directory that holds vmlinux, bzImage, config and kernel.json.",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="also put the files into DIR")
    parser.add_argument(
        "--flavour",
        choices=FLAVOURS,
        default=FLAVOURS[0],
        help="plain: what machines boot unless told otherwise (default); full: with more, for hyperd --kernel",
    )
    parser.add_argument("--print-key", action="store_true", help="print the cache key and stop")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        default=default_cache(),
        help="where results are kept (default: %(default)s)",
    )
    return parser.parse_args(argv)


def gather_inputs(
    flavour: str = "plain", *, source_dir: Path = SOURCE_DIR, here: Path = HERE
) -> Inputs:
    """Look at the machine and return what a build of ``flavour`` would be made from."""
    fragments = read_fragments(here / "fragments")
    if flavour != FLAVOURS[0]:
        fragments += read_fragments(here / "fragments" / flavour)
    return Inputs(
        find_source(source_dir),
        fragments,
        toolchain_version(),
        read_fragments(here / "patches", ".patch"),
    )


def on_sigterm(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Leave by an exception, so that everything on the stack cleans up."""
    sys.exit(128 + signal.SIGTERM)


def summary(result: Path) -> str:
    """Describe a finished kernel in one line."""
    facts: Mapping[str, Mapping[str, int]] = json.loads((result / MANIFEST).read_text())
    sizes = ", ".join(f"{name} {facts['sizes'][name] / 2**20:.1f} MiB" for name in IMAGES[:2])
    return f"{facts['version']}: {sizes}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = parse_arguments(argv)
    signal.signal(signal.SIGTERM, on_sigterm)
    try:
        inputs = gather_inputs(arguments.flavour)
        if arguments.print_key:
            print(inputs.key)
            return 0
        result = ensure(inputs, arguments.cache.resolve())
        say(summary(result))
        if arguments.out:
            install(result, arguments.out)
        print(arguments.out or result)
    except BuildError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
