"""App Container Images into the store: from a stream, a URL or a name to an image like any other.

An image and all that it depends on come whole or not at all: nothing is recorded before the last of them is ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from hyper import ids
from hyper.errors import HyperError, InvalidRequest, NotFound, Unauthorized, Unavailable
from hyper.image import limits, query
from hyper.image.aci import catalog, convert, discovery, keys, names
from hyper.image.aci.fetch import Web
from hyper.image.aci.manifest import Dependency, ImageManifest
from hyper.image.aci.trust import Trust
from hyper.image.aci.unpack import Unpacked, render, unpack
from hyper.image.assemble import finished_config
from hyper.image.layer import Received, keep_layer, receive, scratch_file, storage_errors
from hyper.image.origin import coming
from hyper.image.reach import ANYWHERE, Reach
from hyper.image.record import ImageRecord, Origin, PullEvent
from hyper.image.reference import Reference
from hyper.image.registry import VerificationFailed
from hyper.image.squash import Bounds
from hyper.image.store import Store
from hyper.types.oci import MAX_LAYERS

#: Longest way from an image to what it depends on, and most images that come with one.
MAX_DEPTH: Final = 32
MAX_IMAGES: Final = 256

Progress = Callable[[PullEvent], None]
_Signature = Callable[[], Awaitable[bytes | None]]


@dataclass(frozen=True, slots=True)
class _Ready:
    """An image that is whole and not recorded yet."""

    entry: catalog.Entry
    config: bytes
    layers: tuple[str, ...]
    name: Reference | None


@dataclass(slots=True)
class _Visit:
    """One import of an image: what is on the way (outermost first), what is ready, what keeps layers meanwhile."""

    progress: Progress
    pins: ExitStack
    path: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    ready: list[_Ready] = field(default_factory=list)
    #: Where hosts are asked: a port that was given for an image counts for what it depends on.
    ports: dict[str, int] = field(default_factory=dict)
    #: How far the servers of the images so far may lead.
    within: Reach = ANYWHERE

    @contextmanager
    def at(self, image_id: str, name: str, labels: dict[str, str]) -> Iterator[None]:
        """The image is on the way: what is looked for meanwhile are its dependencies."""
        self.path.append((image_id, name, labels))
        try:
            yield
        finally:
            self.path.pop()

    def check_cycle(self, dependency: Dependency) -> None:
        """The dependency may be looked for. Raises: InvalidRequest when it is on the way to itself, or too far down."""
        wanted = dependency.wanted()
        for number, (image_id, name, labels) in enumerate(self.path):
            if wanted.matches(name, labels) and image_id.startswith(dependency.image_id or ""):
                chain = [*(step[1] for step in self.path[number:]), wanted.name]
                raise InvalidRequest(f"cyclic dependency: {' → '.join(chain)}")
        if len(self.path) >= MAX_DEPTH or len(self.ready) >= MAX_IMAGES:
            raise InvalidRequest(
                f"{self.path[0][1]} depends on too many images: {wanted} is one more"
            )


class AppImages:
    """The importer of App Container Images into a store. ``trust``: whose signatures count."""

    def __init__(self, store: Store, bounds: Bounds, web: Web, trust: Trust) -> None:
        self._store = store
        self._bounds = bounds
        self._web = web
        self.trust = trust

    async def add(
        self, pieces: AsyncIterable[bytes], *, signature: bytes | None, progress: Progress
    ) -> ImageRecord:
        """The image whose archive ``pieces`` are is here, with its dependencies.

        Raises:
            InvalidRequest: it is no image, broken or hostile, or for another platform; a cycle of dependencies.
            Forbidden: a trusted key counts for it, and did not sign it. NotFound: a dependency is nowhere.
            VerificationFailed: a dependency is not what it should be. Unavailable: a server does not answer.
        """

        async def given() -> bytes | None:
            return signature

        async def work(visit: _Visit) -> _Ready:
            with self._archive() as target:
                archive = await receive(self._store, pieces, target)
                return await self._take(visit, archive, given)

        return await self._whole(work, progress)

    async def fetch_url(self, url: str, *, progress: Progress) -> ImageRecord:
        """The image at ``url`` is here; its signature is looked for beside it. Raises: as `add`."""
        ports = _port_of(url)
        place = discovery.Places(url, discovery.signature_of(url))

        async def work(visit: _Visit) -> _Ready:
            visit.ports |= ports
            with self._archive() as target:
                archive = await self._obtain(visit, place, target)
                return await self._take(visit, archive, lambda: self._signature(visit, place))

        return await self._whole(work, progress)

    async def fetch_name(self, text: str, *, progress: Progress) -> ImageRecord:
        """The image that discovery finds for ``text`` is here. Raises: as `add`."""
        wanted = names.parse(text)
        # The version is the server's choice: the next who asks so is to find it here.
        alias = None if wanted.labels else convert.tag_of(wanted.name, {})
        return await self._whole(lambda visit: self._discover(visit, wanted), progress, alias)

    async def is_registry(self, text: str) -> bool:
        """Whether the host of the name ``text`` serves the API of registries. Source: OCI distribution-spec, end-1."""
        try:
            await self._web.document(
                f"https://{names.parse(text).host}/v2/", max_bytes=discovery.MAX_PAGE_BYTES
            )
        except Unauthorized:
            return True
        except HyperError:
            return False
        return True

    async def _whole(
        self,
        work: Callable[[_Visit], Awaitable[_Ready]],
        progress: Progress,
        alias: Reference | None = None,
    ) -> ImageRecord:
        finish = coming("aci")
        with ExitStack() as pins:
            visit = _Visit(progress, pins)
            try:
                made = await work(visit)
                refused = await asyncio.to_thread(self._record, visit.ready, finish())
                if alias is not None:
                    refused += await asyncio.to_thread(self._name, alias, made.entry)
                for name in refused:
                    progress(PullEvent("", f"{name} stays the name of another image"))
            finally:
                pins.close()
                # What failed, and layers of which only a part is in an image.
                await asyncio.to_thread(self._store.collect)
        return query.record(self._store, made.entry.image_id)

    def _record(self, ready: list[_Ready], origin: Origin) -> list[str]:
        """The names that the images, which are in the store now, did not get."""
        refused = []
        for image in ready:
            self._store.add_image(
                image.entry.image_id, image.config, b"", image.layers, origin=origin
            )
            catalog.add(self._store, image.entry)
            if image.name is not None:
                refused += self._name(image.name, image.entry)
        return refused

    def _name(self, name: Reference, entry: catalog.Entry) -> list[str]:
        """The name names the image; it is returned if an image that came otherwise has it, and stays that image's."""
        owner = self._store.resolve(name)
        if owner is not None and not catalog.knows(self._store, owner):
            return [name.familiar]
        self._store.set_reference(name, entry.image_id)
        return []

    # One image

    async def _take(
        self,
        visit: _Visit,
        archive: Received,
        signature: _Signature,
        wanted: names.Wanted | None = None,
        image_id: str | None = None,
    ) -> _Ready:
        """The image in ``archive``, which is the one that is ``wanted``, is ready."""
        known = self._converted(visit, archive, wanted, image_id)
        if known is not None:
            return known
        with (
            scratch_file(self._store, ".layer") as layer,
            scratch_file(self._store, ".manifest") as manifest,
        ):
            short = ids.short_id(archive.digest)
            unpacked = await unpack(
                archive.path,
                layer,
                manifest,
                bounds=self._bounds,
                progress=lambda done: visit.progress(
                    PullEvent(short, "Extracting", done, archive.size)
                ),
            )
            _check_meant(unpacked, wanted, image_id)
            name = unpacked.manifest.name
            names.platform_of(unpacked.manifest.label_map())
            signer = await self._check_signature(visit, name, archive, signature)
            return await self._build(visit, unpacked, archive.digest, signer)

    async def _check_signature(
        self, visit: _Visit, name: str, archive: Received, signature: _Signature
    ) -> str:
        if not self.trust.of(name):
            visit.progress(
                PullEvent("", f"Warning: no trusted key for {name}: its signature was not checked")
            )
            return ""
        signer = await self.trust.check(name, archive.path, await signature())
        visit.progress(PullEvent("", f"{name}: signed by {signer}"))
        return signer

    async def _build(self, visit: _Visit, unpacked: Unpacked, archive: str, signer: str) -> _Ready:
        manifest = unpacked.manifest
        labels = manifest.label_map()
        with visit.at(unpacked.image_id, manifest.name, labels):
            below = [await self._depend(visit, one) for one in manifest.dependencies or ()]
        layers = [layer for image in below for layer in image.layers]
        facts = await keep_layer(self._store, self._bounds, unpacked.layer, visit.pins)
        # Of a layer that comes twice the upper copy is enough: it sets all again that the lower one did.
        layers = list(dict.fromkeys(reversed([*layers, facts.diff_id])))[::-1]
        if len(layers) > MAX_LAYERS:
            raise InvalidRequest(f"{manifest.name} has {len(layers)} layers (at most {MAX_LAYERS})")
        layers, owner = await self._rendered(visit, manifest, layers)
        config = finished_config(
            convert.configuration(
                manifest,
                unpacked.image_id,
                dependencies=[image.entry.aci_id for image in below],
                owner=owner,
            ),
            layers,
        )
        config_id = f"sha256:{sha256(config).hexdigest()}"
        entry = catalog.Entry(unpacked.image_id, config_id, manifest.name, labels, signer, archive)
        made = _Ready(entry, config, tuple(layers), convert.tag_of(manifest.name, labels))
        visit.ready.append(made)
        return made

    async def _rendered(
        self, visit: _Visit, manifest: ImageManifest, layers: list[str]
    ) -> tuple[list[str], tuple[str, str] | None]:
        """The layers with only what the whitelist names, and the owner of the files the application runs as."""
        app = manifest.app
        files = [] if app is None else [name for name in (app.user, app.group) if name[0] == "/"]
        if not manifest.path_whitelist and not files:
            return layers, None
        with (
            scratch_file(self._store, ".layer") as target,
            scratch_file(self._store, ".paths") as paths,
        ):
            tar, found = await render(
                [self._store.layer_path(layer) for layer in layers],
                target,
                paths,
                keep=manifest.path_whitelist or (),
                owners=files,
            )
            if manifest.path_whitelist:
                facts = await keep_layer(self._store, self._bounds, tar, visit.pins)
                layers = [facts.diff_id]
        if app is None or not files:
            return layers, None
        ids_of = dict(zip(files, found.owners, strict=True))
        user = str(ids_of[app.user][0]) if app.user in ids_of else app.user
        group = str(ids_of[app.group][1]) if app.group in ids_of else app.group
        return layers, (user, group)

    # Others

    async def _depend(self, visit: _Visit, dependency: Dependency) -> _Ready:
        """The dependency is ready: of this import, of the store, or fetched."""
        visit.check_cycle(dependency)
        wanted = dependency.wanted()
        for image in visit.ready:
            entry = image.entry
            if wanted.matches(entry.name, entry.labels) and entry.aci_id.startswith(
                dependency.image_id or ""
            ):
                return image
        known = self._stored(visit, dependency)
        if known is not None:
            return known
        try:
            return await self._discover(visit, wanted, dependency.image_id, dependency.size)
        except (NotFound, Unavailable) as error:
            kind = type(error)
            raise kind(
                f"{visit.path[-1][1]} depends on {wanted}, which is not here: {error.message}",
                hint=error.hint or "hyper pull ./its.aci brings an image from a file",
            ) from error

    def _stored(self, visit: _Visit, dependency: Dependency) -> _Ready | None:
        trusted = {key.fingerprint for key in self.trust.of(dependency.image_name)}
        for entry in catalog.find(self._store, dependency.wanted(), dependency.image_id):
            if not trusted or entry.signer in trusted:
                return self._kept(visit, entry)
        return None

    def _converted(
        self, visit: _Visit, archive: Received, wanted: names.Wanted | None, image_id: str | None
    ) -> _Ready | None:
        """The image that was made of this archive before, if nothing has to be checked anew."""
        for entry in catalog.of_archive(self._store, archive.digest):
            meant = wanted is None or wanted.matches(entry.name, entry.labels)
            if meant and entry.aci_id.startswith(image_id or "") and not self.trust.all():
                visit.progress(PullEvent("", f"{entry.name} is here already"))
                made = self._kept(visit, entry)
                visit.ready.append(made)
                return made
        return None

    def _kept(self, visit: _Visit, entry: catalog.Entry) -> _Ready:
        """An image of the store, whose layers stay meanwhile."""
        layers = tuple(self._store.layers_of(entry.image_id))
        visit.pins.enter_context(self._store.pinned(layers))
        config = query.record(self._store, entry.image_id)
        return _Ready(entry, config.raw_config, layers, convert.tag_of(entry.name, entry.labels))

    async def _discover(
        self,
        visit: _Visit,
        wanted: names.Wanted,
        image_id: str | None = None,
        size: int | None = None,
    ) -> _Ready:
        """The image that discovery finds is ready: the image of the first place that has one."""
        domain = wanted.name.partition("/")[0]
        if wanted.port is not None:
            visit.ports[domain] = wanted.port
        wanted = replace(wanted, port=visit.ports.get(domain))
        visit.progress(PullEvent("", f"Looking for {wanted}"))
        missing: list[str] = []
        for place in await self._places(visit, wanted):
            with self._archive() as target:
                try:
                    archive = await self._obtain(visit, place, target, size)
                except NotFound as error:
                    missing.append(error.message)
                    continue
                return await self._take(
                    visit, archive, partial(self._signature, visit, place), wanted, image_id
                )
        raise NotFound(
            f"no App Container Image {wanted}: {'; '.join(missing) or 'its host names no place'}",
            hint=f'discovery looks for <meta name="ac-discovery"> at https://{wanted.host}',
        )

    async def _places(self, visit: _Visit, wanted: names.Wanted) -> list[discovery.Places]:
        for page in discovery.pages(wanted):
            try:
                html, reach = await self._web.document(
                    page, max_bytes=discovery.MAX_PAGE_BYTES, within=visit.within
                )
            except NotFound:
                continue
            found = discovery.tags(html.decode(errors="replace"))
            if found:
                visit.within = reach
                return discovery.places(wanted, found)
        by_name = discovery.simple(wanted)
        return [by_name] if by_name is not None else []

    async def _obtain(
        self, visit: _Visit, place: discovery.Places, target: Path, size: int | None = None
    ) -> Received:
        """The archive at ``place`` is in ``target``; it has ``size`` bytes, if that is known."""
        shown = place.image.rpartition("/")[2][:40]
        visit.progress(PullEvent("", f"Downloading {place.image}"))

        def tell(done: int, total: int) -> None:
            visit.progress(PullEvent(shown, "Downloading", done, total))

        most = limits.MAX_LAYER_BLOB_BYTES
        async with self._web.download(place.image, tell, within=visit.within) as (pieces, reach):
            visit.within = reach
            archive = await receive(
                self._store, pieces, target, max_bytes=most if size is None else min(size, most)
            )
        if size is not None and archive.size != size:
            raise VerificationFailed(
                f"{place.image} has {archive.size} bytes, and {size} are promised"
            )
        return archive

    async def _signature(self, visit: _Visit, place: discovery.Places) -> bytes | None:
        """The detached signature of an image; None if there is none."""
        if place.signature is None:
            return None
        try:
            data, _ = await self._web.document(
                place.signature, max_bytes=keys.MAX_SIGNATURE_BYTES, within=visit.within
            )
        except NotFound:
            return None
        return data

    @contextmanager
    def _archive(self) -> Iterator[Path]:
        """The path for an archive that is looked at; the file is not there afterwards."""
        with storage_errors(self._store, "the image"), scratch_file(self._store, ".aci") as target:
            yield target


def _port_of(url: str) -> dict[str, int]:
    """The port of a URL that has one, by its host. Raises: InvalidRequest for no URL."""
    try:
        parts = urlsplit(url)
        return {parts.hostname: parts.port} if parts.hostname and parts.port else {}
    except ValueError:
        raise InvalidRequest(f"{url[:200]!r} is no URL") from None


def _check_meant(unpacked: Unpacked, wanted: names.Wanted | None, image_id: str | None) -> None:
    """The image is the one that was looked for. Raises: VerificationFailed when it is another."""
    manifest = unpacked.manifest
    if wanted is not None and not wanted.matches(manifest.name, manifest.label_map()):
        labels = ",".join(f"{name}={value}" for name, value in manifest.label_map().items())
        raise VerificationFailed(
            f"discovery of {wanted} led to another image: {manifest.name} ({labels[:500] or 'no labels'})"
        )
    if image_id is not None and not unpacked.image_id.startswith(image_id):
        raise VerificationFailed(
            f"{manifest.name} is {unpacked.image_id}, and {image_id} is what depends on it promises"
        )
