"""Hyper's pod files: each field ends where it belongs, and what makes no sense is refused by the field's name."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from hyper.errors import InvalidRequest
from hyper.types.container import PortBinding, RestartPolicy, Ulimit
from hyper.types.pod import EMPTY, HOST, MEMORY, VOLUME, PodContainer, PodMount, PodWhiteLists
from tests.support.manifest import cases, convert, convert_addition, refusal


def only(text: str) -> PodContainer:
    """The container of a pod whose only one has the fields ``text``."""
    return convert(f"containers: [{{image: busybox, {text}}}]").body.containers[0]


def test_the_least_pod_file() -> None:
    plan = convert("containers: [{image: busybox}]")
    body = plan.body
    assert (body.name, body.hostname, body.cpus, body.memory) == ("", "", 0, 0)
    (box,) = body.containers
    assert (box.name, box.body.image, box.body.cmd, box.body.env) == (
        "busybox",
        "busybox",
        None,
        None,
    )
    assert plan.pull == {"busybox": "missing"}
    assert plan.warnings == ()


#: Examples of the original's repository, in its words.
ORIGINAL = Path("tests/vectors/original.pod").read_text()


def test_a_file_of_the_original() -> None:
    body = convert(ORIGINAL, {"/etc/resolv.conf": b"nameserver 1.1.1.1\n"}).body
    assert (body.name, body.hostname, body.cpus, body.memory) == (
        "test-inject-file", "test-inject-file", 2, 512 * 2**20,
    )  # fmt: skip
    (box,) = body.containers
    assert (box.name, box.body.tty, box.body.working_dir, box.body.cmd) == (
        "file-tester", True, "/", ["/bin/bash"],
    )  # fmt: skip
    assert [(file.path, base64.b64decode(file.content), oct(file.mode), file.uid, file.gid) for file in box.files] == [
        ("/root/test/resolv.conf", b"nameserver 1.1.1.1\n", "0o600", 0, 0),
        ("/root/test/logo.png", b"hello,\r\nhyper!\r\n", "0o644", 1000, 1000),
        ("/root/test/t1", b"", "0o755", 0, 0),
    ]  # fmt: skip
    log, tmp, share = body.volumes
    assert (log.kind, tmp.kind, tmp.source) == (EMPTY, HOST, "/srv/tmp")
    assert (share.kind, share.driver_opts) == (
        VOLUME, {"type": "nfs", "o": "addr=192.168.80.72,rw", "device": ":/export"},
    )  # fmt: skip
    assert box.mounts == [
        PodMount(volume="log", target="/var/log"),
        PodMount(volume="tmp", target="/mnt", read_only=True),
        PodMount(volume="share", target="/export"),
    ]
    assert body.port_bindings == {
        "1300/tcp": [PortBinding(host_port="3000")],
        "1301/tcp": [PortBinding(host_port="3001")],
    }


def test_users_in_each_way() -> None:
    assert only("user: nobody").body.user == "nobody"
    assert only("user: 1000").body.user == "1000"
    assert only('user: "1000:50"').body.user == "1000:50"
    box = only("user: {name: app, group: staff, additionalGroups: [video]}")
    assert box.body.user == "app:staff"
    assert box.body.host_config is not None
    assert box.body.host_config.group_add == ["video"]


@pytest.mark.parametrize(
    "text",
    [
        "env: {A: b, C: d=e}",
        "env: [A=b, C=d=e]",
        "envs: [{env: A, value: b}, {env: C, value: d=e}]",
        "env: [{name: A, value: b}, C=d=e]",
    ],
)
def test_variables_in_each_way(text: str) -> None:
    assert only(text).body.env == ["A=b", "C=d=e"]


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("restartPolicy: always", RestartPolicy(name="always")),
        ("restart: never", RestartPolicy(name="no")),
        ("restart: onFailure", RestartPolicy(name="on-failure")),
        ("restart: on-failure:3", RestartPolicy(name="on-failure", maximum_retry_count=3)),
        ("restart: unless-stopped", RestartPolicy(name="unless-stopped")),
        ("tty: false", RestartPolicy(name="no")),
    ],
)
def test_restart_policies(text: str, policy: RestartPolicy) -> None:
    found = only(text).body.host_config
    assert found is not None
    assert found.restart_policy == policy


def test_what_a_pod_says_holds_for_containers_that_say_nothing() -> None:
    plan = convert(
        "{restartPolicy: always, tty: true, log: {type: local, config: {max-size: 1m}}, containers: ["
        "{image: a, restart: never, tty: false}, {image: b}], init: [{image: c}]}"
    )
    first, second = plan.body.containers
    for box, policy, tty in ((first, "no", False), (second, "always", True)):
        assert box.body.host_config is not None
        assert (box.body.host_config.restart_policy.name, box.body.tty) == (policy, tty)
        assert box.body.host_config.log_config.config == {"max-size": "1m"}
    (init,) = plan.body.init
    assert init.body.host_config is not None
    assert init.body.host_config.restart_policy.name == "no"


def test_limits_and_privileges() -> None:
    found = only(
        "resource: {vcpu: 0.5, memory: 64, pids: 20}, "
        "ulimits: [{Name: nofile, Soft: 10, Hard: 20}, {name: core, hard: -1}],"
        "capAdd: [NET_ADMIN], capDrop: [ALL], privileged: true, readonly: true"
    ).body.host_config
    assert found is not None
    assert (found.nano_cpus, found.memory, found.pids_limit) == (500_000_000, 64 * 2**20, 20)
    assert found.ulimits == [
        Ulimit(name="nofile", soft=10, hard=20),
        Ulimit(name="core", soft=-1, hard=-1),
    ]
    assert (found.cap_add, found.cap_drop, found.privileged, found.readonly_rootfs) == (
        ["NET_ADMIN"], ["ALL"], True, True,
    )  # fmt: skip


def test_sysctls_of_containers_are_the_pods() -> None:
    text = "{sysctls: {net.core.somaxconn: '1'}, containers: [{image: a, sysctl: {kernel.shmmax: '2'}}]}"
    assert convert(text).body.sysctls == {"net.core.somaxconn": "1", "kernel.shmmax": "2"}


def test_checks() -> None:
    box = only(
        "readiness: {http: {port: 8080, path: ok, headers: {Host: x}}, "
        "interval: 5s, timeout: 2, startPeriod: 1m, retries: 4},"
        "liveness: {tcp: 6379}"
    )
    check = box.body.healthcheck
    assert check is not None
    assert check.test == ["HYPER-HTTP", "http://127.0.0.1:8080/ok", "Host: x"]
    second = 10**9
    assert (check.interval, check.timeout, check.start_period, check.retries) == (
        5 * second, 2 * second, 60 * second, 4,
    )  # fmt: skip
    assert box.liveness is not None
    assert box.liveness.test == ["HYPER-TCP", "127.0.0.1:6379"]
    plain = only("healthcheck: {command: [true-ish, -x]}").body.healthcheck
    assert plain is not None
    assert plain.test == ["CMD", "true-ish", "-x"]


def test_volumes_in_each_way() -> None:
    plan = convert(
        """
        containers:
          - image: a
            volumes: ["new:/new", "mem:/mem:ro", {volume: here, path: /here, subPath: x/y},
                      {volume: own, path: /own, detail: {name: own, source: /srv, format: vfs}}]
        volumes:
          - name: new
          - {name: mem, driver: memory, size: 16}
          - {name: here, source: ./data}
          - {name: made, driver: vfs, source: /srv/x, create: true, readOnly: true}
          - {name: named, source: other, options: {size: 1g}}
          - {name: plain, driver: local}
        """
    )
    kinds = {
        v.name: (v.kind, v.source, v.size_bytes, v.create, v.read_only) for v in plan.body.volumes
    }
    assert kinds == {
        "new": (EMPTY, "", 0, False, False),
        "mem": (MEMORY, "", 16 * 2**20, False, False),
        "here": (HOST, "/folder/data", 0, False, False),
        "made": (HOST, "/srv/x", 0, True, True),
        "named": (VOLUME, "other", 0, True, False),
        "plain": (VOLUME, "plain", 0, True, False),
        "own": (HOST, "/srv", 0, False, False),
    }
    assert plan.body.containers[0].mounts[2] == PodMount(
        volume="here", target="/here", sub_path="x/y"
    )


def test_two_ways_to_mount_a_server_are_two_volumes_and_the_same_way_is_one() -> None:
    text = "{{containers: [{{image: a}}], volumes: [{{name: v, source: 'h:/e', driver: nas, readOnly: {}}}]}}"
    names = [convert(text.format(ro)).body.volumes[0].source for ro in ("true", "false", "true")]
    assert names[0] == names[2] != names[1]


def test_ports() -> None:
    body = convert(
        "{containers: [{image: a, ports: [{containerPort: 80, hostPort: 8080}, {containerPort: 53, protocol: UDP}]},"
        " {image: b, ports: [{containerPort: 53}]}],"
        " portmappings: [{containerPort: 80, hostPort: 9000-9010, hostIP: 127.0.0.1}, {containerPort: 5432}]}"
    ).body
    assert set(body.exposed_ports or {}) == {"80/tcp", "53/udp", "53/tcp", "5432/tcp"}
    assert body.port_bindings == {
        "80/tcp": [
            PortBinding(host_port="8080"),
            PortBinding(host_ip="127.0.0.1", host_port="9000-9010"),
        ],
        "5432/tcp": [PortBinding()],
    }


def test_containers_without_names_are_called_after_their_images() -> None:
    text = "containers: [{image: 'localhost:5000/x/redis:7'}, {image: redis}, {image: 'redis@sha256:0'}, {image: /_}]"
    names = [box.name for box in convert(text).body.containers]
    assert names == ["redis", "redis-2", "redis-3", "container"]


def test_an_image_is_fetched_as_the_strictest_container_wants() -> None:
    text = (
        "containers: [{image: a, pull: never}, {image: a, pull: Always}, {image: b, pull: never}]"
    )
    assert convert(text).pull == {"a": "always", "b": "never"}


def test_white_lists() -> None:
    """As the original Hyper's example has them; that both are empty is said, too."""
    body = convert(
        "{portmappingWhiteLists: {internalNetworks: [127.0.0.1/32, 192.168.123.0/24], externalNetworks: [0.0.0.0/0]},"
        " containers: [{image: a}]}"
    ).body
    assert body.white_lists == PodWhiteLists(
        internal_networks=["127.0.0.1/32", "192.168.123.0/24"], external_networks=["0.0.0.0/0"]
    )
    assert convert("containers: [{image: a}]").body.white_lists is None


