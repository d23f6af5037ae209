"""The base that every body of the Engine API is made of."""

from __future__ import annotations

from msgspec import Struct


class Wire(Struct, rename="pascal", kw_only=True, omit_defaults=False):
    """Base class of every body: members are written PascalCase."""
