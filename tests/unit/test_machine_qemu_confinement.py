"""What the host holds a machine's process to; that the walls hold is shown in tests/vm."""

from __future__ import annotations

from hyper.machine.qemu.confinement import group_limits
from tests.support.machine_specs import COPY, TEMPLATE


def test_a_copy_may_use_all_its_memory() -> None:
    """Pages that it writes where its template has none are counted twice; the template's own only once."""
    copy, template = group_limits(COPY), group_limits(TEMPLATE)
    assert copy.memory_bytes is not None
    assert template.memory_bytes is not None
    assert copy.memory_bytes - template.memory_bytes == COPY.memory_mib << 20
