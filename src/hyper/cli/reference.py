"""Names of images, as users write them."""

from __future__ import annotations


def split_reference(image: str) -> tuple[str, str]:
    """The name and the tag (or digest) of an image; ``latest`` where ``image`` has neither."""
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    head, colon, tag = image.rpartition(":")
    if colon and "/" not in tag:
        return head, tag
    return image, "latest"


def full_name(image: str) -> str:
    """``image`` with its tag or digest, as messages name it."""
    name, tag = split_reference(image)
    return f"{name}{'@' if ':' in tag else ':'}{tag}"


def familiar(name: str) -> str:
    """The name with its registry, as docker prints it in the end."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"
