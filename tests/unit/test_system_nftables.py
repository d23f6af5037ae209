"""libnftables in a process that has many files open: its socket's descriptor has to be one that select(2) takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.root

_MANY = """
import os, resource
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
while os.open("/dev/null", os.O_RDONLY) < 1100: pass
"""
_LIST = """
import asyncio
from hyper.system import nftables
try:
    print("tables" if "nftables" in asyncio.run(nftables.listing("list tables")) else "nothing")
except nftables.NftFailed as error:
    print(error)
"""


def _python(*parts: str) -> list[str]:
    """What a process says that does ``parts`` one after the other."""
    argv = [sys.executable, "-c", "".join(parts)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_used_before_there_are_many() -> None:
    """A daemon of 150 machines has more than 1024 descriptors: it goes on changing its rules."""
    assert _python(_LIST, _MANY, _LIST) == ["tables", "tables"]


def test_not_used_before_there_are_many() -> None:
    """An error, where the library would end the process."""
    assert _python(_MANY, _LIST) == [
        "cannot use nftables: too many files were open before it was first used"
    ]
