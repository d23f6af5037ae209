"""``--device``: a device of the host's in the container."""

from __future__ import annotations


def device(spec: str) -> dict[str, str]:
    """A device, ``HOST[:PATH[:rwm]]`` or ``HOST:rwm``, as the API's DeviceMapping.

    Raises:
        ValueError: the text has neither form.
    """
    host, *rest = spec.split(":")
    if len(rest) > 2 or not host:
        raise ValueError("use HOST[:PATH[:rwm]]")
    modes = rest.pop() if rest and not rest[-1].startswith("/") else "rwm"
    if not modes or set(modes) - set("rwm"):
        raise ValueError(f"invalid permissions {modes!r}: use letters of rwm")
    inside = rest[0] if rest else host
    if not inside.startswith("/"):
        raise ValueError(f"the path in the container must be absolute, not {inside!r}")
    return {"PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": modes}
