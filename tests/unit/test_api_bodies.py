"""Bodies of requests as Go's encoding/json reads them; every right value was seen of dockerd 28.5.2."""

from __future__ import annotations

import pytest

from hyper.api.bodies import parse
from hyper.errors import InvalidRequest
from hyper.types.container import CreateBody, ExecBody, HostConfig
from hyper.types.mount import VolumeCreateBody
from hyper.types.network import ConnectBody, NetworkCreateBody
from hyper.types.pod import PodBody


def test_names_in_any_case_at_every_depth() -> None:
    """Structs in structs, in lists and in maps; keys of maps are nobody's names and stay."""
    body, plain = parse(
        b'{"image":"b","hostconfig":{"memory":134217728,"binds":["/tmp:/t"],"annotations":{"a":"b"},'
        b'"ulimits":[{"name":"nofile","soft":1,"hard":2}],"logconfig":{"type":"local"},'
        b'"mounts":[{"type":"bind","bindoptions":{"createmountpoint":true}}],"BLKIOWEIGHT":3,'
        b'"portbindings":{"80/tcp":[{"hostport":"81"}]},"utsmode":"host"},"LABELS":{"Image":"x"},'
        b'"networkingconfig":{"endpointsconfig":{"N":{"ipamconfig":{"ipv4address":"10.0.0.2"}}}}}',
        CreateBody,
    )
    host = body.host_config
    assert host is not None
    assert (host.memory, host.binds, host.annotations) == (128 << 20, ["/tmp:/t"], {"a": "b"})
    assert host.ulimits is not None
    assert host.ulimits[0].hard == 2
    assert host.log_config.type == "local"
    assert host.mounts is not None
    assert host.mounts[0].bind_options is not None
    assert host.mounts[0].bind_options.create_mountpoint
    assert host.port_bindings is not None
    assert host.port_bindings["80/tcp"] is not None
    assert host.port_bindings["80/tcp"][0].host_port == "81"
    assert (host.uts_mode, host.blkio_weight) == ("host", 3)
    assert body.labels == {"Image": "x"}
    assert body.networking_config is not None
    endpoints = body.networking_config.endpoints_config
    assert endpoints is not None
    assert endpoints["N"] is not None
    assert endpoints["N"].ipam_config is not None
    assert endpoints["N"].ipam_config.ipv4_address == "10.0.0.2"
    assert (
        plain["HostConfig"]["BlkioWeight"] == 3
    )  # checks of what has no effect look at these names


def test_other_bodies_too() -> None:
    """Networks, volumes, connections, updates, pods."""
    network, _ = parse(
        b'{"name":"n","ipam":{"config":[{"subnet":"10.9.0.0/24"}]}}', NetworkCreateBody
    )
    assert network.ipam is not None
    assert network.ipam.config is not None
    assert network.ipam.config[0].subnet == "10.9.0.0/24"
    volume, _ = parse(b'{"name":"v","driveropts":{"Type":"x"}}', VolumeCreateBody)
    assert (volume.name, volume.driver_opts) == ("v", {"Type": "x"})
    connect, _ = parse(b'{"container":"c","endpointconfig":{"aliases":["a"]}}', ConnectBody)
    assert connect.endpoint_config is not None
    assert connect.endpoint_config.aliases == ["a"]
    update, _ = parse(b'{"nanocpus":5,"restartpolicy":{"name":"always"}}', HostConfig)
    assert (update.nano_cpus, update.restart_policy.name) == (5, "always")
    pod, plain = parse(b'{"name":"p","containers":[{"name":"a","body":{"image":"i"}}]}', PodBody)
    assert pod.containers[0].body.image == "i"
    assert plain["Containers"][0]["Body"]["Image"] == "i"


def test_a_string_where_docker_takes_one() -> None:
    """Its strslices, and nothing else: an exec's command has to be a list."""
    body, _ = parse(
        b'{"Cmd":"ls","Entrypoint":"/bin/sh","Shell":"sh","HostConfig":{"CapAdd":"A","CapDrop":"B"}}',
        CreateBody,
    )
    assert (body.cmd, body.entrypoint, body.shell) == (["ls"], ["/bin/sh"], ["sh"])
    assert body.host_config is not None
    assert (body.host_config.cap_add, body.host_config.cap_drop) == (["A"], ["B"])
    for kind, data in ((ExecBody, b'{"Cmd":"ls"}'), (CreateBody, b'{"Env":"A=b"}')):
        with pytest.raises(InvalidRequest, match="Expected `array"):
            parse(data, kind)
    with pytest.raises(InvalidRequest, match=r"\$\.Cmd"):
        parse(b'{"Cmd":{"a":1}}', CreateBody)


def test_what_a_null_is() -> None:
    """A member's default; in a map or list the empty value, whose key stays."""
    body, _ = parse(
        b'{"Image":null,"ExposedPorts":{"80/tcp":null},"Labels":{"a":null},"Cmd":["a",null],'
        b'"HostConfig":{"Binds":null,"Dns":[],"PortBindings":{"80/tcp":[null],"81/tcp":null}},'
        b'"NetworkingConfig":{"EndpointsConfig":{"n":null}}}',
        CreateBody,
    )
    assert (body.image, body.exposed_ports, body.labels) == ("", {"80/tcp": {}}, {"a": ""})
    assert body.cmd == ["a", ""]
    host = body.host_config
    assert host is not None
    assert (host.binds, host.dns) == (None, [])
    assert host.port_bindings is not None
    assert [(port, len(places or [])) for port, places in host.port_bindings.items()] == [
        ("80/tcp", 1),
        ("81/tcp", 0),
    ]
    assert body.networking_config is not None
    assert body.networking_config.endpoints_config == {"n": None}
    for empty in (b"", b" ", b"null", b"{}"):
        assert parse(empty, CreateBody) == (CreateBody(), {})


MISTAKES = {
    b"{invalid": "invalid JSON: invalid character 'i' looking for beginning of object key string",
    b"{} trailing": "unexpected content after JSON",
    b"{}{}": "unexpected content after JSON",
    b'{"a" 1}': "invalid JSON: invalid character '1' after object key",
    b'{"a":tru}': "invalid JSON: invalid character 't' looking for beginning of value",
    b'{"a":': "invalid JSON: unexpected EOF",
    b'{"a": "b': "invalid JSON: unexpected EOF",
    b"[]": "invalid JSON: an object is expected",
    b"[" * 100_000: "invalid JSON: exceeded max depth",
    b'{"a":NaN}': "invalid JSON: JSON is malformed: invalid character (byte 5)",
}


@pytest.mark.parametrize("data", MISTAKES, ids=lambda data: repr(data)[:30])
def test_mistakes_in_gos_words(data: bytes) -> None:
    """Those that suites of Docker's compare."""
    with pytest.raises(InvalidRequest) as refused:
        parse(data, CreateBody)
    assert refused.value.message == MISTAKES[data]
