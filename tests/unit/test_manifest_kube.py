"""Kubernetes manifests: what each field becomes, what is ignored with a warning, and what is refused by name."""

from __future__ import annotations

import base64

import pytest

from hyper.errors import InvalidRequest
from hyper.manifest.read import plans
from hyper.types.container import Healthcheck, HostConfig, PortBinding, RestartPolicy
from hyper.types.pod import EMPTY, HOST, MEMORY, VOLUME, PodBody, PodContainer, PodVolume
from tests.support.manifest import Files, cases, convert, refusal

HEAD = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {%s}}"
SECOND = 10**9


def pod(spec: str) -> str:
    return HEAD % spec


def body(spec: str, more: str = "") -> PodBody:
    return convert(f"{pod(spec)}\n{more}").body


def box(fields: str, more: str = "") -> PodContainer:
    """The one container of a pod, which has ``fields``."""
    return body(f"containers: [{{name: a, image: i, {fields}}}]", more).containers[0]


def host(fields: str) -> HostConfig:
    found = box(fields).body.host_config
    assert found is not None
    return found


CONFIG = """
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: words}, data: {one: "1", two: "2"}, binaryData: {raw: /w==}}
---
{apiVersion: v1, kind: Secret, metadata: {name: keys}, type: Opaque, data: {pass: aHVudGVyMg==}, stringData: {user: me}}
"""


def test_the_least_pod() -> None:
    plan = convert(pod("containers: [{name: a, image: i}]"))
    assert (plan.body.name, plan.body.hostname, plan.body.memory, plan.body.cpus) == (
        "web",
        "web",
        0,
        0,
    )
    assert plan.pull == {"i": "missing"}
    assert plan.warnings == ()
    (made,) = plan.body.containers
    assert made.body.host_config is not None
    assert made.body.host_config.restart_policy == RestartPolicy(name="always")


def test_commands_and_variables_refer_to_earlier_ones() -> None:
    made = box(
        "command: [sh, -c, '$(A)$$(A)$(NO)'], args: ['$(B)'], workingDir: /w/, tty: true, stdin: true,"
        "env: [{name: A, value: x}, {name: B, value: '$(A)y $(C) $$(A)'}, {name: C, value: z}, {name: D}]"
    ).body
    assert made.env == ["A=x", "B=xy $(C) $(A)", "C=z", "D="]
    assert made.entrypoint == ["sh", "-c", "x$(A)$(NO)"]
    assert made.cmd == ["xy $(C) $(A)"]
    assert (made.working_dir, made.tty, made.open_stdin) == ("/w", True, True)


def test_variables_from_objects_and_fields() -> None:
    text = HEAD.replace(
        "name: web", "name: web, labels: {tier: front}, annotations: {a/b: note}"
    ) % (
        "containers: [{name: a, image: i, envFrom: [{prefix: S_, secretRef: {name: keys}},"
        " {configMapRef: {name: no, optional: true}}], env: ["
        "{name: S_user, valueFrom: {configMapKeyRef: {name: words, key: one}}},"
        "{name: P, valueFrom: {secretKeyRef: {name: keys, key: pass}}},"
        "{name: Q, valueFrom: {secretKeyRef: {name: keys, key: nope, optional: true}}},"
        "{name: N, valueFrom: {fieldRef: {fieldPath: metadata.name}}},"
        "{name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}},"
        "{name: L, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['tier']\"}}},"
        "{name: T, valueFrom: {fieldRef: {fieldPath: \"metadata.annotations['a/b']\"}}}]}]"
    )
    made = convert(text + CONFIG).body
    assert made.labels == {"tier": "front"}
    assert sorted(made.containers[0].body.env or ()) == sorted(
        ["S_pass=hunter2", "S_user=1", "P=hunter2", "N=web", "NS=default", "L=front", "T=note"]
    )


