"""The images of a host: the one class that other layers use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from hyper.errors import HyperError, ImageNotFound, InvalidRequest, NotFound
from hyper.image import (
    archive,
    blobs,
    limits,
    load,
    local_sources,
    prune,
    push,
    query,
    removal,
    save,
    search,
    tags,
)
from hyper.image import platform as platforms
from hyper.image.aci import names
from hyper.image.aci.acis import AppImages
from hyper.image.aci.fetch import Web
from hyper.image.aci.trust import Trust
from hyper.image.assemble import Recipe, assemble
from hyper.image.auth import RegistryAuth
from hyper.image.describe import describe
from hyper.image.download import download
from hyper.image.endpoint import Endpoint, Endpoints
from hyper.image.layer import Received
from hyper.image.local_sources import LocalEngines
from hyper.image.merge import Merger
from hyper.image.origin import coming
from hyper.image.originals import Original, original
from hyper.image.outbound import Outbound
from hyper.image.patience import Patience
from hyper.image.proxy import Proxies
from hyper.image.pull import Jobs, LayerFetcher, find, pinned
from hyper.image.record import HistoryItem, ImageRecord, Origin, PullEvent, Usage
from hyper.image.reference import (
    DEFAULT_DOMAIN,
    Reference,
    check_name,
    named,
    parse,
    parse_tag,
)
from hyper.image.registry import Registry
from hyper.image.squash import Bounds
from hyper.image.store import Store
from hyper.types.oci import Descriptor, Platform, decode_manifest

Progress = Callable[[PullEvent], None]
# Spelled out here because a method is called "list", as Docker's verb.
Records = list[ImageRecord]
HistoryItems = list[HistoryItem]
Users = Callable[[str], list[str]]
Removed = list[dict[str, str]]
Paths = list[Path]
Platforms = list[Platform]
Hits = list[search.Hit]
Loaded = list[tuple[str, list[str]]]
log = logging.getLogger(__name__)


def _nobody(_: str) -> list[str]:
    return []


class Images:
    """The images in ``root``. `open` first, `close` last. One process at a time; belongs to one event loop."""

    def __init__(
        self,
        root: Path,
        *,
        insecure_registries: tuple[str, ...] = (),
        registry_mirrors: tuple[str, ...] = (),
        certs_dirs: Sequence[Path] = (),
        authorities: Sequence[Path] = (),
        proxies: Proxies | None = None,
        patience: Patience | None = None,
        bounds: Bounds | None = None,
        keep_blobs: bool = True,
        local_engines: LocalEngines | None = None,
    ) -> None:
        """The images, not touched before `open`.

        ``keep_blobs`` False: pulled layers are fetched again when pushed or saved.
        ``local_engines``: where `bring` looks first. ``authorities``: files of certificates to trust everywhere.

        Raises:
            InvalidRequest: a mirror that is no URL. HyperError: an authority that cannot be read.
        """
        self._root = root
        self._endpoints = Endpoints(
            insecure=insecure_registries,
            mirrors=registry_mirrors,
            certs_dirs=certs_dirs,
            authorities=authorities,
        )
        self._patience = patience or Patience()
        self._outbound = Outbound(proxies or Proxies(), self._endpoints.is_named)
        # Loopback is as good as any host here: nobody can expect that images by name come from it unchecked.
        strict = Endpoints(
            insecure=insecure_registries,
            certs_dirs=certs_dirs,
            authorities=authorities,
            trust_loopback=False,
        )
        self.web = Web(strict, self._outbound, self._patience)
        self._bounds = bounds or Bounds()
        self._keep_blobs = keep_blobs
        self._local_engines = local_engines or LocalEngines()
        #: Blobs that were fetched again, to go when nobody uses their layers any more: {digest: diff id}.
        self._borrowed: dict[str, str] = {}
        self._jobs: Jobs = Jobs()
        self._opened: Store | None = None
        self._merger: Merger | None = None
        self._apps: AppImages | None = None

    @property
    def _store(self) -> Store:
        assert self._opened is not None, "not open"
        return self._opened

    async def open(self) -> None:
        """Open the store; what a crash left is removed.

        Raises:
            Conflict: another process uses ``root``. HyperError: the database cannot be used.
        """
        self._opened = await asyncio.to_thread(Store, self._root)
        self._merger = Merger(self._opened)
        trust = Trust(self._root / "trust")
        self._apps = AppImages(self._opened, self._bounds, self.web, trust)

    @property
    def apps(self) -> AppImages:
        """The importer of App Container Images into this store."""
        assert self._apps is not None, "not open"
        return self._apps

    async def _registry(
        self,
        reference: Reference,
        auth: RegistryAuth | None = None,
        *,
        actions: str = "pull",
        also: Sequence[str] = (),
        mirrors: bool = True,
        progress: Progress = lambda _: None,
    ) -> Registry:
        """The registry of ``reference``; without ``mirrors`` it alone. ``progress`` hears what is waited for."""
        endpoints = await asyncio.to_thread(self._endpoints.of, reference)
        return Registry(
            reference,
            [one for one in endpoints if mirrors or not one.mirror],
            auth,
            self._patience,
            self._outbound,
            actions=actions,
            also=tuple(also),
            tell=lambda text: progress(PullEvent("", text)),
        )

    async def close(self) -> None:
        """Close the store. Pulls must have ended."""
        if self._opened is not None:
            await asyncio.to_thread(self._opened.close)
            self._opened = None

    async def tags(self, repository: str, *, auth: RegistryAuth | None = None) -> list[str]:
        """References to everything that ``repository`` (no tag, no digest) has in its registry.

        Raises: as ``pull``; NotFound also for a repository without tags.
        """
        named = parse(repository)
        async with await self._registry(named, auth) as registry:
            return [item.familiar for item in await tags.find(registry, named)]

    async def pull(
        self,
        reference: str,
        *,
        platform: str | None = None,
        auth: RegistryAuth | None = None,
        progress: Progress = lambda _: None,
    ) -> ImageRecord:
        """The image is here: it and all its layers are on disk on return; nothing new is after a failure.

        Raises:
            InvalidRequest: bad reference, broken or hostile image. NotFound: no such image, none for the platform.
            Unauthorized, Forbidden: the registry's no. Unavailable: it does not answer.
            VerificationFailed: it sent other bytes than promised. HyperError: no space…
        """
        wanted = platforms.parse(platform) if platform else platforms.host()
        wanted_name = parse(reference).with_default_tag()
        check_name(wanted_name)
        finish = coming("registry", wanted_name.familiar)
        progress(
            PullEvent(
                wanted_name.tag or wanted_name.digest or "", f"Pulling from {wanted_name.path}"
            )
        )
        async with await self._registry(wanted_name, auth, progress=progress) as registry:
            found = await find(registry, wanted_name, wanted)
            layers = found.layers()
            try:
                with self._store.pinned(found.config.diff_ids):
                    fetcher = LayerFetcher(
                        self._store,
                        self._jobs,
                        registry,
                        self._bounds,
                        progress,
                        keep_blobs=self._keep_blobs,
                    )
                    await fetcher.fetch(layers)
                    await asyncio.to_thread(
                        self._store.add_image,
                        found.image_id,
                        found.raw_config,
                        found.raw_manifest,
                        found.config.diff_ids,
                        origin=finish(),
                    )
                    fresh = await self._name(pinned(wanted_name, found.digest), found.image_id)
                    had = [(blob.digest, diff_id) for diff_id, blob in layers]
                    await asyncio.to_thread(blobs.add_sources, self._store, wanted_name.name, had)
            except BaseException:
                self._store.collect()
                raise
        progress(PullEvent("", f"Digest: {found.digest}"))
        progress(PullEvent("", _remark(wanted_name, fresh=fresh)))
        record = query.record(self._store, found.image_id)
        offered = Platform(record.architecture, record.os, record.config.variant or "")
        if platform and not platforms.matches(offered, wanted):
            progress(PullEvent("", _mismatch(wanted_name, wanted, offered)))
        return record

    async def bring(
        self,
        text: str,
        *,
        elsewhere: bool = True,
        platform: str | None = None,
        auth: RegistryAuth | None = None,
        progress: Progress = lambda _: None,
    ) -> ImageRecord:
        """The image is here, from the nearest place: an engine of this host, else (``elsewhere``) as `pull`.

        ``text``: a reference, or an engine's id of an image (12 digits at least), which no registry knows.

        Raises: as `pull`; NotFound also where there is no such engine, without ``elsewhere``.
        """
        wanted = local_sources.wanted_image(
            text, platforms.parse(platform) if platform else platforms.host()
        )
        look = local_sources.bring if elsewhere else local_sources.take
        found = await look(self._store, self._bounds, self._local_engines, wanted, progress)
        if found is not None:
            return query.record(self._store, found)
        return await self.pull(text, platform=platform, auth=auth, progress=progress)

    async def _name(self, reference: Reference, image_id: str) -> bool:
        """Point the names at the image; whether that changed anything."""
        by_tag = (
            reference
            if reference.tag is None
            else Reference(reference.domain, reference.path, reference.tag)
        )
        fresh = self._store.resolve(by_tag) != image_id
        await asyncio.to_thread(self._store.set_reference, reference, image_id)
        return fresh

    def get(self, name_or_id: str) -> ImageRecord:
        """The image that a tag, digest reference, id or unique beginning of an id names.

        Raises:
            NotFound: "No such image: …". InvalidRequest: no reference at all, or ambiguous.
        """
        return query.record(self._store, query.identify(self._store, name_or_id))

    def id_of(self, name_or_id: str) -> str:
        """The full id of the image that ``get`` finds. Raises: as ``get``."""
        return query.identify(self._store, name_or_id)

    def list(self) -> Records:
        """The images, newest first."""
        return query.all_images(self._store)

    def history(self, name_or_id: str) -> HistoryItems:
        """The build steps of an image, newest first. Raises: as `get`."""
        return query.history(self._store, self.get(name_or_id))

    def tagged_ns(self, image_id: str) -> int:
        """The time when the image last got a name, in nanoseconds since 1970; 0: never."""
        return query.tagged_ns(self._store, image_id)

    def origin(self, image_id: str) -> Origin | None:
        """The origin of the image with this full id; None: it is not here, or came before this was written down."""
        return self._store.origin(image_id)

    def usage(self) -> Usage:
        """The disk usage of the images."""
        return query.usage(self._store)

    def size_of(self, image_id: str) -> int:
        """The bytes of an image's layers, also of a held one; 0 for an image that is gone (full id)."""
        infos = [self._store.layer(diff_id) for diff_id in self._store.layers_of(image_id)]
        return sum(info.content_bytes for info in infos if info is not None)

    async def assemble(
        self, recipe: Recipe, *, progress: Callable[[int], None] = lambda _: None
    ) -> ImageRecord:
        """The image that ``recipe`` describes is here, under its name. ``progress``: bytes of the new layer so far.

        Nothing new is here after a failure.

        Raises:
            InvalidRequest: the new layer or the configuration is broken. HyperError: no space…
        """
        image_id = await assemble(self._store, self._bounds, recipe, progress)
        return query.record(self._store, image_id)

    async def load(
        self, pieces: AsyncIterable[bytes], *, progress: Progress = lambda _: None
    ) -> Loaded:
        """The images of an archive (docker save's, or an OCI layout; compressed or not) are all here, with their names.

        Returned: (image id, its names in the archive) of each. Those before a broken one stay, as in Docker.

        Raises:
            InvalidRequest: it is no such archive, or an image in it is broken or hostile. HyperError: no space…
        """
        found: Loaded = []
        finish = coming("archive")
        async with archive.opened(
            self._store, pieces, max_bytes=limits.MAX_ARCHIVE_BYTES
        ) as opened:
            for image in await asyncio.to_thread(load.candidates, opened):
                await load.load(self._store, self._bounds, image, finish, progress)
                found.append((image.image_id, [name.familiar for name in image.names]))
        return found

    @asynccontextmanager
    async def saving(
        self, names: Sequence[str]
    ) -> AsyncIterator[tuple[Records, AsyncIterator[bytes]]]:
        """The images that ``names`` mean, and the tar stream that `load` reads; as long as the context lasts.

        A name without tag means all tags of its repository.

        Raises: as `get`, and NotFound for a layer that is not here and that its registry does not give again.
        """
        chosen = query.to_save(self._store, names)
        records = [query.record(self._store, image_id) for image_id in chosen]
        with ExitStack() as pins:
            pins.callback(self._give_back)
            for record in records:
                pins.enter_context(self._store.pinned(record.layers))
            saved = [
                save.Saved(
                    await self._original(record, None, compressed=False),
                    chosen[record.id],
                    query.created_s(record),
                )
                for record in records
            ]
            yield records, save.archive(self._store, saved)

    async def push(
        self,
        name: str,
        *,
        auth: RegistryAuth | None = None,
        progress: Progress = lambda _: None,
        pushed: Callable[[str, str, int], None] = lambda _tag, _digest, _size: None,
    ) -> None:
        """The image of this name is in its registry; without tag, all of the repository's.

        ``pushed`` hears (tag, digest, size of the manifest) of each. A pulled image keeps its digest.

        Raises:
            InvalidRequest: a bad name. NotFound: no such image, or a layer that cannot be had again.
            Unauthorized, Forbidden: the registry's no. Unavailable: it does not answer.
        """
        wanted = parse(name)
        if wanted.digest is not None:
            raise InvalidRequest("cannot push a digest reference")
        progress(PullEvent("", f"The push refers to repository [{wanted.name}]"))
        for reference, image_id in query.to_push(self._store, wanted):
            record = query.record(self._store, image_id)
            with ExitStack() as pins:
                pins.callback(self._give_back)
                pins.enter_context(self._store.pinned(record.layers))
                mine = None if auth is None else (reference.domain, auth)
                found = await self._original(record, mine, compressed=True)
                await self._push(reference, found, auth, progress)
            pushed(reference.tag or "", found.digest, len(found.manifest))

    async def _push(
        self, reference: Reference, found: Original, auth: RegistryAuth | None, progress: Progress
    ) -> None:
        others = [
            path
            for layer in found.layers
            for path in push.mount_candidates(self._store, reference, layer.digest)
        ]
        async with await self._registry(
            reference,
            auth,
            actions="pull,push",
            also=list(dict.fromkeys(others))[: push.MAX_MOUNTS],
            mirrors=False,
            progress=progress,
        ) as registry:
            await push.push(self._store, registry, reference, found, progress)

    async def login(self, domain: str, auth: RegistryAuth) -> None:
        """The registry takes these credentials. ``domain``: as in references.

        Raises:
            Unauthorized: it does not take them. Unavailable: it does not answer.
        """
        reference = Reference(domain, "")

        async def ask(endpoint: Endpoint) -> None:
            async with registry.request(endpoint, "GET", "/v2/"):
                pass

        async with await self._registry(reference, auth, actions="", mirrors=False) as registry:
            await registry.on_endpoints(ask)

    async def search(self, domain: str, term: str, limit: int) -> Hits:
        """The repositories that a registry finds for a term.

        Raises:
            NotFound: it has no search. Unavailable: it does not answer.
        """
        host = search.HUB if domain == DEFAULT_DOMAIN else domain
        reference = Reference(host, "")
        async with await self._registry(reference, actions="") as registry:
            return await search.search(registry, domain, term, limit)

    async def describe(self, name: str, auth: RegistryAuth | None) -> tuple[Descriptor, Platforms]:
        """The manifest or index that a registry has under a name, and the platforms it is for.

        Raises: as `pull`.
        """
        reference = parse(name).with_default_tag()
        async with await self._registry(reference, auth) as registry:
            return await describe(registry, reference)

    async def _original(
        self, record: ImageRecord, auth: tuple[str, RegistryAuth] | None, *, compressed: bool
    ) -> Original:
        """The original of an image, as others need it. ``auth``: credentials, and the domain they are for."""
        manifest = query.manifest(self._store, record.id)
        promised = decode_manifest(manifest).layers or () if manifest else ()
        diff_ids = dict(zip((layer.digest for layer in promised), record.layers, strict=False))

        async def fetch(blob: Descriptor, target: Path) -> Received:
            names = blobs.sources(self._store, blob.digest)
            names += [name.name for name in self._store.references(record.id) if name.digest]
            for name in dict.fromkeys(names):
                reference = named(name, digest=blob.digest)
                mine = auth[1] if auth is not None and auth[0] == reference.domain else None
                try:
                    async with await self._registry(reference, mine) as registry:
                        await download(registry, blob, target, lambda _: None)
                except HyperError as error:
                    log.warning("layer %s: %s has it no more: %s", blob.digest, name, error)
                    target.unlink(missing_ok=True)
                else:
                    if not self._keep_blobs:
                        self._borrowed[blob.digest] = diff_ids[blob.digest]
                    return Received(target, blob.digest, blob.size)
            raise NotFound(
                f"layer {blob.digest} of {record.id} is not kept here and cannot be had again",
                hint="pull the image again, or make sure that the registry it came from answers",
            )

        return await original(self._store, record, manifest, fetch, compressed=compressed)

    def _give_back(self) -> None:
        """The blobs fetched again are not kept without ``keep_blobs``: the last user of each drops it."""
        for digest, diff_id in list(self._borrowed.items()):
            if not self._store.is_pinned(diff_id):
                del self._borrowed[digest]
                blobs.drop(self._store, digest)

    async def tag(self, source: str, repository: str, tag: str = "") -> ImageRecord:
        """Give an image one more name (taken from another image, if that had it).

        Raises: as `get`, and InvalidRequest for a bad name.
        """
        image_id = query.identify(self._store, source)
        await asyncio.to_thread(self._store.set_reference, parse_tag(repository, tag), image_id)
        return query.record(self._store, image_id)

    async def remove(
        self,
        name_or_id: str,
        *,
        force: bool = False,
        noprune: bool = False,
        in_use: Users = _nobody,
        running: Users = _nobody,
        tell: removal.Tell = lambda _action, _image_id: None,
    ) -> Removed:
        """Take a name away, and the image with its last one: ``[{"Untagged": …}, {"Deleted": …}]``.

        ``in_use``/``running``: ids of the containers of an image id, all / those that run. Untagged parents go too,
        without ``noprune``. ``tell`` hears, from another thread, of each ("untag" or "delete", image id).

        Raises:
            NotFound, InvalidRequest: as `get`. Conflict: Docker's rules forbid it (``force`` lifts most).
        """
        image_id = query.identify(self._store, name_or_id)
        # By the id of its archive is by id, for Docker's rules.
        meant = image_id if names.is_id_prefix(name_or_id) else name_or_id
        request = removal.Request(meant, image_id, force, not noprune, in_use, running, tell)
        return await asyncio.to_thread(removal.remove, self._store, request)

    async def prune(
        self,
        wanted: Callable[[ImageRecord], bool],
        in_use: Users,
        tell: removal.Tell,
        *,
        dangling: bool,
    ) -> tuple[Removed, int]:
        """Remove the ``wanted`` images that no container uses: as `remove`, and the bytes that went.

        ``dangling``: only those without a tag.
        """
        return await asyncio.to_thread(
            prune.prune, self._store, wanted, in_use, tell, dangling=dangling
        )

    async def hold(self, holder: str, image_id: str) -> None:
        """Keep the image's layers for ``holder`` (a container) until `release`, whatever else is removed.

        Raises:
            NotFound: no such image (full id).
        """
        self._check_known(image_id)
        await asyncio.to_thread(self._store.hold, holder, image_id)

    def held(self, image_id: str) -> ImageRecord:
        """The image with this full id, also when it was removed and is still held.

        Raises:
            NotFound: no such image.
        """
        self._check_known(image_id)
        return query.record(self._store, image_id)

    async def release(self, holder: str) -> None:
        """End the hold of ``holder``; no error if there is none. All that only it kept is removed."""
        await asyncio.to_thread(self._store.release, holder)
        await asyncio.to_thread(self._store.collect)

    async def disks(self, image_id: str, *, max_disks: int) -> Paths:
        """The disks of an image: at most ``max_disks`` squashfs files, lowest first. Also of a held image.

        Empty for an image without any file. The lowest layers are merged if there are too many (once; kept).

        Raises:
            NotFound: no such image (full id). InvalidRequest: ``max_disks`` < 1.
        """
        if max_disks < 1:
            raise InvalidRequest(f"an image needs at least one disk, not {max_disks}")
        self._check_known(image_id)
        assert self._merger is not None
        return await self._merger.disks(image_id, max_disks)

    def _check_known(self, image_id: str) -> None:
        if not self._store.rows("SELECT 1 FROM images WHERE id = ?", image_id):
            raise ImageNotFound(f"No such image: {image_id}")


def _mismatch(reference: Reference, wanted: Platform, offered: Platform) -> str:
    """The warning about an image for another platform: a name may lead to one image for one
    machine, whatever was asked for.
    """
    return (
        f"WARNING: image with reference {reference.familiar_name} was found but does not match the specified "
        f"platform: wanted {platforms.show(wanted)}, actual: {platforms.show(offered)}"
    )


def _remark(reference: Reference, *, fresh: bool) -> str:
    if fresh:
        return f"Status: Downloaded newer image for {reference.familiar}"
    return f"Status: Image is up to date for {reference.familiar}"
