"""Descriptions of pods: whatever the file, there is a pod or an error of ours that names a place in it."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hyper.errors import InvalidRequest
from hyper.manifest.document import documents
from hyper.manifest.draft import MAX_CONTENT
from hyper.manifest.kube_env import expanded
from hyper.manifest.plan import PodPlan
from hyper.manifest.read import plans
from hyper.types.pod import PodBody
from tests.support.manifest import Files

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 70_000), st.floats(), st.text(max_size=6),
    st.sampled_from(["a", "/x", "/x/../y", "80", "80-90", "v:/v", "64Mi", "5s", "Always", "aGk=", "$(A)", "v1", "Pod"]),
)  # fmt: skip
#: Every field of both kinds of files, so that random mappings reach far.
NAMES = st.sampled_from(
    (
        "id name hostname labels resource resources vcpu memory cpu pids containers initContainers image "
        "command args entrypoint workdir workingDir envs env value valueFrom configMapKeyRef secretKeyRef "
        "fieldRef fieldPath key ports hostPort containerPort protocol hostIP volumes volume path mountPath "
        "subPath readOnly detail driver source size options fstype files filename perm user group content "
        "encoding uri tty stdin restartPolicy ulimits soft hard sysctl portmappings portmappingWhiteLists "
        "internalNetworks dns dnsSearch extraHosts log type config services readiness liveness http tcp "
        "interval apiVersion kind metadata spec emptyDir medium sizeLimit hostPath configMap secret "
        "secretName items persistentVolumeClaim claimName nfs server volumeMounts livenessProbe "
        "readinessProbe startupProbe exec httpGet tcpSocket port httpHeaders securityContext runAsUser "
        "capabilities add limits requests hostAliases ip hostnames dnsConfig data annotations namespace "
        "affinity lifecycle optional defaultMode mode envFrom prefix secretRef configMapRef "
    ).split()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


def outcome(data: bytes, *, only_kubernetes: bool = False) -> list[PodPlan] | InvalidRequest:
    """What becomes of ``data``; everything but a pod or an error of ours goes through."""
    try:
        found = plans(data, Files({"/x": b"y"}), only_kubernetes=only_kubernetes)
    except InvalidRequest as error:
        assert error.message
        assert "\n" not in error.message
        return error
    for plan in found:
        check(plan)
    return found


def check(plan: PodPlan) -> None:
    """The body survives the wire, and nothing in it climbs."""
    sent = json.dumps(msgspec.to_builtins(plan.body))
    assert msgspec.json.decode(sent, type=PodBody) == plan.body
    assert len(sent) < 2 * MAX_CONTENT
    boxes = [*plan.body.init, *plan.body.containers]
    assert len({box.name for box in boxes}) == len(boxes)
    volumes = {volume.name for volume in plan.body.volumes}
    for box in boxes:
        assert plan.pull[box.body.image] in ("always", "missing", "never")
        for path in [file.path for file in box.files] + [mount.target for mount in box.mounts]:
            assert path.startswith("/")
            assert not {"..", ".", ""} & set(path.split("/")[1:])
        assert {mount.volume for mount in box.mounts} <= volumes
        for file in box.files:
            base64.b64decode(file.content, validate=True)


@settings(max_examples=300)
@given(
    st.binary(max_size=60)
    | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes(data: bytes) -> None:
    outcome(data)


YAMLISH = st.lists(
    st.sampled_from(
        ["a", ": ", "\n", "  ", "- ", "[", "]", "{", "}", ", ", "&x ", "*x", "<<", "!!str ", "'", '"', "|", ">", "#",
         "---\n", "...\n", "? ", "%", "\t", "0", "1", "null", "\\u0000", "containers", "image", "@", "`"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@settings(max_examples=500)
@given(YAMLISH)
def test_anything_that_looks_like_yaml(text: str) -> None:
    outcome(text.encode())


@settings(max_examples=300)
@given(VALUES)
def test_any_data_is_read_alike_from_json_and_yaml(value: Any) -> None:
    """What is JSON is YAML, too: but for letters that JSON escapes by halves, which YAML does not know."""
    try:
        text = json.dumps({"a": value}, allow_nan=False)
        found = documents(text.encode())
    except (ValueError, InvalidRequest):
        return
    assert found == [json.loads(text)]
    if re.search(r"\\ud[89ab]", text) is None:
        assert documents(b"# YAML\n" + text.encode()) == found


@settings(max_examples=500)
@given(st.dictionaries(NAMES, VALUES, max_size=6), VALUES)
def test_any_fields_of_a_pod_file(fields: dict[str, Any], box: Any) -> None:
    fields.pop("kind", None)
    fields.pop("apiVersion", None)
    boxes = [{"image": "busybox", **box}] if isinstance(box, dict) else [box]
    outcome(_text({**fields, "containers": boxes}))
    outcome(_text({"containers": boxes, "volumes": [{"name": "v"}], "files": [{"name": "f"}]}))


@settings(max_examples=500)
@given(st.dictionaries(NAMES, VALUES, max_size=6), VALUES)
def test_any_fields_of_a_manifest(fields: dict[str, Any], box: Any) -> None:
    boxes = [{"name": "a", "image": "busybox", **box}] if isinstance(box, dict) else [box]
    head = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
    outcome(_text({**head, "spec": {**fields, "containers": boxes}}), only_kubernetes=True)
    outcome(_text({**head, "spec": {"containers": boxes, "volumes": [{"name": "v"}]}}))
    outcome(_text(fields), only_kubernetes=True)


def _text(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@given(
    st.text("$()AB x", max_size=30),
    st.dictionaries(st.sampled_from("AB"), st.text("$()AB", max_size=5)),
)
def test_references_are_replaced_once(text: str, known: dict[str, str]) -> None:
    """What a variable holds is not looked at again; without dollars nothing changes."""
    made = expanded(text, known, "here")
    if "$" not in text:
        assert made == text
    if not known:
        assert made == text.replace("$$", "$")
    assert expanded(text.replace("$", "$$"), known, "here") == text
