"""The register of containers: found by id, name, link and start of an id; pods' containers in order."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.register import Register
from hyper.engine.record.container import Member
from hyper.errors import InvalidRequest, NotFound


def container(id: str, name: str, *, member: Member | None = None, **links: str) -> Container:
    """As much of a container as the register looks at."""
    record = SimpleNamespace(id=id, name=name, member=member, links=links)
    removed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return cast(Container, SimpleNamespace(record=record, removed=removed))


async def test_every_way_to_a_container() -> None:
    """Id, name with and without slash, alias of a link, unique start of an id; else it is missing or ambiguous."""
    register, web, db = Register(), container("aa11", "web", db="aa22"), container("aa22", "data")
    register.add(web)
    register.add(db)
    for name in ("aa22", "data", "/data", "web/db", "/web/db"):
        assert register.get(name) is db
    assert register.get("aa1") is web
    with pytest.raises(InvalidRequest, match="Multiple IDs"):
        register.get("aa")
    for name in ("", "nosuch", "web/nosuch", "nosuch/db"):
        with pytest.raises(NotFound):
            register.get(name)


async def test_a_new_name_is_the_only_one() -> None:
    """A renamed container is not found by its old name, which is free again."""
    register, one = Register(), container("aa11", "old")
    register.add(one)
    register.rename(one, "new")
    assert (register.named("old"), register.get("new")) == (None, one)
    assert register.names() == {"new"}


async def test_what_is_removed_is_forgotten() -> None:
    """Nothing of a removed container is found, also when another one has its name by then."""
    register, old, new = Register(), container("aa11", "web"), container("bb22", "web")
    register.add(old)
    cast(Any, old.removed).set_result(None)
    register.add(new)
    await asyncio.sleep(0)
    assert register.of_id("aa11") is None
    assert (register.get("web"), len(register)) == (new, 1)


async def test_containers_of_a_pod_come_in_their_order() -> None:
    """By the order of their records, whatever order they were found in after a restart; none of another pod."""
    register = Register()
    for id, pod, order in (("c", "p", 2), ("a", "p", 0), ("x", "q", 1), ("b", "p", 1)):
        register.add(container(id, f"name-{id}", member=Member(pod, id, order)))
    assert [item.record.id for item in register.members("p")] == ["a", "b", "c"]
    cast(Any, register.get("a").removed).set_result(None)
    await asyncio.sleep(0)
    assert [item.record.id for item in register.members("p")] == ["b", "c"]
    assert register.members("nosuch") == []
