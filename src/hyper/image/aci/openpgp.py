"""``python -m hyper.image.aci.openpgp``: the process that reads keys and signatures from outside.

The options are its only argument, its answer one JSON object on standard output: ``{"keys": […]}``, ``{"signer": …}``
(the fingerprint of the key that made the signature) or ``{"error": …}``. Why Sequoia: docs/decisions/0021-aci.md.
"""

from __future__ import annotations

import sys
from io import FileIO
from pathlib import Path

import msgspec
import pysequoia

from hyper.image.aci.keys import (
    MAX_KEYRING_BYTES,
    MAX_KEYS,
    MAX_SIGNATURE_BYTES,
    MAX_USER_IDS,
    Answer,
    KeyFacts,
    Options,
)
from hyper.image.limits import CONVERTER_MEMORY_BYTES
from hyper.system import privileges


def read_keys(data: bytes) -> list[pysequoia.Cert]:
    """The keys of a keyring, armored or not. Raises: RuntimeError, it is none; ValueError, a key that is not public."""
    found = list(pysequoia.Cert.split_bytes(data))
    if any(key.has_secret_keys for key in found):
        raise ValueError("it holds a secret key: export the public one (gpg --armor --export)")
    if not 0 < len(found) <= MAX_KEYS:
        raise ValueError(f"{len(found)} keys in one file (1 to {MAX_KEYS})")
    return found


def describe(keys: list[pysequoia.Cert]) -> Answer:
    """The answer that describes the keys."""
    return Answer(
        keys=tuple(
            KeyFacts(
                key.fingerprint.upper(),
                tuple(str(user)[:200] for user in key.user_ids[:MAX_USER_IDS]),
                bytes(key),
            )
            for key in keys
        )
    )


def verify(archive: Path, signature: bytes, keys: list[pysequoia.Cert]) -> str:
    """The fingerprint of one of ``keys`` that made the detached ``signature`` of ``archive``.

    Raises:
        RuntimeError: none did, or one that has expired or was revoked.
    """
    result = pysequoia.verify(
        file=archive, store=lambda _: keys, signature=pysequoia.Sig.from_bytes(signature)
    )
    return str(result.valid_sigs[0].certificate).upper()


def answer(options: Options) -> Answer:
    """The answer to ``options``."""
    try:
        with FileIO(options.keyring, "r") as file:
            keys = read_keys(file.read(MAX_KEYRING_BYTES))
        if options.archive < 0:
            return describe(keys)
        with FileIO(options.signature, "r") as file:
            signature = file.read(MAX_SIGNATURE_BYTES)
        return Answer(signer=verify(Path(f"/proc/self/fd/{options.archive}"), signature, keys))
    except (RuntimeError, ValueError) as error:
        return Answer(error=str(error).strip().partition("\n")[0][:500])


def main() -> int:
    """The process's exit status, once it has answered."""
    privileges.drop(memory_bytes=CONVERTER_MEMORY_BYTES)
    options = msgspec.json.decode(sys.argv[1], type=Options)
    sys.stdout.buffer.write(msgspec.json.encode(answer(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