def test_services() -> None:
    """As the original Hyper's example has them, and with what may be left out."""
    body = convert(
        "{services: [{serviceIP: 10.254.0.24, servicePort: 2834, protocol: UDP, hosts: "
        "[{hostIP: 192.168.23.2, hostPort: 2345}, {hostip: 192.168.23.3, hostport: 2345}]}, "
        "{serviceIP: 10.254.0.24, servicePort: 2834, hosts: [{hostIP: 10.0.0.1, hostPort: 80}]}],"
        " containers: [{image: a}]}"
    ).body
    first, second = body.services
    assert (first.ip, first.port, first.protocol, second.protocol) == (
        *("10.254.0.24", 2834),
        *("udp", "tcp"),
    )
    assert [(host.ip, host.port) for host in first.hosts] == [
        ("192.168.23.2", 2345),
        ("192.168.23.3", 2345),
    ]
    hosts = ", ".join(f"{{hostIP: 10.0.0.1, hostPort: {port}}}" for port in range(1, 66))
    many = f"{{services: [{{serviceIP: 1.2.3.4, servicePort: 1, hosts: [{hosts}]}}], containers: [{{image: a}}]}}"
    assert "services[0].hosts: from 1 to 64 are possible, not 65" in refusal(many)
    empty = f"{{services: [{', '.join(['{}'] * 65)}], containers: [{{image: a}}]}}"
    assert "services: at most 64 are possible, not 65" in refusal(empty)