def test_probes() -> None:
    made = box(
        "ports: [{name: http, containerPort: 8080}],"
        "readinessProbe: {httpGet: {path: /ok, port: http, httpHeaders: [{name: Host, value: x}]}},"
        "livenessProbe: {exec: {command: [test, -e, /x]}, initialDelaySeconds: 3, "
        "periodSeconds: 5, timeoutSeconds: 2, failureThreshold: 4}"
    )
    assert made.body.healthcheck == Healthcheck(
        test=["HYPER-HTTP", "http://127.0.0.1:8080/ok", "Host: x"],
        interval=10 * SECOND, timeout=SECOND, retries=3,
    )  # fmt: skip
    assert made.liveness == Healthcheck(
        test=["CMD", "test", "-e", "/x"],
        interval=5 * SECOND, timeout=2 * SECOND, start_period=3 * SECOND, retries=4,
    )  # fmt: skip


def test_a_startup_probe_gives_the_others_time() -> None:
    made = box(
        "startupProbe: {tcpSocket: {port: 80}, periodSeconds: 2, failureThreshold: 30},"
        "livenessProbe: {tcpSocket: {port: 81}, initialDelaySeconds: 1}"
    )
    assert made.body.healthcheck is None
    assert made.liveness is not None
    assert made.liveness.test == ["HYPER-TCP", "127.0.0.1:81"]
    assert (made.liveness.start_period, made.liveness.start_interval) == (61 * SECOND, 2 * SECOND)


def test_a_startup_probe_alone_says_when_it_is_ready() -> None:
    plan = convert(pod("containers: [{name: a, image: i, startupProbe: {tcpSocket: {port: 80}}}]"))
    check = plan.body.containers[0].body.healthcheck
    assert check is not None
    assert check.start_period == 30 * SECOND
    assert "startupProbe" in plan.warnings[0]


def test_volumes() -> None:
    claim = (
        "\n---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, "
        "spec: {accessModes: [%s], resources: {requests: {storage: %s}}}}"
    )
    made = body(
        "volumes: [{name: e, emptyDir: {}}, {name: m, emptyDir: {medium: Memory, sizeLimit: 8Mi}}, {name: n},"
        "{name: h, hostPath: {path: /srv, type: DirectoryOrCreate}}, {name: p, persistentVolumeClaim: {claimName: c}},"
        "{name: x, nfs: {server: s, path: /e, readOnly: true}}], containers: [{name: a, image: i, volumeMounts: ["
        "{name: e, mountPath: /e, subPath: x}, {name: p, mountPath: /p, readOnly: true}]}]",
        claim % ("ReadWriteOnce", "1500Ki"),
    )
    e, m, n, h, p, x = made.volumes
    assert (e.kind, n.kind) == (EMPTY, EMPTY)
    assert m == PodVolume(name="m", kind=MEMORY, size_bytes=8 * 2**20)
    assert h == PodVolume(name="h", kind=HOST, source="/srv", create=True)
    assert p == PodVolume(
        name="p", kind=VOLUME, source="c", create=True, driver_opts={"size": "2m"}
    )
    assert (x.kind, x.driver_opts) == (VOLUME, {"type": "nfs", "o": "addr=s,ro", "device": ":/e"})
    first, second = made.containers[0].mounts
    assert (first.volume, first.target, first.sub_path) == ("e", "/e", "x")
    assert (second.volume, second.read_only) == ("p", True)
    shared = body(
        "volumes: [{name: p, persistentVolumeClaim: {claimName: c}}], containers: [{name: a, image: i}]",
        claim % ("ReadWriteMany", "1Gi"),
    )
    assert shared.volumes[0].driver_opts == {"type": "directory"}


