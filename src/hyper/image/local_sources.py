"""Local sources of images: other engines of this host, which save a second download."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

from hyper.errors import HyperError, ImageNotFound
from hyper.image import archive, limits, load, query
from hyper.image import platform as platforms
from hyper.image.local_engine import EnginePatience, LocalEngine, Offer, connected
from hyper.image.origin import Finish, coming
from hyper.image.record import PullEvent
from hyper.image.reference import DEFAULT_DOMAIN, Reference, parse
from hyper.image.registry import VerificationFailed
from hyper.image.squash import Bounds
from hyper.image.store import Store
from hyper.types.oci import Platform

log = logging.getLogger(__name__)
Progress = Callable[[PullEvent], None]
#: What is taken for an id, or its beginning as engines print it; shorter words are names.
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})")


@dataclass(frozen=True, slots=True)
class LocalEngines:
    """The engines of this host, in the order in which they are asked.

    ``max_bytes``: of an image's archive, unpacked. ``own_pid``: a socket this process listens on is no other engine.
    """

    sockets: Sequence[Path] = ()
    patience: EnginePatience = field(default_factory=EnginePatience)
    max_bytes: int = limits.MAX_ARCHIVE_BYTES
    own_pid: int = field(default_factory=os.getpid)

    def connected(self, socket: Path) -> AbstractAsyncContextManager[LocalEngine | None]:
        """The engine at ``socket``, by `local_engine.connected`."""
        return connected(socket, self.patience, own_pid=self.own_pid)


@dataclass(frozen=True, slots=True)
class WantedImage:
    """A wanted image: a name with tag or digest, or the digits of an id, that is looked for.

    ``built``: podman's name for an image of that name that was made there; None unless the name was a short one.
    """

    name: Reference | str
    platform: Platform
    built: Reference | None = None

    def __str__(self) -> str:
        return _shown(self.name)


def is_id(text: str) -> bool:
    """Whether ``text`` is taken for an image's id."""
    return _ID.fullmatch(text) is not None


def wanted_image(text: str, platform: Platform) -> WantedImage:
    """The image that ``text`` means.

    Raises:
        InvalidRequest: the text can be no image.
    """
    match = _ID.fullmatch(text)
    if match:
        return WantedImage(match[1], platform)
    name = parse(text).with_default_tag()
    return WantedImage(name, platform, _built(text, name))


def _built(text: str, name: Reference) -> Reference | None:
    is_short = name.domain == DEFAULT_DOMAIN and text.startswith(name.familiar_name)
    if not is_short or name.digest is not None:
        return None
    return replace(name, domain="localhost", path=name.familiar_name)


async def bring(
    store: Store, bounds: Bounds, engines: LocalEngines, wanted: WantedImage, progress: Progress
) -> str | None:
    """The id of the image, which is here now under the name asked for; None: no engine gives it.

    An engine that fails is a line of progress and of the log, and the next one is asked.
    """
    for socket in engines.sockets:
        try:
            async with engines.connected(socket) as engine:
                found = engine and await _from(store, bounds, engines, engine, wanted, progress)
        except HyperError as error:
            log.warning("%s from a local engine: %s", wanted, error.message)
            progress(PullEvent("", f"Not taken from a local engine: {error.message}"))
        else:
            if found:
                return found
    return None


async def take(
    store: Store, bounds: Bounds, engines: LocalEngines, wanted: WantedImage, progress: Progress
) -> str:
    """The id of the image, taken from the first engine that has it, and from nowhere else.

    Raises:
        NotFound: no engine is there, or none has it. Forbidden, Unavailable, VerificationFailed, InvalidRequest: an
        engine that is not to be trusted, does not answer, lies, or has a broken image. HyperError: no space…
    """
    asked = []
    for socket in engines.sockets:
        async with engines.connected(socket) as engine:
            if engine is None:
                continue
            found = await _from(store, bounds, engines, engine, wanted, progress)
            if found:
                return found
            asked.append(f"{engine.name} ({socket})")
    if asked:
        raise ImageNotFound(f"No such image: {wanted} (asked: {', '.join(asked)})")
    looked = ", ".join(map(str, engines.sockets))
    raise ImageNotFound(
        f"No such image: {wanted}: no other container engine is here",
        hint=f"looked for one at {looked}" if looked else "hyperd runs with --local-engines=false",
    )