REFUSED = [
    *cases("pod-files"),
    ("a: 1\n---\nb: 2\n", "more than one document"),
    (
        "{{containers: [{{image: a}}], portmappingWhiteLists: {{internalNetworks: [{}]}}}}".format(
            ", ".join(["10.0.0.0/8"] * 257)
        ),
        "internalNetworks: at most 256",
    ),
    (
        f"containers: [{{image: a, files: [{{path: /x, content: {'y' * (256 * 1024 + 1)}}}]}}]",
        "has at most 256 KiB",
    ),
]


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_is_refused(text: str, words: str) -> None:
    assert words in refusal(text)


def test_a_mode_in_octal_needs_no_quotes() -> None:
    assert only("files: [{path: /x, content: y, perm: 0640}]").files[0].mode == 0o640


def test_the_examples_of_the_page_are_pods() -> None:
    """Each YAML block of docs/pods.md is converted, without a warning."""
    blocks = Path("docs/pods.md").read_text().split("```yaml\n")[1:]
    assert len(blocks) == 3
    for block in blocks:
        plan = convert(block.partition("```")[0], {"/etc/hosts": b"127.0.0.1 localhost\n"})
        assert plan.warnings == ()
        assert plan.body.containers


def test_names_from_the_file_do_not_reach_the_terminal_raw() -> None:
    assert refusal('{"containers": [{"image": "a", "\\u001b[2J\\n": 1}]}') == (
        "containers[0].\\x1b[2J\\n: no such field"
    )


