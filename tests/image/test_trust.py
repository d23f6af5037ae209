"""Credentials, certificates, mirrors and platforms, against the real registry where it can do it."""

from __future__ import annotations

import shutil
import ssl
from hashlib import sha256
from pathlib import Path

import pytest
from tools.imagebuilder import file, image, index

from hyper.errors import HyperError, InvalidRequest, NotFound, Unauthorized, Unavailable
from hyper.image import endpoint
from hyper.image.auth import RegistryAuth
from hyper.image.images import Images
from tests.support import certificates
from tests.support.image_store import SHORT
from tests.support.images import busybox, full_config
from tests.support.registry import PASSWORD, USER, Answer, HostileRegistry, RealRegistry, registry


async def test_basic_auth(images: Images) -> None:
    """A guarded registry gives an image for the right password alone."""
    with registry(auth=True) as guarded:
        name = guarded.push(busybox(), "private:1")
        with pytest.raises(Unauthorized, match="authentication required"):
            await images.pull(name)
        with pytest.raises(Unauthorized, match="authentication required"):
            await images.pull(name, auth=RegistryAuth(USER, "wrong"))
        record = await images.pull(name, auth=RegistryAuth(USER, PASSWORD))
        assert record.id == busybox().id


async def _opened(tmp_path: Path, secure: RealRegistry, host: str, *, trusted: bool) -> Images:
    """A store that has the registry's authority for ``host`` in its certs.d, or does not. The caller closes it."""
    certs = tmp_path / str(trusted)
    if trusted:
        shutil.copytree(secure.certs_dir / secure.host, certs / host)
    images = Images(tmp_path / "i", certs_dirs=[certs], patience=SHORT)
    images._endpoints._networks = []  # loopback is trusted otherwise
    await images.open()
    return images


async def test_own_certificate_authority(tmp_path: Path) -> None:
    """localhost is always insecure; the name that is not shows that certs.d is used."""
    with registry(tls=True) as secure:
        secure.push(busybox(), "x:1")
        host = secure.host.replace("localhost", "127.0.0.1")
        for trusted in (False, True):
            images = await _opened(tmp_path, secure, host, trusted=trusted)
            if trusted:
                assert (await images.pull(f"{host}/x:1")).id == busybox().id
            else:
                with pytest.raises(Unavailable, match="certificate"):
                    await images.pull(f"{host}/x:1")
            await images.close()


async def test_a_push_by_an_own_certificate_authority(tmp_path: Path) -> None:
    """Sent and there by the authority in certs.d; without it nothing is sent, and the error says why."""
    with registry(tls=True) as secure:
        secure.push(busybox(), "x:1")
        host = secure.host.replace("localhost", "127.0.0.1")
        for trusted in (False, True):
            images = await _opened(tmp_path, secure, host, trusted=trusted)
            record = await images.pull(f"{secure.host}/x:1")
            repository = f"{host}/copies/{'yes' if trusted else 'no'}"
            await images.tag(record.id, repository, "1")
            name = f"{repository}:1"
            if trusted:
                await images.push(name)
                await images.remove(record.id, force=True)
                assert (await images.pull(name)).id == busybox().id
            else:
                with pytest.raises(Unavailable, match="certificate"):
                    await images.push(name)
                elsewhere = name.replace(host, secure.host)
                with pytest.raises(NotFound):
                    await images.pull(elsewhere)
            await images.close()


async def test_an_authority_for_all_registries(tmp_path: Path) -> None:
    """`--registry-ca` signs for every server; a file that is none keeps the daemon from starting, with its name."""
    with registry(tls=True) as secure:
        secure.push(busybox(), "x:1")
        host = secure.host.replace("localhost", "127.0.0.1")
        authority = secure.folder / "ca.pem"
        images = Images(tmp_path / "i", authorities=[authority], patience=SHORT)
        images._endpoints._networks = []  # loopback is trusted otherwise
        await images.open()
        assert (await images.pull(f"{host}/x:1")).id == busybox().id
        await images.close()
        for bad in (tmp_path / "none.pem", secure.folder / "config.yml"):
            with pytest.raises(HyperError, match=f"cannot use the authority {bad}: "):
                Images(tmp_path / "j", authorities=[bad])


async def test_a_registry_that_wants_a_clients_certificate(tmp_path: Path) -> None:
    """*.cert with its *.key in any of the folders says who we are; one without the other is an error that names it."""
    made = certificates.authority(tmp_path / "ca")
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=made.folder / "ca.pem")
    served.load_cert_chain(made.folder / "server.pem", made.folder / "server-key.pem")
    served.verify_mode = ssl.CERT_REQUIRED
    async with HostileRegistry(busybox(), tls=served) as server:
        folder = tmp_path / "second" / server.host
        folder.mkdir(parents=True)
        shutil.copy(made.folder / "ca.pem", folder / "ca.crt")
        images = Images(
            tmp_path / "i", certs_dirs=[tmp_path / "first", tmp_path / "second"], patience=SHORT
        )
        images._endpoints._hosts = set()  # localhost is trusted otherwise
        await images.open()
        with pytest.raises(
            Unavailable, match=f"registry {server.host}: .*(alert|certificate|reset|hung)"
        ):
            await images.pull(server.reference)
        shutil.copy(made.folder / "cert.pem", folder / "client.cert")
        with pytest.raises(HyperError, match=r"client\.cert has no client\.key beside it"):
            await images.pull(server.reference)
        shutil.copy(made.folder / "key.pem", folder / "client.key")
        assert (await images.pull(server.reference)).id == busybox().id
        await images.close()