async def _from(
    store: Store,
    bounds: Bounds,
    engines: LocalEngines,
    engine: LocalEngine,
    wanted: WantedImage,
    progress: Progress,
) -> str | None:
    there, offer = await _find(engine, wanted)
    if offer is None:
        return None
    if not platforms.matches(offer.platform, wanted.platform):
        theirs, ours = platforms.show(offer.platform), platforms.show(wanted.platform)
        progress(PullEvent("", f"{engine.name}'s {_shown(there)} is for {theirs}, not for {ours}"))
        return None
    where = f"{engine.name}'s local images ({engine.socket})"
    progress(PullEvent("", f"Found in {where}: {_shown(there)}"))
    finish = coming(engine.kind, str(engine.socket))
    image_id = await asyncio.to_thread(_here, store, offer, finish)
    if image_id is not None:
        progress(PullEvent("", "Already here"))
        for name in _names(store, wanted.name, offer):
            await asyncio.to_thread(store.set_reference, name, image_id)
    else:
        image_id = await _load(store, bounds, engines, engine, wanted, offer, finish, progress)
    for digest in dict.fromkeys(name.digest for name in _own(offer, wanted.name)):
        progress(PullEvent("", f"Digest: {digest}"))
    progress(PullEvent("", f"Status: Taken from {engine.name}: {wanted}"))
    return image_id


async def _find(engine: LocalEngine, wanted: WantedImage) -> tuple[Reference | str, Offer | None]:
    """The engine's offer, and the name it has there.

    What podman builds as ``app`` is ``localhost/app`` to it, and it means that one by ``app`` as well.
    """
    offer = await engine.find(wanted.name)
    if offer is None and wanted.built is not None and engine.kind == "podman":
        return wanted.built, await engine.find(wanted.built)
    return wanted.name, offer


def _here(store: Store, offer: Offer, finish: Finish) -> str | None:
    """The id of the image here, which is shown again if it was removed; None: it has to be sent."""
    ids = (one for one in _ids_here(store, offer) if store.show_image(one, finish()))
    return next(ids, None)


def _ids_here(store: Store, offer: Offer) -> Iterator[str]:
    """The ids that the image may have here: the engine's own. To Docker with containerd's image store that is the
    digest of a manifest or an index, so the id of the image that has this digest here.
    """
    yield offer.image_id
    for name in offer.digests:
        known = store.resolve(name) if name.digest == offer.image_id else None
        if known is not None and _platform(store, known) == offer.platform:
            yield known


def _platform(store: Store, image_id: str) -> Platform:
    config = query.record(store, image_id).config
    return Platform(config.architecture, config.os or "linux", config.variant)


async def _load(
    store: Store,
    bounds: Bounds,
    engines: LocalEngines,
    engine: LocalEngine,
    wanted: WantedImage,
    offer: Offer,
    finish: Finish,
    progress: Progress,
) -> str:
    async with (
        aclosing(engine.archive(offer.image_id)) as pieces,
        archive.opened(store, pieces, max_bytes=engines.max_bytes) as opened,
    ):
        sent = await asyncio.to_thread(_sent, engine, offer, opened)
        image = replace(sent, names=_names(store, wanted.name, offer))
        await load.load(store, bounds, image, finish, progress)
        return image.image_id


def _sent(engine: LocalEngine, offer: Offer, opened: archive.Archive) -> load.Candidate:
    """The only image of the archive, which is the one that was offered.

    The engine's id is the digest of its configuration, or (Docker with containerd's image store) of its manifest, or of
    an index that lists it.

    Raises:
        VerificationFailed: the image is another, or there are several. InvalidRequest: the archive is broken.
    """
    found = load.candidates(opened)
    if len(found) == 1:
        (image,) = found
        if image.image_id == offer.image_id:
            return image
        manifest = load.proof(opened, offer.image_id, image)
        if manifest is not None:
            return replace(image, manifest=manifest)
    ids = ", ".join(image.image_id for image in found)
    raise VerificationFailed(
        f"{engine.name} at {engine.socket} was asked for {offer.image_id} and sent {ids[:200]}"
    )


def _names(store: Store, asked: Reference | str, offer: Offer) -> list[Reference]:
    """The names of the image here: the one asked for, and the digests of that repository, as the engine says them.

    The digests are the engine's word where its archives have no manifest to check them by. Known ones stay. The
    image's other names stay the engine's: they may be those of other images here.
    """
    names = [asked] if isinstance(asked, Reference) and asked.tag is not None else []
    return [replace(name, digest=None) for name in names] + [
        digest for digest in _own(offer, asked) if store.resolve(digest) is None
    ]


def _own(offer: Offer, asked: Reference | str) -> list[Reference]:
    """The offer's digests of the repository that was asked for; for an id those that are this id."""
    if isinstance(asked, str):
        return [name for name in offer.digests if name.digest == offer.image_id]
    return [digest for digest in offer.digests if digest.name == asked.name]


def _shown(name: Reference | str) -> str:
    return name if isinstance(name, str) else name.familiar