def test_more_containers_for_a_pod() -> None:
    """They are as in a pod's own file, with its volumes and with what such a file says of all containers."""
    plan = convert_addition(
        "restartPolicy: always\n"
        "files: [{name: hello, content: hi}]\n"
        "containers:\n"
        "  - {name: one, image: a, volumes: ['data:/data:ro'], files: [{path: /etc/hello, filename: hello}]}\n"
        "  - {name: two, image: b, restart: never}\n",
        *("data", "other"),
    )
    one, two = plan.body.containers
    assert (one.mounts, [file.path for file in one.files]) == (
        [PodMount("data", "/data", read_only=True)],
        ["/etc/hello"],
    )
    assert [
        box.body.host_config.restart_policy.name for box in (one, two) if box.body.host_config
    ] == ["always", "no"]
    assert plan.pull == {"a": "missing", "b": "missing"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hostname: x\ncontainers: [{image: a}]", "hostname: it is fixed when a pod is made"),
        ("volumes: [{name: x}]\ncontainers: [{image: a}]", "volumes: it is fixed"),
        ("initContainers: [{image: b}]\ncontainers: [{image: a}]", "initContainers: it is fixed"),
        ("containers: [{image: a, ports: [{containerPort: 80}]}]", "containers: ports: it is fixed"),
        ("containers: [{image: a, sysctls: {a.b: '1'}}]", "containers: sysctls: it is fixed"),
        (
            "containers: [{image: a, volumes: [{volume: n, path: /n, detail: {name: n}}]}]",
            "containers: a volume with detail: it is fixed",
        ),
        ("containers: [{image: a, volumes: ['dat:/x']}]", "there is no volume 'dat'"),
        ("containers: [{image: a, comand: [b]}]", 'did you mean "command"?'),
        ("interfaces: [{}]\ncontainers: [{image: a}]", "interfaces: it is fixed"),
        ("containers: []", "it has no containers"),
        ("kind: Pod\napiVersion: v1", "must be one of Hyper's own pod files"),
        ("containers: [{image: a}]\n---\ncontainers: [{image: a}]", "with one document"),
    ],
)  # fmt: skip
def test_what_more_containers_cannot_bring(text: str, words: str) -> None:
    """What is made with the machine is refused by its name, not ignored."""
    with pytest.raises(InvalidRequest) as raised:
        convert_addition(text, "data")
    assert words in str(raised.value)
