"""Discovery of an image by its name: pages to ask, the meta tags in them, templates of URLs. Pure.

Source: appc spec v0.8.11, discovery.md. Simple discovery is what the spec had before meta tags (up to v0.8.1), and is
tried after them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final
from urllib.parse import quote, urlsplit

from hyper.image.aci.names import Wanted, own_arch
from hyper.units import MIB

#: Longest page that is looked at, and most tags of it.
MAX_PAGE_BYTES: Final = 1 * MIB
MAX_TAGS: Final = 100
MAX_URL: Final = 4096
IMAGE, SIGNATURE = "aci", "aci.asc"
TAG = "ac-discovery"
_VARIABLE = re.compile(r"\{([a-z]+)\}")
_SIMPLE: Final = "https://{host}/{path}-{version}-{os}-{arch}.{ext}"


@dataclass(frozen=True, slots=True)
class Places:
    """The URLs where an image and its detached signature are said to be."""

    image: str
    #: None: nobody says.
    signature: str | None


def pages(wanted: Wanted) -> Iterator[str]:
    """The pages to ask for tags, the image's own first, then those of the names above."""
    parts = wanted.name.split("/")[1:]
    for count in range(len(parts), -1, -1):
        path = "".join(f"/{part}" for part in parts[:count])
        yield f"https://{wanted.host}{path or '/'}?{TAG}=1"


def tags(html: str) -> list[tuple[str, str]]:
    """The (prefix, template) of every ``ac-discovery`` tag of a page. Other tags are passed over."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.found[:MAX_TAGS]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        words = (values.get("content") or "").split()
        if tag == "meta" and values.get("name") == TAG and len(words) == 2:
            self.found.append((words[0], words[1]))


def places(wanted: Wanted, found: list[tuple[str, str]]) -> list[Places]:
    """The places of an image by the tags, in their order; those in ways other than HTTPS are passed over."""
    rendered = [
        (_render(template, wanted, IMAGE), _render(template, wanted, SIGNATURE))
        for prefix, template in found
        if wanted.name.startswith(prefix) and "{ext}" in template
    ]
    return [Places(image, signature) for image, signature in rendered if image and signature]


def simple(wanted: Wanted) -> Places | None:
    """The place of an image by its name alone; None for a name that is nothing but a host's."""
    _, slash, path = wanted.name.partition("/")
    template = _SIMPLE.replace("{host}", wanted.host).replace("{path}", path)
    image, signature = _render(template, wanted, IMAGE), _render(template, wanted, SIGNATURE)
    return Places(image, signature) if slash and image and signature else None


def signature_of(url: str) -> str | None:
    """The URL of the signature of the image at ``url``; None if its name does not tell."""
    parts = urlsplit(url)
    if not parts.path.endswith(f".{IMAGE}"):
        return None
    return parts._replace(path=f"{parts.path}.asc").geturl()


def _render(template: str, wanted: Wanted, extension: str) -> str | None:
    """The URL a template means; None if the template asks for what is not known, or makes no HTTPS URL."""
    values = {
        "version": "latest",
        "os": "linux",
        "arch": own_arch(),
        **wanted.labels,
        "name": wanted.name,
        "ext": extension,
    }
    if any(name not in values for name in _VARIABLE.findall(template)):
        return None
    url = _VARIABLE.sub(lambda match: quote(values[match[1]], safe="/~"), template)
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return None
    return url if usable and len(url) <= MAX_URL and url.isprintable() else None