async def test_insecure_registry_with_a_strange_certificate(images: Images) -> None:
    """A registry on loopback is spoken to whoever signed its certificate."""
    with registry(tls=True) as secure:
        name = secure.push(busybox(), "x:1")
        assert (await images.pull(name)).id == busybox().id


async def test_mirror_first_then_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror is asked before Docker Hub, which is asked where the mirror fails."""
    one = busybox()
    async with HostileRegistry(one) as mirror, HostileRegistry(one) as hub:
        monkeypatch.setattr(endpoint, "HUB_HOST", hub.host)
        images = Images(tmp_path / "i", registry_mirrors=(f"http://{mirror.host}",), patience=SHORT)
        await images.open()
        record = await images.pull("nginx")
        assert record.repo_tags == ("nginx:latest",)
        assert mirror.paths("/v2/library/nginx/")
        assert not hub.requests
        await images.remove("nginx")
        mirror.always["/"] = Answer(500)
        assert (await images.pull("nginx", auth=RegistryAuth("u", "p"))).id == one.id
        assert hub.paths("/v2/library/nginx/")
        mirror.always = {"/": Answer(length=100, end="reset")}
        await images.remove("nginx")
        assert (await images.pull("nginx")).id == one.id
        mirror.always = {"/": Answer(500)}
        hub.always["/manifests/"] = Answer(500)
        with pytest.raises(Unavailable) as caught:
            await images.pull("nginx")
        assert mirror.host in str(caught.value)
        assert hub.host in str(caught.value)
        before = len(mirror.requests)
        with pytest.raises(Unavailable):
            await images.pull("localhost:1/nginx")
        assert len(mirror.requests) == before
        await images.close()


async def test_the_mirrors_answers_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first that has it; a no of one that answers stays a no where the registry itself is out of reach."""
    missing = Answer(404, b'{"errors": [{"code": "NAME_UNKNOWN", "message": "unknown"}]}')
    async with HostileRegistry(busybox()) as first, HostileRegistry(busybox()) as second:
        monkeypatch.setattr(endpoint, "HUB_HOST", "registry.invalid")
        urls = tuple(f"http://{one.host}" for one in (first, second))
        images = Images(tmp_path / "i", registry_mirrors=urls, patience=SHORT)
        await images.open()
        first.always["/manifests/"] = missing
        assert (await images.pull("nginx")).id == busybox().id
        second.always["/manifests/"] = missing
        with pytest.raises(NotFound) as caught:
            await images.pull("nginx:2")
        assert str(caught.value) == "repository nginx not found: name unknown: unknown"
        first.always["/manifests/"] = second.always["/manifests/"] = Answer(500)
        with pytest.raises(Unavailable) as lost:
            await images.pull("nginx:3")
        assert str(lost.value).count("HTTP 500") == 2
        assert "dial tcp: lookup registry.invalid: " in str(lost.value)
        assert "object at" not in str(lost.value)
        await images.close()


def test_mirrors_must_be_urls(tmp_path: Path) -> None:
    """A mirror that is no URL, or has a password in it, is refused."""
    for bad in ("mirror.example", "ftp://x", "https://user:pw@x"):
        with pytest.raises(InvalidRequest, match="invalid mirror"):
            Images(tmp_path, registry_mirrors=(bad,))


async def test_platforms(images: Images, real: RealRegistry) -> None:
    """An index gives the image of the platform that is asked for."""
    ours, theirs = busybox(), image([[file("arm", "x")]], architecture="arm64")
    top, blobs = index({"linux/arm64/v8": theirs, "linux/amd64": ours, "unknown/unknown": theirs})
    name = real.push_raw(top, blobs, "multi:1")
    record = await images.pull(name, platform="linux/amd64")
    assert record.id == ours.id
    digest = f"sha256:{sha256(top).hexdigest()}"
    assert record.repo_digests == (f"{real.host}/multi@{digest}",)
    other = await images.pull(name, platform="linux/arm64")
    assert (other.id, other.architecture) == (theirs.id, "arm64")
    assert images.get(record.id).repo_tags == ()
    assert (await images.pull(f"{real.host}/multi@{digest}", platform="linux/amd64")).id == ours.id
    with pytest.raises(NotFound) as caught:
        await images.pull(name, platform="linux/s390x")
    assert str(caught.value) == "no matching manifest for linux/s390x in the manifest list entries"
    with pytest.raises(InvalidRequest, match="invalid component"):
        await images.pull(name, platform="linux/a b")


async def test_unknown_image(images: Images, real: RealRegistry) -> None:
    """An image that is not there, and a name that is none, are refused in Docker's words."""
    with pytest.raises(NotFound) as caught:
        await images.pull(f"{real.host}/nope")
    assert str(caught.value) == (
        f"manifest for {real.host}/nope:latest not found: manifest unknown: manifest unknown"
    )
    with pytest.raises(InvalidRequest, match="invalid reference format"):
        await images.pull("Not A Name")


async def test_configuration(images: Images, real: RealRegistry) -> None:
    """All of an image's configuration is kept."""
    record = await images.pull(real.push(full_config(), "full:1"))
    config = record.config.config
    assert config is not None
    assert config.user == "app:staff"
    assert set(config.exposed_ports or {}) == {"80/tcp", "53/udp"}
    assert config.entrypoint_argv() == ["/bin/sh", "-c"]
    assert config.cmd_argv() == ["echo $GREETING"]
    assert set(config.volumes or {}) == {"/data"}
    assert (config.working_dir, config.stop_signal, config.stop_timeout) == (
        "/home/app",
        "SIGUSR1",
        3,
    )
    assert config.healthcheck is not None
    assert config.healthcheck.retries == 4
    assert record.raw_config == full_config().config
