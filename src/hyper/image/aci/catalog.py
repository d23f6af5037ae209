"""The catalog of the store's images that were App Container Images here: found by id, or by name and labels."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from hyper.errors import InvalidRequest
from hyper.image.aci.names import Wanted, is_id_prefix
from hyper.image.store import Store


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry: one image. ``signer``: the fingerprint of the key whose signature was checked, "" if none was.

    ``archive``: the digest of the file it came in last.
    """

    aci_id: str
    image_id: str
    name: str
    labels: Mapping[str, str]
    signer: str
    archive: str


def add(store: Store, entry: Entry) -> None:
    """The entry ``entry`` is kept as long as its image. A signature that was checked once stays checked."""
    with store.change() as db:
        db.execute(
            "INSERT INTO acis VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (aci_id, image_id) DO UPDATE SET"
            " archive = excluded.archive, added_ns = excluded.added_ns,"
            " signer = CASE excluded.signer WHEN '' THEN signer ELSE excluded.signer END",
            (
                entry.aci_id,
                entry.image_id,
                entry.name,
                json.dumps(dict(entry.labels)),
                entry.signer,
                entry.archive,
                time.time_ns(),
            ),
        )


def find(store: Store, wanted: Wanted, aci_id: str | None = None) -> list[Entry]:
    """The visible images that are meant, those that came last first. ``aci_id``: whole, or the beginning of it."""
    query = _SELECT + " AND name = ? ORDER BY added_ns DESC"
    found = [_entry(row) for row in store.rows(query, wanted.name)]
    return [
        entry
        for entry in found
        if wanted.matches(entry.name, entry.labels) and entry.aci_id.startswith(aci_id or "")
    ]


def of_archive(store: Store, digest: str) -> list[Entry]:
    """The visible images that were made of the file with this digest, those that came last first."""
    query = _SELECT + " AND archive = ? ORDER BY added_ns DESC"
    return [_entry(row) for row in store.rows(query, digest)]


def knows(store: Store, image_id: str) -> bool:
    """Whether an image was made of such an archive here."""
    return bool(store.rows("SELECT 1 FROM acis WHERE image_id = ?", image_id))


def identify(store: Store, text: str) -> str | None:
    """The image whose App Container id begins with ``text``; None if there is none, or it is no such beginning.

    Raises:
        InvalidRequest: several begin so.
    """
    if not is_id_prefix(text):
        return None
    query = _SELECT + " AND aci_id GLOB ? ORDER BY added_ns DESC"
    found = [_entry(row) for row in store.rows(query, f"{text}*")]
    if len({entry.aci_id for entry in found}) > 1:
        raise InvalidRequest(f"image id is ambiguous: {text}")
    # The same archive on other dependencies is another image: the last that came is meant.
    return found[0].image_id if found else None


_SELECT = (
    "SELECT aci_id, image_id, name, labels, signer, archive FROM acis"
    " JOIN images ON images.id = image_id WHERE visible"
)


def _entry(row: tuple[object, ...]) -> Entry:
    aci_id, image_id, name, labels, signer, archive = (str(value) for value in row)
    return Entry(aci_id, image_id, name, json.loads(labels), signer, archive)
