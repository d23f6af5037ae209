"""Files that a pod file puts into containers: their content at the pod, their place and owner at the container."""

from __future__ import annotations

import base64
import re
from typing import Final

from hyper.manifest.checks import base64_decoded, guest_path
from hyper.manifest.document import Octal
from hyper.manifest.draft import Sources, bounded
from hyper.manifest.fields import Fields, shown
from hyper.types.pod import PodFile

#: What the original gives to a file of which nothing is said.
_DEFAULT_MODE: Final = 0o755
_MODE: Final = re.compile(r"0?[0-7]{1,4}")
_MAX_ID: Final = 2**32 - 2


def pod_files(pod: Fields, sources: Sources) -> dict[str, bytes]:
    """The pod's ``files``: content by name.

    Raises:
        InvalidRequest: one has no name or no content, or two have the same.
    """
    found: dict[str, bytes] = {}
    for item in pod.items("files"):
        name = item.required("name")
        if name in found:
            raise item.wrong("name", f"there is another file {name[:80]!r}")
        found[name] = _content(item, sources)
        item.finish()
    return found


def container_file(item: Fields, known: dict[str, bytes], sources: Sources) -> PodFile:
    """A file of a container's ``files``: one of the pod's by its ``filename``, or one with content of its own.

    Raises:
        InvalidRequest: there is no such file, or its place, mode or owner makes no sense.
    """
    name, place = item.text("filename"), item.required("path")
    detail = item.part("detail")
    if detail is not None:
        name = name or detail.text("name")
        detail.text("name")
        content = _content(detail, sources)
        detail.finish()
    elif item.given("content") or item.given("uri"):
        content = _content(item, sources)
    else:
        item.text("encoding")
        content = _of_pod(item, name, known)
    if place.endswith("/"):
        # A folder: the file keeps its name.
        if not name or "/" in name:
            raise item.wrong("path", "it is a folder, and the file has no name in it")
        place += name
    made = PodFile(
        path=guest_path(place, item.at("path")),
        content=base64.b64encode(content).decode(),
        mode=_mode(item),
        uid=_owner(item, "user"),
        gid=_owner(item, "group"),
    )
    item.finish()
    return made


def _of_pod(item: Fields, name: str, known: dict[str, bytes]) -> bytes:
    if not name:
        raise item.wrong("filename", "it is missing, and there is no content")
    if name not in known:
        names = ", ".join(sorted(known)[:10]) or "none"
        raise item.wrong(
            "filename", f"there is no file {name[:80]!r}", hint=f"the pod's files: {names}"
        )
    return known[name]


def _content(item: Fields, sources: Sources) -> bytes:
    uri, text, encoding = item.text("uri"), item.text("content"), item.text("encoding") or "raw"
    if uri and text:
        raise item.wrong("uri", "there is content, too")
    name = "uri" if uri else "content"
    data = _read(item, uri, sources) if uri else text.encode()
    match encoding.lower():
        case "raw":
            pass
        case "base64":
            data = base64_decoded(data, item.at(name))
        case _:
            raise item.wrong("encoding", f"must be raw or base64, not {encoding[:40]!r}")
    return bounded(data, item.at(name))


def _read(item: Fields, uri: str, sources: Sources) -> bytes:
    scheme, colon, rest = uri.partition(":")
    if not colon or "/" in scheme:
        return sources.read(uri)
    if scheme.lower() != "file":
        raise item.wrong(
            "uri",
            f"{scheme[:20]}: is not fetched, only file: is read",
            hint="fetch it to a file beside the pod's and name that",
        )
    # Both file:///etc/hosts and file:conf/hosts.
    return sources.read(rest.removeprefix("//"))


def _mode(item: Fields) -> int:
    value = item.take("perm", "mode")
    if value is None or value == "":
        return _DEFAULT_MODE
    name = item.given("perm", "mode") or "perm"
    if isinstance(value, Octal) and 0 <= value <= 0o7777:
        return int(value)
    if isinstance(value, str) and _MODE.fullmatch(value) and int(value, 8) <= 0o7777:
        return int(value, 8)
    raise item.wrong(name, f"{shown(value)} is no mode", hint='write it in octal digits: "0644"')


def _owner(item: Fields, name: str) -> int:
    value = item.take(name)
    if value is None or value == "":
        return 0
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_ID:
        raise item.wrong(
            name, f"must be a number, not {shown(value)}", hint="names are known in the image only"
        )
    return int(value)
