"""Messages between the daemon and `hyper.image.aci.openpgp`. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from hyper.units import KIB, MIB

#: Longest keyring, most keys of one, longest signature (a few hundred bytes are usual).
MAX_KEYRING_BYTES: Final = 1 * MIB
MAX_KEYS: Final = 100
MAX_SIGNATURE_BYTES: Final = 64 * KIB
MAX_USER_IDS: Final = 5


class Options(msgspec.Struct):
    """The request: read the ``keyring`` (a descriptor), or check with it the ``signature`` of the ``archive``."""

    keyring: int
    archive: int = -1
    signature: int = -1


class KeyFacts(msgspec.Struct):
    """A public key. ``data``: the key in binary."""

    fingerprint: str
    user_ids: tuple[str, ...]
    data: bytes


class Answer(msgspec.Struct, omit_defaults=True):
    """The answer: the keys or the signer found, or ``error``."""

    keys: tuple[KeyFacts, ...] = ()
    signer: str = ""
    error: str = ""
