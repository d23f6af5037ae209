"""save, load and import: what leaves one engine arrives at another, Docker's own included."""

from __future__ import annotations

import http.server
import io
import json
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from tools import imagebuilder

from tests.support import images
from tests.support.daemon_log import bugs
from tests.support.dockerd import Engine, busybox_rootfs
from tests.support.hyperd import Hyperd
from tests.support.registry import RealRegistry


def _docker(engine: Engine, *words: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        ["docker", *words], input=stdin, capture_output=True, timeout=120, env=engine.environ()
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.root
def test_image_archive_between_hyperd_and_dockerd_keeps_its_id(
    daemon: Hyperd, own_daemon: Hyperd, docker_engine: Engine, real_registry: RealRegistry
) -> None:
    """A pulled image goes to another hyperd and to a dockerd, and comes back from there: same id, digests, files."""
    image = images.deep(4)
    name = real_registry.push(image, "archived:latest")
    daemon.run("pull", "-q", name)
    daemon.run("tag", name, "archived:1")
    saved = daemon.run("save", name, "archived")
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        index = json.load(archive.extractfile("index.json") or io.BytesIO())
        listed = json.load(archive.extractfile("manifest.json") or io.BytesIO())
    assert {entry["digest"] for entry in index["manifests"]} == {image.digest}
    assert sorted(listed[0]["RepoTags"]) == sorted(["archived:1", name])
    daemon.run("rmi", "-f", image.id)
    said = own_daemon.run("load", stdin=saved).decode()
    assert sorted(said.splitlines()) == sorted(
        f"Loaded image: {one}" for one in (name, "archived:1")
    )
    assert own_daemon.api.get("/images/archived:1/json")["Id"] == image.id
    assert own_daemon.run("run", "--rm", "archived:1", "cat", "/stack/last") == b"3\n"
    assert own_daemon.run("save", name, "archived") == saved

    _docker(docker_engine, "load", stdin=saved)
    assert (
        _docker(docker_engine, "images", "-q", "--no-trunc", "archived:1").decode().strip()
        == image.id
    )
    back = _docker(docker_engine, "save", "archived:1")
    own_daemon.run("rmi", "-f", image.id)
    assert own_daemon.run("load", "-q", stdin=back) == b"Loaded image: archived:1\n"
    assert own_daemon.api.get("/images/archived:1/json")["Id"] == image.id
    events = own_daemon.run(
        "events", "--since", "1", "--until", f"{time.time():.9f}", "--filter", "type=image"
    )
    assert b" image load " in events
    assert b" image save " in events


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd"])
def test_image_archive_when_compressed_is_loaded(
    daemon: Hyperd, real_registry: RealRegistry, compression: str
) -> None:
    """docker save | gzip and its kin are read too."""
    name = real_registry.push(images.deep(2), f"packed:{compression}")
    daemon.run("pull", "-q", name)
    saved = daemon.run("save", name)
    packed = subprocess.run(
        [compression, "-c"], input=saved, capture_output=True, check=True
    ).stdout
    daemon.run("rmi", "-f", name)
    assert daemon.run("load", stdin=packed).decode() == f"Loaded image: {name}\n"
    daemon.run("rmi", "-f", name)


def test_imported_root_file_system_runs(daemon: Hyperd) -> None:
    """A root file system from a tar, with instructions; history and configuration as docker's."""
    words = 'import -c ENTRYPOINT|["/bin/echo"] -c ENV|A=b|C="d|e" -c CMD|hello -m why - imported:1'
    made = daemon.run(
        *(word.replace("|", " ") for word in words.split(" ")), stdin=busybox_rootfs()
    )
    shown = daemon.api.get("/images/imported:1/json")
    assert shown["Id"] == made.decode().strip()
    assert shown["Config"]["Env"] == ["A=b", "C=d e"]
    assert shown["Comment"] == "why"
    assert daemon.run("run", "--rm", "imported:1", "works") == b"works\n"
    (step,) = daemon.api.get("/images/imported:1/history")
    assert (step["Comment"], step["Id"], step["Tags"]) == ("why", shown["Id"], ["imported:1"])
    made_at = datetime.fromisoformat(shown["Created"].partition(".")[0] + "+00:00").timestamp()
    with tarfile.open(fileobj=io.BytesIO(daemon.run("save", "imported:1"))) as archive:
        times = {item.name.partition("/")[0]: item.mtime for item in archive}
    assert (times["blobs"], times["oci-layout"], times["manifest.json"]) == (made_at, 0, 0)


@contextmanager
def served(files: dict[str, bytes]) -> Iterator[str]:
    """An HTTP server with ``files``; its address. What is called ``cut`` breaks off half way."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path.removeprefix("/"))
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write((data or b"")[: len(data or b"") // (2 if "cut" in self.path else 1)])

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_import_from_a_url_is_the_same_image(daemon: Hyperd) -> None:
    """By a URL: the same layer as from the client; what does not come whole is an error, and nothing of it stays."""
    rootfs = busybox_rootfs()
    daemon.run("import", "-", "local:1", stdin=rootfs)
    with served({"rootfs.tar": rootfs, "cut.tar": rootfs}) as address:
        said = daemon.run("import", "-m", "why", f"{address}/rootfs.tar", "remote:1").decode()
        one, two = (daemon.api.get(f"/images/{name}:1/json") for name in ("local", "remote"))
        assert said.splitlines()[-1] == two["Id"]
        assert one["RootFS"] == two["RootFS"]
        before = sorted((daemon.data_root / "image").rglob("*"))
        for source, words in (
            (f"{address}/nosuch", b"answered HTTP 404"),
            (f"{address}/cut.tar", b"cannot get"),
        ):
            refused = daemon.docker("import", source, "remote:2")
            assert (refused.returncode, words in refused.stderr) == (1, True), refused.stderr
    status, answer = daemon.api.raw("POST", "/images/create?fromSrc=ftp://127.0.0.1/x&repo=x", b"")
    assert (status, b"is no http or https URL" in answer) == (400, True), answer
    refused = daemon.docker("import", f"{address}/rootfs.tar", "remote:2")
    assert (refused.returncode, b"cannot get" in refused.stderr) == (1, True), refused.stderr
    assert sorted((daemon.data_root / "image").rglob("*")) == before
    assert bugs(daemon) == []
    daemon.run("rmi", "local:1", "remote:1")


def test_image_archive_when_hostile_is_refused(daemon: Hyperd) -> None:
    """Climbing names, lying digests, missing layers, nonsense: an error in a sentence, nothing is left."""
    image = imagebuilder.image([[imagebuilder.file("hostile", "x" * 20_000)]], {"Cmd": ["x"]})
    layer = image.tars[0]
    config = json.loads(image.config)
    before = daemon.api.get("/images/json")
    files = sorted((daemon.data_root / "image").rglob("*"))

    def refused(words: bytes, members: dict[str, bytes], *more: tarfile.TarInfo) -> None:
        done = daemon.docker("load", stdin=_tar(members, *more))
        assert done.returncode == 1
        assert words in done.stderr, done.stderr

    entry = {"Config": "c.json", "RepoTags": ["hostile:1"], "Layers": ["l.tar"]}
    good = {"manifest.json": _json([entry]), "c.json": image.config, "l.tar": layer}
    refused(b"does not contain a manifest.json", {})
    refused(b"does not contain a manifest.json", {"x": b"y"})
    refused(b"invalid manifest.json", {**good, "manifest.json": b"[{"})
    refused(b"has no 'l.tar'", {key: good[key] for key in ("manifest.json", "c.json")})
    refused(b"layers length mismatch", {**good, "manifest.json": _json([{**entry, "Layers": []}])})
    refused(b"invalid tag", {**good, "manifest.json": _json([{**entry, "RepoTags": ["hostile"]}])})
    refused(b"unpacks to", {**good, "l.tar": imagebuilder.tar([imagebuilder.file("x", "y")])})
    refused(b"layer ", {**good, "l.tar": b"x" * 2000})
    refused(b"cannot load windows image", {**good, "c.json": _json({**config, "os": "windows"})})
    for name in ("/etc/passwd", "../../etc/passwd", "../image/images.db"):
        refused(b"invalid archive", {**good, "manifest.json": _json([{**entry, "Layers": [name]}])})
    link = tarfile.TarInfo("l.tar")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    without = {key: good[key] for key in ("manifest.json", "c.json")}
    refused(b"invalid archive", without, link)
    link.linkname = "l.tar"
    refused(b"invalid archive", without, link)
    lying = {**entry, "Layers": [f"blobs/sha256/{'0' * 64}"]}
    refused(
        b"invalid archive: blobs/sha256/000",
        {**good, "manifest.json": _json([lying]), lying["Layers"][0]: layer},
    )
    twice = {
        **config,
        "rootfs": {
            "type": "layers",
            "diff_ids": config["rootfs"]["diff_ids"] + [f"sha256:{'1' * 64}"],
        },
    }
    both = {**entry, "Layers": ["l.tar", "l.tar"]}
    refused(b"layer", {**good, "c.json": _json(twice), "manifest.json": _json([both])})
    done = daemon.docker("load", stdin=_tar(good)[:12_000])
    assert (done.returncode, b"ends" in done.stderr) == (1, True), done.stderr
    assert daemon.docker("load", stdin=b"nonsense" * 1000).returncode == 1
    assert daemon.api.get("/images/json") == before
    assert sorted((daemon.data_root / "image").rglob("*")) == files


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _tar(members: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in more:
            archive.addfile(info)
    return buffer.getvalue()
