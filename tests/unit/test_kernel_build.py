"""guest/hyperkernel/build.py without a build: keys, options, cache, locks, progress."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BUILD_PY = Path(__file__).resolve().parents[2] / "guest" / "hyperkernel" / "build.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hyperkernel_build", BUILD_PY)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


kb = load()


def inputs(tmp_path: Path, text: str = "CONFIG_NET=y\n") -> kb.Inputs:
    source = kb.Source(tmp_path / "linux-source-6.1.tar.xz", "linux-source-6.1 6.1.1-1")
    return kb.Inputs(source, (kb.Fragment("10-a.config", text),), "gcc 12; ld 2.40")


def fill(result: Path, key: str = "k") -> Path:
    """Make a complete result directory."""
    result.mkdir(parents=True)
    for name in kb.IMAGES:
        (result / name).write_text(f"this is {name}")
    made = dataclasses.replace(inputs(result.parent))
    (result / kb.MANIFEST).write_text(kb.manifest(made, "6.1.1-hyper", result))
    return result


# --- inputs and key


def test_newest_source_is_found_by_number_not_by_letter(tmp_path: Path) -> None:
    for version in ("6.1", "6.12", "6.9"):
        (tmp_path / f"linux-source-{version}.tar.xz").write_text(version)
    (tmp_path / "linux-source-9.9-rt.tar.xz").write_text("not a plain kernel")
    assert kb.find_source(tmp_path).tarball.name == "linux-source-6.12.tar.xz"


def test_a_flavour_is_the_plain_one_and_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fragments come after the others, and its key is another; what is asked twice is asked for alike."""
    monkeypatch.setattr(kb, "toolchain_version", lambda: "gcc 12; ld 2.40")
    monkeypatch.setattr(kb, "find_source", lambda _: kb.Source(Path("x"), "6.1"))
    plain, full = (kb.gather_inputs(flavour) for flavour in kb.FLAVOURS)
    assert full.fragments[: len(plain.fragments)] == plain.fragments
    assert plain.key != full.key
    options = [kb.parse_options(part.text) for part in full.fragments]
    contradicted = {
        name
        for index, later in enumerate(options)
        for earlier in options[:index]
        for name in later.keys() & earlier.keys()
        if later[name] != earlier[name]
    }
    assert contradicted == set()


def test_missing_source_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(kb.BuildError, match="apt-get install linux-source"):
        kb.find_source(tmp_path)


def test_foreign_tarball_is_identified_by_its_content(tmp_path: Path) -> None:
    tarball = tmp_path / "linux-source-6.1.tar.xz"
    tarball.write_text("one")
    first = kb.source_version(tarball)
    tarball.write_text("two")
    assert first.startswith("linux-source-6.1 sha256:")
    assert kb.source_version(tarball) != first


def test_missing_tools_are_named_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kb, "TOOLS", {"no-such-tool": "some-package", "/no/such.h": "other-dev"})
    with pytest.raises(kb.BuildError, match="apt-get install other-dev some-package"):
        kb.toolchain_version()


@pytest.mark.parametrize(
    "change",
    [
        {"fragments": (kb.Fragment("10-a.config", "CONFIG_NET=n\n"),)},
        {"fragments": (kb.Fragment("10-b.config", "CONFIG_NET=y\n"),)},
        {"source": kb.Source(Path("x"), "linux-source-6.1 6.1.1-2")},
        {"toolchain": "gcc 13; ld 2.40"},
        {"patches": (kb.Fragment("1.patch", "--- a\n"),)},
    ],
)
def test_key_changes_with_every_input(tmp_path: Path, change: dict[str, object]) -> None:
    base = inputs(tmp_path)
    assert dataclasses.replace(base, **change).key != base.key


def test_key_changes_with_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = inputs(tmp_path).key
    monkeypatch.setattr(kb, "RECIPE_VERSION", kb.RECIPE_VERSION + 1)
    assert inputs(tmp_path).key != before


def test_key_is_the_same_wherever_the_tarball_lies(tmp_path: Path) -> None:
    base = inputs(tmp_path)
    moved = dataclasses.replace(base.source, tarball=Path("/elsewhere/linux-source-6.1.tar.xz"))
    assert dataclasses.replace(base, source=moved).key == base.key


def test_text_cannot_move_between_fragments_unnoticed(tmp_path: Path) -> None:
    def key(*texts: str) -> str:
        fragments = tuple(kb.Fragment("f", text) for text in texts)
        return str(dataclasses.replace(inputs(tmp_path), fragments=fragments).key)

    assert key("ab", "c") != key("a", "bc")


