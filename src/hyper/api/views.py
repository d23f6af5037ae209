"""Views of a container that Docker's and Hyper's own routes share: its ports, how its last start went."""

from __future__ import annotations

from collections.abc import Iterable

from hyper.engine.record.lead import Lead
from hyper.engine.record.state import LIVE
from hyper.network.port import PublishedPort
from hyper.sandbox.timeline import Timeline
from hyper.types import fast as wire
from hyper.types.container import PortBinding


def start_view(timeline: Timeline) -> wire.StartView | None:
    """A start's timeline as shown; None: the start did not get as far as a machine."""
    if timeline.way is None:
        return None
    marks = [
        wire.MarkView(what, at_ns) for what, at_ns in sorted(timeline.marks, key=lambda m: m[1])
    ]
    return wire.StartView(str(timeline.way), marks, timeline.notes)


def reachable_ports(record: Lead) -> list[PublishedPort]:
    """Ports of the host that lead to the container: none once it has left all its networks."""
    return record.ports if record.endpoints else []


def port_map(record: Lead, exposed: Iterable[str]) -> dict[str, list[PortBinding] | None]:
    """Every port the container or pod has while it runs, with where it is published; ``exposed``: also if nowhere."""
    if record.status not in LIVE:
        return {}
    result: dict[str, list[PortBinding] | None] = dict.fromkeys(exposed)
    for port in reachable_ports(record):
        spec = f"{port.container_port}/{port.protocol}"
        binding = PortBinding(host_ip=port.host_address, host_port=str(port.host_port))
        result[spec] = [*(result.get(spec) or []), binding]
    return result
