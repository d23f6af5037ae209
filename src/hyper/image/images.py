"""The images of a host: the one class that other layers use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from hyper.errors import InvalidRequest, NotFound
from hyper.image import blobs, prune, query, removal
from hyper.image import platform as platforms
from hyper.image.assemble import Recipe, assemble
from hyper.image.auth import RegistryAuth
from hyper.image.endpoint import DEFAULT_CERTS_DIR, Endpoints
from hyper.image.merge import Merger
from hyper.image.pull import Jobs, LayerFetcher, find, pinned
from hyper.image.record import HistoryItem, ImageRecord, PullEvent, Usage
from hyper.image.reference import Reference, parse, parse_tag
from hyper.image.registry import Patience, Registry
from hyper.image.squash import Bounds
from hyper.image.store import Store

Progress = Callable[[PullEvent], None]
# Spelled out here because a method is called "list", as Docker's verb.
Records = list[ImageRecord]
HistoryItems = list[HistoryItem]
Users = Callable[[str], list[str]]
Removed = list[dict[str, str]]
Paths = list[Path]


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
        certs_dir: Path = DEFAULT_CERTS_DIR,
        patience: Patience | None = None,
        bounds: Bounds | None = None,
        keep_blobs: bool = True,
    ) -> None:
        """Nothing is touched before `open`. ``keep_blobs`` False: pulled layers are fetched again when pushed or saved.

        Raises:
            InvalidRequest: a mirror that is no URL.
        """
        self._root = root
        self._endpoints = Endpoints(
            insecure=insecure_registries, mirrors=registry_mirrors, certs_dir=certs_dir
        )
        self._patience = patience or Patience()
        self._bounds = bounds or Bounds()
        self._keep_blobs = keep_blobs
        self._jobs: Jobs = Jobs()
        self._opened: Store | None = None
        self._merger: Merger | None = None

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

    async def close(self) -> None:
        """Close the store. Pulls must have ended."""
        if self._opened is not None:
            await asyncio.to_thread(self._opened.close)
            self._opened = None

    async def pull(
        self,
        reference: str,
        *,
        platform: str | None = None,
        auth: RegistryAuth | None = None,
        progress: Progress = lambda _: None,
    ) -> ImageRecord:
        """Bring an image here. It and all its layers are on disk on return; nothing new is after a failure.

        Raises:
            InvalidRequest: bad reference, broken or hostile image. NotFound: no such image, none for the platform.
            Unauthorized, Forbidden: the registry's no. Unavailable: it does not answer.
            VerificationFailed: it sent other bytes than promised. HyperError: no space…
        """
        wanted = platforms.parse(platform) if platform else platforms.host()
        named = parse(reference).with_default_tag()
        endpoints = await asyncio.to_thread(self._endpoints.of, named)
        progress(PullEvent(named.tag or named.digest or "", f"Pulling from {named.path}"))
        async with Registry(named, endpoints, auth, self._patience) as registry:
            found = await find(registry, named, wanted)
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
                    )
                    fresh = await self._name(pinned(named, found.digest), found.image_id)
                    had = [(blob.digest, diff_id) for diff_id, blob in layers]
                    await asyncio.to_thread(blobs.add_sources, self._store, named.name, had)
            except BaseException:
                self._store.collect()
                raise
        progress(PullEvent("", f"Digest: {found.digest}"))
        progress(PullEvent("", _remark(named, fresh=fresh)))
        return query.record(self._store, found.image_id)

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

    def list(self) -> Records:
        """Every image, newest first."""
        return query.all_images(self._store)

    def history(self, name_or_id: str) -> HistoryItems:
        """The build steps of an image, newest first. Raises: as `get`."""
        return query.history(self._store, self.get(name_or_id))

    def tagged_ns(self, image_id: str) -> int:
        """When the image last got a name, in nanoseconds since 1970; 0: never."""
        return query.tagged_ns(self._store, image_id)

    def usage(self) -> Usage:
        """What the images take."""
        return query.usage(self._store)

    def size_of(self, image_id: str) -> int:
        """Bytes of an image's layers, also of a held one; 0 for an image that is gone (full id)."""
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
        request = removal.Request(name_or_id, image_id, force, not noprune, in_use, running, tell)
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

    async def release(self, holder: str) -> None:
        """End a hold; no error if there is none. What only it kept is removed."""
        await asyncio.to_thread(self._store.release, holder)
        await asyncio.to_thread(self._store.collect)

    async def disks(self, image_id: str, *, max_disks: int) -> Paths:
        """At most ``max_disks`` squashfs files that make up the image, lowest first. Also for a held image.

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
            raise NotFound(f"No such image: {image_id}")


def _remark(reference: Reference, *, fresh: bool) -> str:
    if fresh:
        return f"Status: Downloaded newer image for {reference.familiar}"
    return f"Status: Image is up to date for {reference.familiar}"
