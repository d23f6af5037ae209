"""What the agent is told: environment, capabilities, files, mounts, signals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hyper.engine.record.sandbox import Placement
from hyper.engine.spec import agent_requests, capabilities, from_docker, signals
from hyper.errors import InvalidRequest
from hyper.network.guest_config import GuestConfig
from hyper.network.user import addresses as user
from hyper.proto.message import ContainerFlag, ProcessFlag
from hyper.system.resolv_conf import Lookup
from hyper.types.container import ContainerConfig, HostConfig, Ulimit
from tests.support.records import plain_record


def on_user_network() -> GuestConfig:
    """The guest configuration of a machine on a user network."""
    return GuestConfig((), (str(user.GUEST),), str(user.GATEWAY), (str(user.DNS),))


def test_the_environment_is_dockers_under_the_images_and_the_clients() -> None:
    """PATH and HOSTNAME always, TERM with a terminal; what was said wins and is said once."""
    record = plain_record(ContainerConfig(cmd=["x"], env=["PATH=/mine", "A=1"], tty=True))
    env = agent_requests.main_program(record, Placement()).env
    assert env == ("HOSTNAME=" + "a" * 12, "TERM=xterm", "PATH=/mine", "A=1")


def test_a_name_without_a_value_is_no_variable() -> None:
    """It also takes away what Docker itself would set."""
    env = agent_requests.main_program(
        plain_record(ContainerConfig(cmd=["x"], env=["HOSTNAME", "A", "B="])), Placement()
    ).env
    assert "B=" in env
    assert not [item for item in env if item.startswith(("HOSTNAME", "A"))]


def test_flags_follow_the_configuration() -> None:
    """Terminal, open standard input, no new privileges."""
    config = ContainerConfig(cmd=["x"], tty=True, open_stdin=True)
    start = agent_requests.main_program(
        plain_record(config, HostConfig(security_opt=["no-new-privileges"])), Placement()
    )
    expected = ProcessFlag.INIT | ProcessFlag.TTY | ProcessFlag.STDIN | ProcessFlag.NO_NEW_PRIVS
    assert start.flags == expected


@pytest.mark.parametrize(
    ("host", "has", "has_not"),
    [
        (HostConfig(), "CHOWN", "SYS_ADMIN"),
        (HostConfig(cap_add=["SYS_ADMIN"]), "SYS_ADMIN", "NET_ADMIN"),
        (HostConfig(cap_drop=["CAP_CHOWN"]), "KILL", "CHOWN"),
        (HostConfig(cap_drop=["ALL"], cap_add=["net_admin"]), "NET_ADMIN", "CHOWN"),
        (HostConfig(cap_add=["ALL"], cap_drop=["MKNOD"]), "SYS_ADMIN", "MKNOD"),
    ],
)
def test_capabilities_are_added_and_dropped(host: HostConfig, has: str, has_not: str) -> None:
    """With and without CAP_, in either case, ALL included."""
    mask = capabilities.mask(capabilities.names(host))
    assert mask >> capabilities.CAPABILITIES.index(has) & 1
    assert not mask >> capabilities.CAPABILITIES.index(has_not) & 1


def test_privileged_means_every_capability_and_nothing_masked() -> None:
    """It is the machine that isolates."""
    record = plain_record(host=HostConfig(privileged=True))
    program = agent_requests.main_program(record, Placement())
    assert program.capabilities == capabilities.ALL_CAPABILITIES
    created = agent_requests.container_create(record, Placement(), [Path("l0")], ())
    assert (created.masked, created.readonly) == ((), ())


def test_an_unknown_capability_is_refused() -> None:
    """By name."""
    with pytest.raises(InvalidRequest, match='unknown capability: "FLY"'):
        capabilities.names(HostConfig(cap_add=["FLY"]))


def test_the_three_files_say_who_and_where_the_container_is() -> None:
    """hostname, hosts, resolv.conf; with extra hosts and host-gateway."""
    host = HostConfig(extra_hosts=["db:10.1.1.1", "up:host-gateway"], dns_search=["example.org"])
    record = plain_record(ContainerConfig(cmd=["x"], hostname="box", domainname="lan"), host)
    told = agent_requests.network_files(record, on_user_network())
    files = {file.path: file.content.decode() for file in told}
    assert files["/etc/hostname"] == "box\n"
    assert "10.1.1.1\tdb\n" in files["/etc/hosts"]
    assert f"{user.GATEWAY}\tup\n" in files["/etc/hosts"]
    assert f"{user.GUEST}\tbox.lan box\n" in files["/etc/hosts"]
    assert files["/etc/resolv.conf"] == f"nameserver {user.DNS}\nsearch example.org\n"


@pytest.mark.parametrize(
    ("name", "domain", "names"),
    [
        ("web.example.com", "", "web.example.com web"),
        ("web.example.com", "d.org", "web.example.com.d.org web"),
        ("web", "d.org", "web.d.org web"),
        ("web", "", "web"),
    ],
)
def test_a_container_is_known_by_its_full_name_and_its_first_part(
    name: str, domain: str, names: str
) -> None:
    """As dockerd writes it into /etc/hosts; the kernel is told the domain."""
    record = plain_record(ContainerConfig(cmd=["x"], hostname=name, domainname=domain))
    hosts = agent_requests.network_files(record, on_user_network())[1].content.decode()
    assert f"{user.GUEST}\t{names}\n" in hosts
    told = agent_requests.sandbox_setup(record, None).sysctls
    assert told == ((("kernel.domainname", domain),) if domain else ())


def test_layers_are_named_lowest_first_and_read_only_is_passed_on() -> None:
    """The names are what the disks are called."""
    created = agent_requests.container_create(
        plain_record(host=HostConfig(readonly_rootfs=True)), Placement(), [Path("a"), Path("b")], ()
    )
    assert created.layers == ("layer0", "layer1")
    assert created.flags is ContainerFlag.READ_ONLY


def test_disks_of_one_machine_have_names_of_their_own() -> None:
    """What a container brings into another's machine carries its number there; layers they share."""
    record, mine, theirs = plain_record(), Placement(3, 7), Placement(4, 8)
    created = agent_requests.container_create(record, mine, [Path("a")], ())
    assert (created.container, created.scratch) == (3, "3-scratch")
    # A layer is a neighbour's, too, if it is the same file.
    other = agent_requests.container_create(plain_record(), theirs, [Path("a"), Path("b")], ())
    assert other.layers[0] == created.layers[0]
    assert len({*other.layers}) == 2
    assert agent_requests.main_program(record, mine).process == 7