def test_config_maps_and_secrets_become_files() -> None:
    made = box("volumeMounts: []")
    assert made.files == []
    found = body(
        "volumes: [{name: all, configMap: {name: words, defaultMode: 0600}},"
        "{name: some, secret: {secretName: keys, items: [{key: pass, path: in/pw, mode: 256}]}},"
        "{name: none, configMap: {name: nope, optional: true}}],"
        "containers: [{name: a, image: i, volumeMounts: [{name: all, mountPath: /all}, {name: some, mountPath: /s},"
        "{name: none, mountPath: /n}, {name: all, mountPath: /etc/one.conf, subPath: one}]}]",
        CONFIG,
    )
    # As the kubelet does it: an empty directory for what is optional and has nothing.
    (nothing,) = found.volumes
    (mount,) = found.containers[0].mounts
    assert (nothing.name, nothing.kind) == ("none", "memory")
    assert (mount.volume, mount.target, mount.read_only) == ("none", "/n", True)
    files = {
        file.path: (base64.b64decode(file.content), file.mode) for file in found.containers[0].files
    }
    assert files == {
        "/all/one": (b"1", 0o600),
        "/all/two": (b"2", 0o600),
        "/all/raw": (b"\xff", 0o600),
        "/s/in/pw": (b"hunter2", 0o400),
        "/etc/one.conf": (b"1", 0o600),
    }


def test_security() -> None:
    made = body(
        "securityContext: {runAsUser: 1000, runAsGroup: 50, supplementalGroups: [7], runAsNonRoot: true,"
        " sysctls: [{name: net.core.somaxconn, value: '1'}], seccompProfile: {type: Unconfined}},"
        "containers: [{name: a, image: i}, {name: b, image: i, securityContext: {"
        "runAsUser: 2, readOnlyRootFilesystem: true,"
        " privileged: true, allowPrivilegeEscalation: false, capabilities: {add: [NET_ADMIN], drop: [ALL]},"
        " seccompProfile: {type: RuntimeDefault}}}]"
    )
    assert made.sysctls == {"net.core.somaxconn": "1"}
    first, second = (one.body.host_config for one in made.containers)
    assert first is not None
    assert second is not None
    assert [one.body.user for one in made.containers] == ["1000:50", "2:50"]
    assert (first.group_add, first.security_opt) == (["7"], ["seccomp=unconfined"])
    assert (second.readonly_rootfs, second.privileged, second.security_opt) == (
        True,
        True,
        ["no-new-privileges"],
    )
    assert (second.cap_add, second.cap_drop) == (["NET_ADMIN"], ["ALL"])


def test_the_group_of_volumes_is_joined_with_a_warning() -> None:
    plan = convert(pod("securityContext: {fsGroup: 5}, containers: [{name: a, image: i}]"))
    made = plan.body.containers[0].body.host_config
    assert made is not None
    assert made.group_add == ["5"]
    assert "fsGroup" in plan.warnings[0]


MIB = 2**20


@pytest.mark.parametrize(
    ("resources", "memory", "cpus"),
    [
        (["{}", "{}"], 0, 0),
        (["{limits: {memory: 100Mi, cpu: 500m}}", "{limits: {memory: 50Mi, cpu: 0.7}}"], 214 * MIB, 2),
        (["{limits: {memory: 100Mi}}", "{}"], 292 * MIB, 0),
        (["{requests: {memory: 10Mi, cpu: 1}}", "{limits: {cpu: 1}}"], 202 * MIB, 0),
    ],
)  # fmt: skip
def test_the_machine_is_as_large_as_its_containers_need(
    resources: list[str], memory: int, cpus: int
) -> None:
    boxes = ", ".join(f"{{name: c{n}, image: i, resources: {r}}}" for n, r in enumerate(resources))
    made = body(f"containers: [{boxes}]")
    assert (made.memory, made.cpus) == (memory, cpus)


def test_a_pod_may_say_its_size_itself() -> None:
    made = body(
        "resources: {limits: {memory: 1Gi, cpu: 1500m}}, "
        "containers: [{name: a, image: i, resources: {limits: {memory: 9Mi, cpu: 1}}}]"
    )
    assert (made.memory, made.cpus) == (1024 * MIB, 2)
    found = made.containers[0].body.host_config
    assert found is not None
    assert (found.memory, found.nano_cpus) == (9 * MIB, 1_000_000_000)


