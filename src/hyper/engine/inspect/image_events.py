"""Events of images, told as dockerd does: actor, name, and the labels of an image that is there.

Source: moby daemon/images/image_events.go and its callers.
"""

from __future__ import annotations

from hyper.engine.lifecycle.host import Host
from hyper.engine.spec.create import image_defaults
from hyper.errors import HyperError
from hyper.image.reference import parse


def by_id(host: Host, action: str, image_id: str, name: str = "") -> None:
    """An event says that ``action`` happened to an image; ``name`` where it matters (tag), else its id."""
    _publish(host, action, image_id, name or image_id)


def by_name(host: Host, action: str, reference: str) -> None:
    """An event says that ``action`` (pull, push) happened to the image that a reference names."""
    named = parse(reference).with_default_tag()
    _publish(host, action, named.familiar, named.familiar_name)


def _publish(host: Host, action: str, actor: str, name: str) -> None:
    labels: dict[str, str] = {}
    try:
        image = host.images.get(actor)
    except HyperError:
        pass  # it has just gone
    else:
        labels = image_defaults(image.config.config).labels or {}
    host.events.publish("image", action, actor, {**labels, "name": name})
