"""The lead of a sandbox: the container or pod that it was launched for, whose network, share and size it has."""

from __future__ import annotations

from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.pod import PodRecord

Lead = ContainerRecord | PodRecord