def test_names_ports_and_ends() -> None:
    made = body(
        "hostname: h, shareProcessNamespace: true, terminationGracePeriodSeconds: 0, restartPolicy: OnFailure,"
        "hostAliases: [{ip: 1.2.3.4, hostnames: [a, b.c]}], dnsPolicy: None,"
        "dnsConfig: {nameservers: [9.9.9.9], searches: [x.y], options: [{name: ndots, value: '2'}, {name: edns0}]},"
        "initContainers: [{name: first, image: j, imagePullPolicy: Always}],"
        "containers: [{name: a, image: i, ports: [{containerPort: 80, hostPort: 8080, hostIP: 127.0.0.1}, "
        "{containerPort: 53, protocol: UDP}]}]"
    )
    assert (made.hostname, made.share_pid) == ("h", True)
    assert made.extra_hosts == ["a:1.2.3.4", "b.c:1.2.3.4"]
    assert (made.dns, made.dns_search, made.dns_options) == (
        ["9.9.9.9"],
        ["x.y"],
        ["ndots:2", "edns0"],
    )
    assert made.port_bindings == {"80/tcp": [PortBinding(host_ip="127.0.0.1", host_port="8080")]}
    assert set(made.exposed_ports or ()) == {"80/tcp", "53/udp"}
    (first,), (second,) = made.init, made.containers
    assert first.body.host_config is not None
    assert second.body.host_config is not None
    assert (
        first.body.host_config.restart_policy.name,
        second.body.host_config.restart_policy.name,
    ) == ("no", "on-failure")
    assert (first.body.stop_timeout, second.body.stop_timeout) == (0, 0)


def test_what_kubectl_prints_can_be_played() -> None:
    """What the API server fills in asks for nothing; only what may matter to somebody is warned about."""
    text = """
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  uid: 8a
  resourceVersion: "12"
  creationTimestamp: "2026-01-01T00:00:00Z"
  managedFields: [{manager: kubectl}]
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
spec:
  containers:
    - {name: a, image: i, resources: {}, imagePullPolicy: Always,
       terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File}
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  nodeName: n1
  preemptionPolicy: PreemptLowerPriority
  priority: 0
  restartPolicy: Always
  schedulerName: default-scheduler
  securityContext: {}
  serviceAccount: default
  serviceAccountName: default
  terminationGracePeriodSeconds: 30
  tolerations: [{key: x, operator: Exists}]
status: {phase: Running}
"""
    plan = convert(text)
    assert [warning.partition(":")[0] for warning in plan.warnings] == [
        "metadata.namespace", "spec.nodeName", "spec.tolerations",
    ]  # fmt: skip
    assert plan.pull == {"i": "always"}


def test_a_list_and_several_pods() -> None:
    """Objects of any place in the file are known to every pod; pods come in the file's order."""
    text = (
        "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: one}, spec: {containers: ["
        "{name: a, image: i, envFrom: [{configMapRef: {name: words}}]}]}}]}\n---\n"
        + pod("containers: [{name: a, image: i}]")
        + CONFIG.replace("raw: /w==", "")
    )
    found = plans(text.encode(), Files(), only_kubernetes=True)
    assert [plan.body.name for plan in found] == ["one", "web"]
    assert found[0].body.containers[0].body.env == ["one=1", "two=2"]


ONE = "containers: [{name: a, image: i}]"
SPECS, FIELDS = cases("kube-pods"), cases("kube-containers")


@pytest.mark.parametrize(("spec", "words"), SPECS, ids=[words for _, words in SPECS])
def test_what_is_refused_of_a_pod(spec: str, words: str) -> None:
    assert words in refusal(pod(spec))


@pytest.mark.parametrize(("fields", "words"), FIELDS, ids=[words for _, words in FIELDS])
def test_what_is_refused_of_a_container(fields: str, words: str) -> None:
    assert words in refusal(pod(f"containers: [{{name: a, image: i, {fields}}}]"))


