"""Links of the default network: what programs are told, and names; as a dockerd 20.10 says them."""

from __future__ import annotations

import msgspec
import pytest

from hyper.engine.record.container import ContainerRecord
from hyper.engine.spec import links
from hyper.errors import Conflict
from hyper.types.container import ContainerConfig, HostConfig
from tests.support.records import spec_of

PORTS = ("90/tcp", "91/tcp", "53/udp", "80/tcp", "53/tcp", "92/tcp")


def make(name: str, **links_: str) -> ContainerRecord:
    config = ContainerConfig(
        cmd=["x"],
        exposed_ports={port: {} for port in PORTS},
        env=["A=1", "HOME=/x", "PATH=/y", "B="],
    )
    return ContainerRecord(
        id=f"{name}-id",
        name=name,
        created_ns=1,
        config=config,
        host_config=HostConfig(),
        spec=spec_of(config),
        links=links_,
    )


def test_a_program_is_told_addresses_ports_and_variables() -> None:
    """The lowest port, TCP first; each port four times; three in a row as a range; its variables but HOME and PATH."""
    web, db = make("web", **{"my-db": "db-id"}), make("db")
    told = links.variables(web, {"db-id": db}.get, lambda _: "10.0.0.2")
    found = dict(item.split("=", 1) for item in told)
    assert found["MY_DB_PORT"] == "tcp://10.0.0.2:53"
    assert found["MY_DB_PORT_53_UDP"] == "udp://10.0.0.2:53"
    assert found["MY_DB_PORT_80_TCP_ADDR"] == "10.0.0.2"
    assert (found["MY_DB_PORT_80_TCP_PORT"], found["MY_DB_PORT_80_TCP_PROTO"]) == ("80", "tcp")
    assert found["MY_DB_PORT_90_TCP_START"] == "tcp://10.0.0.2:90"
    assert (found["MY_DB_PORT_90_TCP_PORT_START"], found["MY_DB_PORT_90_TCP_PORT_END"]) == (
        "90",
        "92",
    )
    assert found["MY_DB_PORT_90_TCP_END"] == "tcp://10.0.0.2:92"
    assert [name for name in found if name.endswith("_START")] == [
        "MY_DB_PORT_90_TCP_START",
        "MY_DB_PORT_90_TCP_PORT_START",
    ]
    assert found["MY_DB_NAME"] == "/web/my-db"
    assert {name: found[name] for name in found if "_ENV_" in name} == {
        "MY_DB_ENV_A": "1",
        "MY_DB_ENV_B": "",
    }


def test_a_link_leads_to_what_runs() -> None:
    """One that does not run is refused in Docker's words; one that is gone is no link."""
    web = make("web", db="db-id")
    with pytest.raises(Conflict, match="Cannot link to a non running container: /db AS /web/db"):
        links.variables(web, {"db-id": make("db")}.get, lambda _: "")
    assert links.variables(web, lambda _: None, lambda _: "10.0.0.2") == []
    assert links.shown(web, lambda _: None) is None


def test_links_are_by_id_and_shown_by_name() -> None:
    """Whoever is renamed stays linked; of two with one alias the first counts (dockerd); other networks have others."""
    db = make("db")
    other = msgspec.structs.replace(db, id="other-id")
    found = {"db": db, "other": other}
    host = HostConfig(links=["db:x", "db", "db:x"])
    assert links.of_new_container(host, found.__getitem__) == {"x": "db-id", "db": "db-id"}
    twice = HostConfig(links=["db:x", "other:x"])
    assert links.of_new_container(twice, found.__getitem__) == {"x": "db-id"}
    mine = HostConfig(links=["db:x"], network_mode="mine")
    assert links.of_new_container(mine, found.__getitem__) == {}
    web = make("web", x="db-id")
    db.name = "renamed"
    assert links.shown(web, {"db-id": db}.get) == ["/renamed:/web/x"]
    assert links.names([web, db]) == {"db-id": ["/web/x"]}