def test_no_fragments_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(kb.BuildError, match=r"no \*\.config files"):
        kb.read_fragments(tmp_path)


def test_our_fragments_do_not_contradict_each_other() -> None:
    seen: dict[str, tuple[str, str]] = {}
    for fragment in kb.read_fragments(kb.HERE / "fragments"):
        for line in fragment.text.splitlines():
            for option, value in kb.parse_options(line).items():
                assert option not in seen, f"{option} in {fragment.name} and {seen[option]}"
                seen[option] = (fragment.name, value)
    assert seen["CONFIG_PVH"][1] == "y"


# --- options


def test_unfulfilled_options_are_reported() -> None:
    asked = kb.Fragment("a", 'CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\nCONFIG_S="x"\n')
    got = 'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_S="x"\n'
    assert [str(m) for m in kb.unfulfilled([asked], got)] == [
        "CONFIG_B: wanted y, got n",
        "CONFIG_C: wanted n, got y",
    ]
    with pytest.raises(kb.BuildError, match=r"2 requested option\(s\)[^$]*CONFIG_B[^$]*CONFIG_C"):
        kb.require_fulfilled([asked], got)


def test_absent_option_counts_as_not_set() -> None:
    assert kb.unfulfilled([kb.Fragment("a", "# CONFIG_GONE is not set\n")], "") == []


# --- cache


def test_cache_hit_builds_nothing_and_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kb, "Builder", None)
    made = inputs(tmp_path)
    result = fill(tmp_path / "cache" / made.key)
    assert kb.ensure(made, tmp_path / "cache") == result
    out = tmp_path / "out"
    for _ in range(2):  # a second time over its own links
        kb.install(result, out)
        assert sorted(p.name for p in out.iterdir()) == sorted((*kb.IMAGES, kb.MANIFEST))
    assert (out / "vmlinux").read_text() == "this is vmlinux"


def test_install_copies_where_it_cannot_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cross_device(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", cross_device)
    result = fill(tmp_path / "r")
    kb.install(result, tmp_path / "out")
    assert (tmp_path / "out" / "bzImage").read_bytes() == (result / "bzImage").read_bytes()


def test_truncated_result_is_not_complete(tmp_path: Path) -> None:
    result = fill(tmp_path / "r")
    assert kb.is_complete(result)
    (result / "vmlinux").write_text("")
    assert not kb.is_complete(result)
    (result / kb.MANIFEST).write_text("[]")
    assert not kb.is_complete(result)
    assert not kb.is_complete(tmp_path / "nothing")


class FakeBuilder:
    """Stands in for the real one: leaves a tree and a result behind."""

    fail = False

    def __init__(self, made: kb.Inputs, directory: Path, lock_fd: int) -> None:
        os.fstat(lock_fd)
        self.result = directory / "result"
        self.log = self.result / kb.LOG
        self.directory = directory

    def build(self) -> Path:
        (self.directory / "tree").mkdir()
        fill(self.result)
        self.log.write_text("what make said")
        if self.fail:
            raise kb.BuildError("make: exit status 2")
        return self.result


def test_build_is_published_whole_and_leaves_no_trash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kb, "Builder", FakeBuilder)
    made = inputs(tmp_path)
    broken = tmp_path / made.key
    broken.mkdir()
    (broken / "vmlinux").write_text("half")
    stale = tmp_path / "0123.building-99999999"
    (stale / "tree").mkdir(parents=True)
    result = kb.ensure(made, tmp_path)
    assert kb.is_complete(result)
    assert {p.name for p in tmp_path.iterdir()} == {".lock", made.key}
    assert (result / kb.LOG).exists()