PODS = pod(ONE)
FILES = [
    ("{kind: Pod}", "apiVersion: it is missing"),
    ("{apiVersion: v1, kind: Pod}", "metadata: it is missing"),
    ("{apiVersion: v1, kind: Pod, metadata: {}}", "metadata.name: it is missing"),
    ("{apiVersion: v1, kind: Pod, metadata: {name: a1}}", "spec: it is missing"),
    ("{apiVersion: v1, kind: Pod, metadata: {generateName: x}}", "generateName: names are not made up"),
    ("{apiVersion: v1beta1, kind: Pod}", "apiVersion: must be v1, not 'v1beta1'"),
    ("{apiVersion: apps/v1, kind: Deployment}", "kind: Deployment is not supported\ntake the pod out of its template"),
    (f"{PODS}\n---\n{{apiVersion: v1, kind: Service}}", "documents[1].kind: Service is not supported\nuse Pod"),
    (f"{PODS}\n---\n{PODS}", "the pod web is that of documents[0].metadata, too"),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}", "it has no pod"),
    (f"{PODS}{CONFIG}{CONFIG}", "there is another one of its kind called 'words'"),
    (f"{PODS}{CONFIG.replace('aHVudGVyMg==', 'aHV')}", "data.pass: it is not base64"),
    (f"{PODS}{CONFIG.replace('one:', '../one:')}", "'../one' is no key"),
    (f"{PODS}{CONFIG.replace('raw:', 'one:')}", "the key one is in data, too"),
    (f"{PODS}\n---\nx: 1", "documents[1].kind: it is missing"),
    ("{apiVersion: v1, kind: List, items: [" * 6 + "]}" * 6, "too many lists"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), FILES, ids=[words for _, words in FILES])
def test_what_is_refused_of_a_file(text: str, words: str) -> None:
    assert words in refusal(text)


def test_a_variable_that_is_no_text_is_refused() -> None:
    """A secret's; binaryData of a config map is never in variables, as in Kubernetes."""
    binary = CONFIG.replace("aHVudGVyMg==", "/w==")
    text = pod("containers: [{name: a, image: i, envFrom: [{secretRef: {name: keys}}]}]") + binary
    assert "pass: it is no text" in refusal(text)
    made = body(
        "containers: [{name: a, image: i, envFrom: [{configMapRef: {name: words}}]}]", CONFIG
    )
    assert made.containers[0].body.env == ["one=1", "two=2"]
    key = "env: [{name: X, valueFrom: {configMapKeyRef: {name: words, key: raw}}}]"
    assert "there is no key 'raw'" in refusal(
        pod(f"containers: [{{name: a, image: i, {key}}}]") + CONFIG
    )


def test_who_may_read_config_maps_and_secrets() -> None:
    """With fsGroup that group, whatever the mode; else who the mode says, of root's."""
    volumes = (
        "volumes: [{name: k, secret: {secretName: keys, defaultMode: 256}}],"
        "containers: [{name: a, image: i, volumeMounts: [{name: k, mountPath: /k}]}]"
    )
    for security, expected in (("{fsGroup: 7}", (0o440, 0, 7)), ("{}", (0o400, 0, 0))):
        made = body(f"securityContext: {security}, {volumes}", CONFIG)
        assert {(one.mode, one.uid, one.gid) for one in made.containers[0].files} == {expected}


def test_variables_that_grow_from_each_other_are_bounded() -> None:
    """Each twice the one before: the bound is reached long before the memory."""
    env = ["{name: A0, value: xxxxxxxxxx}"]
    env += [f"{{name: A{n}, value: '$(A{n - 1})$(A{n - 1})'}}" for n in range(1, 60)]
    assert "longer than" in refusal(
        pod(f"containers: [{{name: a, image: i, env: [{', '.join(env)}]}}]")
    )


def test_only_kubernetes_is_played() -> None:
    with pytest.raises(InvalidRequest, match="it is no Kubernetes manifest"):
        plans(b"containers: [{image: a}]", Files(), only_kubernetes=True)
