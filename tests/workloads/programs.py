"""Workloads of compilers, encoders, and trees of many small files."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

from tests.workloads.workload import IDLE, Part, Workload

LOAD = Workload(
    name="ffmpeg-gzip",
    says="two seconds of video encoded, 64 MiB compressed: the same bytes on each engine",
    parts=(Part("app", "media", (), IDLE),),
    check="ffmpeg -v error -cpuflags 0 -f lavfi -i testsrc=duration=2:size=160x120:rate=10 "
    "-flags bitexact -c:v rawvideo -f md5 -; "
    "head -c 67108864 /dev/zero | gzip -nc | md5sum | cut -d' ' -f1",
    result="MD5=58614b9752ddce750e727f9a9bc42504\n4e5ead7e4940200fe73c02bd5c0f399b",
)

_GO = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("static go") }\n'
_RUST = 'fn main() { println!("static rust"); }\n'


def _static_programs(folder: Path) -> None:
    """FOLDER/go and FOLDER/rust are linked statically by Go's and Rust's compilers."""
    (folder / "main.go").write_text(_GO)
    (folder / "main.rs").write_text(_RUST)
    environ = os.environ | {"CGO_ENABLED": "0", "GOCACHE": str(folder / "cache")}
    commands = [
        ["go", "build", "-o", "go", "main.go"],
        ["rustc", "-C", "target-feature=+crt-static", "-o", "rust", "main.rs"],
    ]
    for command in commands:
        subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)


STATIC = Workload(
    name="static-go-rust",
    says="statically linked programs of Go and Rust",
    parts=(Part("app", "data", ("-v", "@folder:/w:ro"), IDLE),),
    folders=_static_programs,
    check="/w/go; /w/rust",
    result="static go\nstatic rust",
)

I386 = Workload(
    name="i386",
    says="an image of 32-bit Debian, its programs dynamically linked",
    parts=(Part("app", "i386", (), IDLE),),
    check="getconf LONG_BIT; head -c 5 /bin/ls | od -An -tx1 | tr -d ' '",
    result="32\n7f454c4601",
    short=True,
)


def _repository(folder: Path) -> None:
    """FOLDER/repo is a git repository of 5,000 files in 100 commits."""
    stream = []
    for commit in range(100):
        when = 1_700_000_000 + commit
        stream.append(f"commit refs/heads/main\ncommitter a <a@b> {when} +0000\ndata 1\nc\n")
        for number in range(commit * 50, commit * 50 + 50):
            text = f"file {number}\n" * 20
            stream.append(f"M 100644 inline d{number % 97}/f{number}\ndata {len(text)}\n{text}\n")
    repo = str(folder / "repo")
    subprocess.run(["git", "init", "-q", "-b", "main", repo], check=True)
    importing = ["git", "-C", repo, "fast-import", "--quiet"]
    subprocess.run(importing, input="".join(stream).encode(), check=True)


GIT = Workload(
    name="git-clone",
    says="a clone of 5,000 files from a bind mount to a bind mount, and its status",
    parts=(Part("app", "dev", ("-v", "@folder:/w"), IDLE),),
    folders=_repository,
    check="git config --global --add safe.directory '*'; rm -rf /w/clone; "
    "git clone -q /w/repo /w/clone; cd /w/clone; git fsck --no-progress; "
    "git status --porcelain | wc -l; git ls-files | wc -l; "
    "find . -name .git -prune -o -type f -print | wc -l",
    result="0\n5000\n5000",
)


def _npm_package(folder: Path) -> None:
    """FOLDER/big.tgz is a package of 20,000 small files."""
    tree = folder / "package"
    tree.mkdir()
    (tree / "package.json").write_text('{"name": "big", "version": "1.0.0"}')
    for number in range(20_000):
        if number % 100 == 0:
            (tree / f"d{number // 100}").mkdir()
        (tree / f"d{number // 100}" / f"m{number}.js").write_text(f"module.exports = {number}\n")
    with tarfile.open(folder / "big.tgz", "w:gz", compresslevel=1) as tar:
        tar.add(tree, "package")


NPM = Workload(
    name="npm-install",
    says="20,000 small files: in the container's own files, a volume, a bind mount",
    parts=(Part("app", "dev", ("-v", "@folder:/bind", "-v", "@volume-data:/volume"), IDLE),),
    folders=_npm_package,
    volumes=("data",),
    check="for d in /own /volume/app /bind/app; do rm -rf $d; mkdir -p $d; cd $d; "
    "npm install --offline --no-audit --no-fund --loglevel=error /bind/big.tgz >/dev/null; "
    "find node_modules/big/ -type f | wc -l; done",
    result="20001\n20001\n20001",
    survives=False,  # half an hour for each more, and nothing that others do not show
)

ALL = (LOAD, STATIC, I386, GIT, NPM)
