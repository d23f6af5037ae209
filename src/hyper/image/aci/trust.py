"""Trust in signatures of images: a folder of public keys, each with the images it counts for.

    root/root.d/FINGERPRINT.pgp              for every image
    root/prefix.d/PREFIX/FINGERPRINT.pgp     for images of this name and below; PREFIX with its slashes as %2F

A prefix with a key of its own, or a key for every image, makes the signature of every image under it a condition.
Source: rkt, Documentation/signing-and-verification-guide.md, whose folders these are.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from hyper.errors import Forbidden, InvalidRequest, NotFound
from hyper.image.aci import keys, names
from hyper.system import files
from hyper.system.privileges import UNPRIVILEGED
from hyper.system.process import run

_SUFFIX = ".pgp"
_WORKER = "hyper.image.aci.openpgp"
_TIMEOUT_S = 60.0
#: Hashing an archive takes its time: bytes per second that even a slow disk has.
_SLOWEST_BYTES_PER_S = 1 << 20


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A trusted key. ``fingerprint`` in capitals; ``prefix`` "": for every image."""

    fingerprint: str
    prefix: str
    path: Path

    def covers(self, name: str) -> bool:
        """Whether images called ``name`` must be signed by this key or another that covers them."""
        return not self.prefix or name == self.prefix or name.startswith(f"{self.prefix}/")


class Trust:
    """The trusted keys in ``root``, which is made, for its owner only, with the first of them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def all(self) -> list[TrustedKey]:
        """All trusted keys, those for every image first."""
        found = [TrustedKey(path.stem, "", path) for path in self._root.glob(f"root.d/*{_SUFFIX}")]
        found += [
            TrustedKey(path.stem, unquote(path.parent.name), path)
            for path in self._root.glob(f"prefix.d/*/*{_SUFFIX}")
        ]
        return sorted(found, key=lambda key: (key.prefix, key.fingerprint))

    def of(self, name: str) -> list[TrustedKey]:
        """The keys that count for images called ``name``; none: their signatures are not asked for."""
        return [key for key in self.all() if key.covers(name)]

    async def add(self, data: bytes, prefix: str) -> list[keys.KeyFacts]:
        """The keys in ``data`` (armored or not) are trusted for ``prefix``.

        Raises:
            InvalidRequest: no public keys, or no prefix of names.
        """
        if prefix and not names.is_identifier(prefix):
            raise InvalidRequest(
                f"invalid prefix {prefix[:200]!r}", hint="it is like example.com or example.com/app"
            )
        if len(data) > keys.MAX_KEYRING_BYTES:
            raise InvalidRequest(f"a keyring of more than {keys.MAX_KEYRING_BYTES} bytes")
        facts = await self.read(data)
        await asyncio.to_thread(self._write, facts, prefix)
        return facts

    async def read(self, data: bytes) -> list[keys.KeyFacts]:
        """The facts about the keys in ``data``. Raises: InvalidRequest, there are none."""
        with ExitStack() as stack:
            answer = await _ask(keys.Options(keyring=_memory(stack, data)), _TIMEOUT_S)
        if answer.error:
            raise InvalidRequest(f"cannot read the keys: {answer.error}")
        return list(answer.keys)

    def _write(self, facts: list[keys.KeyFacts], prefix: str) -> None:
        folder = self._root / (f"prefix.d/{quote(prefix, safe='')}" if prefix else "root.d")
        for part in (self._root, folder.parent, folder):
            part.mkdir(mode=0o700, exist_ok=True)
        for key in facts:
            target = folder / f"{key.fingerprint}{_SUFFIX}"
            partial = folder / f".{secrets.token_hex(8)}"
            with partial.open("xb") as file:
                file.write(key.data)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(target)
        files.sync_dir(folder)

    def remove(self, fingerprint: str, prefix: str | None = None) -> list[TrustedKey]:
        """The key is trusted for ``prefix`` no more (None: for none). The keys removed.

        Raises:
            NotFound: it was not trusted. InvalidRequest: several keys could be meant.
        """
        wanted = fingerprint.replace(" ", "").upper()
        found = [
            key
            for key in self.all()
            if key.fingerprint.endswith(wanted) and prefix in (None, key.prefix)
        ]
        if not found or len(wanted) < 8:
            raise NotFound(
                f"no such trusted key: {fingerprint[:100]}", hint="hyper trust ls lists them"
            )
        if len({key.fingerprint for key in found}) > 1:
            raise InvalidRequest(f"several trusted keys end in {fingerprint[:100]}")
        for key in found:
            key.path.unlink()
            files.sync_dir(key.path.parent)
        return found

    async def check(self, name: str, archive: Path, signature: bytes | None) -> str:
        """The fingerprint of the key that signed ``archive``, "" where no key counts for ``name``.

        Raises:
            Forbidden: a key counts, and the archive is not signed, or by no key that does.
        """
        trusted = self.of(name)
        if not trusted:
            return ""
        prefix = next((key.prefix for key in trusted if key.prefix), "") or "every image"
        if signature is None:
            raise Forbidden(
                f"{name} is not signed, and there are trusted keys for {prefix}",
                hint="put its signature beside it as .aci.asc, or look at hyper trust ls",
            )
        if len(signature) > keys.MAX_SIGNATURE_BYTES:
            raise Forbidden(f"the signature of {name} is longer than any")
        ring = b"".join([key.path.read_bytes() for key in trusted])
        with ExitStack() as stack:
            file = stack.enter_context(archive.open("rb"))
            size = archive.stat().st_size
            # The process is nobody's, and opens what it is handed by its name in /proc.
            os.fchmod(file.fileno(), 0o644)
            options = keys.Options(_memory(stack, ring), file.fileno(), _memory(stack, signature))
            answer = await _ask(options, _TIMEOUT_S + size / _SLOWEST_BYTES_PER_S)
        if answer.error or not answer.signer:
            raise Forbidden(
                f"the signature of {name} is not good: {answer.error}",
                hint=f"hyper trust ls lists the keys that may sign {prefix}",
            )
        return answer.signer


async def _ask(options: keys.Options, timeout_s: float) -> keys.Answer:
    argv = [sys.executable, "-I", "-m", _WORKER, msgspec.json.encode(options).decode()]
    if os.geteuid() == 0:
        # Before it starts, not by itself: who gives up rights loses its own /proc/self/fd.
        identity = ["--reuid", str(UNPRIVILEGED), "--regid", str(UNPRIVILEGED), "--clear-groups"]
        argv = ["setpriv", *identity, "--no-new-privs", "--", *argv]
    fds = [fd for fd in (options.keyring, options.archive, options.signature) if fd >= 0]
    done = await run(argv, timeout_s=timeout_s, pass_fds=fds)
    return msgspec.json.decode(done.stdout, type=keys.Answer)


def _memory(stack: ExitStack, data: bytes) -> int:
    """The descriptor from which ``data`` is read, as long as ``stack`` is open."""
    fd = os.memfd_create("hyper", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