def test_failed_build_keeps_only_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kb, "Builder", FakeBuilder)
    monkeypatch.setattr(FakeBuilder, "fail", True)
    made = inputs(tmp_path)
    with pytest.raises(kb.BuildError, match=f"exit status 2\nfull log: .*{made.key}.log"):
        kb.ensure(made, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {".lock", f"{made.key}.log"}
    assert (tmp_path / f"{made.key}.log").read_text() == "what make said"


def test_waiting_builder_takes_over_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look and the lock another process has built the same kernel."""
    made = inputs(tmp_path)
    monkeypatch.setattr(kb, "Builder", None)
    monkeypatch.setattr(kb, "sweep_stale", lambda cache: fill(cache / made.key))
    assert kb.ensure(made, tmp_path) == tmp_path / made.key


# --- steps and progress


def step(tmp_path: Path, code: str) -> str:
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    try:
        kb.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            log=tmp_path / "log",
            progress=kb.Progress(io.StringIO()),
            lock_fd=lock,
        )
    finally:
        os.close(lock)
    return (tmp_path / "log").read_text()


def test_step_logs_command_and_output(tmp_path: Path) -> None:
    log = step(tmp_path, "print('hello')")
    assert log.startswith("$ ") and log.endswith("hello\n")


def test_failed_step_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(kb.BuildError) as caught:
        step(tmp_path, "for n in range(99): print('line', n)\nraise SystemExit(3)")
    text = str(caught.value)
    assert "exit status 3" in text and "line 98" in text and "line 5\n" not in text


def test_interrupted_step_takes_its_children_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []

    def interrupt(process: subprocess.Popen[str], *_: object) -> None:
        started.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(kb, "follow", interrupt)
    with pytest.raises(KeyboardInterrupt):
        step(tmp_path, "import signal; signal.pause()")
    assert started[0].returncode is not None
    assert started[0].stdout is not None
    started[0].stdout.close()


def test_nothing_of_the_callers_flags_reaches_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KCFLAGS", "-O0")
    monkeypatch.setenv("ARCH", "arm64")
    env = kb.build_env()
    assert "KCFLAGS" not in env
    assert env["ARCH"] == "x86_64"


@pytest.mark.parametrize("tty", [True, False])
def test_progress_counts_objects(tty: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: tty)
    progress = kb.Progress(stream)
    for line in ("  CC      a.o", "  AS      b.o", "  LD      vmlinux", "  CC", "warning: x"):
        progress.feed(line)
    progress.tick()
    assert stream.getvalue() == ""  # too early to say anything
    progress.reported -= 60
    progress.tick()
    progress.finish()
    assert "compiled 2 of" in stream.getvalue()
    assert ("\r" in stream.getvalue()) == tty


# --- ELF and manifest


def elf_with_note(kind: int) -> bytes:
    header = bytearray(64)
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, 1)
    note = struct.pack("<III4s", 4, 8, kind, b"Xen\0") + bytes(8)
    segment = bytearray(56)
    struct.pack_into("<IIQ", segment, 0, 4, 0, 120)
    struct.pack_into("<Q", segment, 32, len(note))
    return bytes(header) + bytes(segment) + note


def test_pvh_note_is_recognised() -> None:
    assert kb.has_pvh_note(elf_with_note(18))
    assert not kb.has_pvh_note(elf_with_note(6))


def test_manifest_describes_every_image(tmp_path: Path) -> None:
    facts = json.loads((fill(tmp_path / "r") / kb.MANIFEST).read_text())
    assert facts["version"] == "6.1.1-hyper"
    assert set(facts["sizes"]) == set(facts["sha256s"]) == set(kb.IMAGES)
    assert facts["sizes"]["vmlinux"] == len("this is vmlinux")


# --- command line


def run_main(monkeypatch: pytest.MonkeyPatch, made: kb.Inputs, *argv: str) -> int:
    monkeypatch.setattr(kb, "gather_inputs", lambda flavour: made)
    monkeypatch.setattr(kb.signal, "signal", lambda *_: None)
    return int(kb.main(argv))


def test_print_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = inputs(tmp_path)
    assert run_main(monkeypatch, made, "--print-key") == 0
    assert capsys.readouterr().out == f"{made.key}\n"


def test_result_is_printed_and_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = inputs(tmp_path)
    result = fill(tmp_path / "cache" / made.key)
    assert run_main(monkeypatch, made, "--cache", str(tmp_path / "cache")) == 0
    assert capsys.readouterr().out == f"{result}\n"
    out = str(tmp_path / "out")
    assert run_main(monkeypatch, made, "--cache", str(tmp_path / "cache"), "--out", out) == 0
    assert capsys.readouterr().out == f"{out}\n"


def test_failure_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kb, "Builder", FakeBuilder)
    monkeypatch.setattr(FakeBuilder, "fail", True)
    assert run_main(monkeypatch, inputs(tmp_path), "--cache", str(tmp_path)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("hyperkernel: make: exit status 2")


def test_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert kb.default_cache() == Path("/x/hyper/kernel")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/h")
    assert kb.default_cache() == Path("/h/.cache/hyper/kernel")
