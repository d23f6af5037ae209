"""Any container spec can be kept, compared, hashed, and not be written to."""

from __future__ import annotations

import dataclasses
import types
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.engine.record.container_spec import ContainerSpec

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=6),
    # The largest are those of the agent protocol.
    int: st.integers(min_value=0, max_value=2**64 - 1),
    float: st.floats(min_value=0.01, max_value=1e4),
    bool: st.booleans(),
    bytes: st.binary(max_size=12),
    type(None): st.none(),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type that a spec is made of: plain ones, enums, tuples, optional ones, and records of these."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, args = get_origin(kind), get_args(kind)
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(values(args[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, args))
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, args))
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    assert issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind), kind
    return st.builds(kind, **{name: values(hint) for name, hint in get_type_hints(kind).items()})


@given(values(ContainerSpec), values(ContainerSpec))
def test_spec_is_the_same_after_it_was_kept(spec: ContainerSpec, other: ContainerSpec) -> None:
    """By JSON, as the store keeps it; two that are equal have one hash."""
    again = msgspec.json.decode(msgspec.json.encode(spec), type=ContainerSpec)
    assert again == spec
    assert hash(again) == hash(spec)
    assert (other == spec) == (msgspec.json.encode(other) == msgspec.json.encode(spec))


@given(values(ContainerSpec))
def test_no_part_of_a_spec_can_be_written_to(spec: ContainerSpec) -> None:
    """Nor anything in it: what runs is what was asked."""
    parts = [getattr(spec, name) for name in spec.__struct_fields__]
    for part in (spec, *(part for part in parts if isinstance(part, msgspec.Struct))):
        with pytest.raises(AttributeError):
            setattr(part, part.__struct_fields__[0], None)