def test_a_layer_that_is_shared_has_one_name_on_every_host() -> None:
    """The name is the layer's digest: a machine that moves finds the layer wherever the other host keeps it."""
    joined, digest = Placement(3, 7), "0123456789abcdef" * 4
    names = {
        agent_requests.layer_name(joined, 0, Path(root) / "image/layers" / f"{digest}.sqfs")
        for root in ("/var/lib/hyper", "/home/user/.local/share/hyper")
    }
    assert names == {"l0123456789abcdef012"}


def test_tmpfs_options_become_flags_and_data() -> None:
    """Docker's defaults (nosuid, nodev, noexec) unless said otherwise; sizes in any unit."""
    assert agent_requests.tmpfs("/t", "").flags == 2 | 4 | 8
    mount = agent_requests.tmpfs("/t", "exec,ro,size=64m,mode=1777")
    assert (mount.flags, mount.data) == (1 | 2 | 4, f"size={64 << 20},mode=1777")
    assert agent_requests.tmpfs("/t", "rw,size=1k").flags == 2 | 4 | 8


@pytest.mark.parametrize("options", ["huge", "size=x", "lowerdir=/"])
def test_other_tmpfs_options_are_refused(options: str) -> None:
    """They would go to mount(2) in the guest."""
    with pytest.raises(InvalidRequest):
        agent_requests.tmpfs("/t", options)


def test_ulimits_are_numbers_and_minus_one_is_unlimited() -> None:
    """By their names in either case."""
    limit = from_docker.rlimit(Ulimit("NOFILE", 64, -1))
    assert (limit.resource, limit.soft, limit.hard) == (7, 64, 2**64 - 1)
    with pytest.raises(InvalidRequest, match="invalid ulimit type: fun"):
        from_docker.rlimit(Ulimit("fun", 1, 1))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("SIGTERM", 15), ("kill", 9), ("2", 2), ("sighup", 1)),
        *(("RTMIN", 34), ("RTMIN+3", 37), ("SIGRTMIN+30", 64), ("rtmax", 64), ("RTMAX-2", 62)),
    ],
)
def test_signals_by_name_and_number(text: str, number: int) -> None:
    """Docker's forms."""
    assert signals.signal_number(text) == number


@pytest.mark.parametrize(
    "text", ["0", "65", "NOPE", "", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMAX-31", "-1"]
)
def test_signals_that_are_none_are_refused(text: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidRequest, match="invalid signal"):
        signals.signal_number(text)


@pytest.mark.parametrize("extra", ["x", "a b:1.2.3.4", ":1.2.3.4", "x:"])
def test_bad_extra_hosts_are_refused(extra: str) -> None:
    """They would become lines of /etc/hosts."""
    with pytest.raises(InvalidRequest, match="bad format for add-host"):
        from_docker.split_extra_host(extra)


def test_names_are_looked_up_as_on_the_host_unless_told_otherwise() -> None:
    """Its search domains and options, and bare names first where containers have names; "." is no domain."""
    host = replace(on_user_network(), lookup=Lookup(("a.org", "b.org"), ("rotate",)))

    def text(asked: HostConfig, *, embedded: bool = False) -> str:
        network = replace(host, embedded=embedded)
        files = {
            file.path: file.content
            for file in agent_requests.network_files(plain_record(host=asked), network)
        }
        return files["/etc/resolv.conf"].decode().partition("\n")[2]

    assert text(HostConfig()) == "search a.org b.org\noptions rotate\n"
    assert text(HostConfig(), embedded=True) == "search a.org b.org\noptions rotate ndots:0\n"
    asked = HostConfig(dns_search=["."], dns_options=["ndots:2"])
    assert text(asked, embedded=True) == "options ndots:2\n"
