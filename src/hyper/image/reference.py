"""Image references as users write them, and their meaning. Pure.

The grammar and the defaults are distribution/reference's, byte for byte, because every client of the Engine API builds
on them: ``nginx`` means ``docker.io/library/nginx:latest``.

Source: github.com/distribution/reference (reference.go, regexp.go, normalize.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from hyper.errors import InvalidRequest

DEFAULT_DOMAIN = "docker.io"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library"
DEFAULT_TAG = "latest"
MAX_NAME_LENGTH = 255

_ALPHANUMERIC = r"[a-z0-9]+"
_PATH_COMPONENT = rf"{_ALPHANUMERIC}(?:(?:[._]|__|[-]+){_ALPHANUMERIC})*"
_DOMAIN_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*|\[(?:[a-fA-F0-9:]+)\])"
_DOMAIN = rf"{_HOST}(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*[:][0-9a-fA-F]{32,}"
_NAME = rf"(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*)"
_REFERENCE = re.compile(rf"{_NAME}(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_TAG_ONLY = re.compile(_TAG)

_HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_INVALID = "invalid reference format"
_DIGEST_ALGORITHM = "sha256"


@dataclass(frozen=True, slots=True)
class Reference:
    """A normalised image name. ``tag`` and ``digest`` are None when not written."""

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """The repository in full: ``docker.io/library/nginx``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as Docker prints it: ``nginx``, ``localhost:5000/a``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        first, _, rest = self.path.partition("/")
        return rest if first == _OFFICIAL and rest and "/" not in rest else self.path

    @property
    def familiar(self) -> str:
        """The whole reference as Docker prints it."""
        return self.familiar_name + self._suffix()

    def with_default_tag(self) -> Reference:
        """The reference with the tag ``latest`` if it has neither tag nor digest."""
        if self.tag is None and self.digest is None:
            return replace(self, tag=DEFAULT_TAG)
        return self

    def with_digest(self, digest: str) -> Reference:
        """The repository at exactly ``digest`` (the tag is dropped)."""
        return replace(self, tag=None, digest=digest)

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        return tag + (f"@{self.digest}" if self.digest is not None else "")

    def __str__(self) -> str:
        return self.name + self._suffix()


def parse(text: str) -> Reference:
    """The reference that ``text`` means, with Docker's defaults for domain and ``library/`` filled in.

    Raises:
        InvalidRequest: not a reference (Docker's texts).
    """
    if _IDENTIFIER.fullmatch(text):
        raise InvalidRequest(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    domain, remainder = split_domain(text)
    remote = remainder.partition(":")[0]
    if remote.lower() != remote:
        raise InvalidRequest(f"{_INVALID}: repository name ({remote}) must be lowercase")
    match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
    # Without a domain it is one that cannot be, such as a.b_c: told from a path by its dot, and no host's name.
    if match is None or match["domain"] is None:
        raise InvalidRequest(_INVALID)
    if len(match["domain"]) + 1 + len(match["path"]) > MAX_NAME_LENGTH:
        raise InvalidRequest(f"repository name must not be more than {MAX_NAME_LENGTH} characters")
    if match["digest"] is not None:
        _check_digest(match["digest"])
    return Reference(match["domain"], match["path"], match["tag"], match["digest"])


def named(name: str, *, tag: str | None = None, digest: str | None = None) -> Reference:
    """The reference of a repository known in full (`Reference.name`)."""
    domain, _, path = name.partition("/")
    return Reference(domain, path, tag, digest)


def parse_tag(repository: str, tag: str) -> Reference:
    """The reference that names ``repository`` with ``tag`` (``latest`` if empty), as POST /images/X/tag has it.

    Raises:
        InvalidRequest: bad repository, bad tag, or a digest where a tag belongs.
    """
    reference = parse(repository)
    if reference.digest is not None:
        raise InvalidRequest("refusing to create a tag with a digest reference")
    check_name(reference)
    if tag and _TAG_ONLY.fullmatch(tag) is None:
        raise InvalidRequest("invalid tag format")
    return replace(reference, tag=tag or reference.tag or DEFAULT_TAG)


def check_name(reference: Reference) -> None:
    """The reference is a name that an image may get.

    Raises:
        InvalidRequest: the name would be taken for a digest.
    """
    if reference.familiar_name == _DIGEST_ALGORITHM:
        raise InvalidRequest("refusing to create an ambiguous tag using digest algorithm as name")


def split_domain(text: str) -> tuple[str, str]:
    """The registry of a name, and the rest, with Docker's defaults filled in; neither is checked."""
    first, slash, rest = text.partition("/")
    is_domain = slash and (
        any(character in first for character in ".:")
        or first == "localhost"
        or first.lower() != first
    )
    domain, remainder = (first, rest) if is_domain else (DEFAULT_DOMAIN, text)
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = f"{_OFFICIAL}/{remainder}"
    return domain, remainder


def _check_digest(digest: str) -> None:
    algorithm, _, digits = digest.partition(":")
    length = _HEX_LENGTHS.get(algorithm)
    if length is None:
        raise InvalidRequest("unsupported digest algorithm")
    if len(digits) != length:
        raise InvalidRequest("invalid checksum digest length")
    if digits != digits.lower():
        raise InvalidRequest("invalid checksum digest format")
