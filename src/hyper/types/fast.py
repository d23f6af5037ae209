"""Bodies of /hyper/v1: templates, pooled machines, how starts went. Docker has no word for these."""

from __future__ import annotations

from msgspec import field

from hyper.types.wire import Wire


class MarkView(Wire):
    """A step of a start and when it was done, in CLOCK_MONOTONIC ns of the host."""

    what: str
    at_ns: int = field(name="AtNs")


class StartView(Wire):
    """A start's timeline and way: by ``pool``, ``template`` or ``boot``; ``notes``: why a faster way was not taken."""

    way: str
    marks: list[MarkView]
    notes: list[str]


class TemplateView(Wire):
    """A template on disk. ``loaded``: it is in memory, too."""

    key: str
    vcpus: int = field(name="VCPUs")
    memory_mib: int = field(name="MemoryMiB")
    card: str
    created: str
    used: str
    disk_bytes: int
    loaded: bool


class TemplateBuildBody(Wire):
    """A request for a template. ``card``: ``tap``, ``user`` or ``none``; "": what containers have by default."""

    vcpus: int = field(name="VCPUs", default=0)
    memory_mib: int = field(name="MemoryMiB", default=0)
    card: str = ""


class TemplateMade(Wire):
    key: str


class ShelfView(Wire):
    """The pooled machines of one shape that wait for a container, and how many should."""

    vcpus: int = field(name="VCPUs")
    memory_mib: int = field(name="MemoryMiB")
    card: str
    waiting: int
    wanted: int


class PoolView(Wire):
    """The pool. ``machine_mib``: memory that a machine counts as; ``taken``, ``missed``: starts with one, without."""

    limit_mib: int = field(name="LimitMiB")
    machine_mib: int = field(name="MachineMiB")
    taken: int
    missed: int
    shelves: list[ShelfView]
