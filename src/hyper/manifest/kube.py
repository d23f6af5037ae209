"""Kubernetes manifests: the pods of a file, with the config maps, secrets and claims beside them.

A field Kubernetes does not have is an error; one that Hyper does not have is an error that says why, or, where nothing
depends on it, a warning. docs/pods.md has the list.
Source: Kubernetes API reference v1.31, Pod, PodSpec, PodSecurityContext, PodDNSConfig.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from hyper.errors import InvalidRequest
from hyper.manifest import checks
from hyper.manifest.draft import Budget, Draft
from hyper.manifest.fields import Fields, text_of
from hyper.manifest.kube_container import (
    Needs,
    Security,
    Surroundings,
    amounts,
    container,
    identity,
)
from hyper.manifest.kube_env import Facts
from hyper.manifest.kube_objects import Metadata, Objects, add, metadata, resources
from hyper.manifest.kube_volume import Volumes
from hyper.manifest.plan import PodPlan
from hyper.units import MIB

_ONE_HOST: Final = "it has no meaning on one host; remove it"
_REFUSED: Final = {
    **dict.fromkeys(("affinity", "nodeSelector", "topologySpreadConstraints"), _ONE_HOST),
    **dict.fromkeys(
        ("schedulingGates", "readinessGates"), "nobody is there to open a gate; remove it"
    ),
    "activeDeadlineSeconds": "pods have no deadline",
    "ephemeralContainers": "a running pod is given another container with hyper pod, not by its manifest",
    "hostNetwork": "a virtual machine has a network stack of its own; publish ports with hostPort",
    "hostPID": "a virtual machine has a kernel of its own",
    "hostIPC": "a virtual machine has a kernel of its own",
    "resourceClaims": "there are no devices to claim",
    "setHostnameAsFQDN": "there is no cluster domain",
    "subdomain": "there is no cluster domain",
    "hostnameOverride": "use hostname",
}
_IGNORED: Final = ("nodeName", "overhead", "runtimeClassName", "tolerations")
#: What the API server fills in, or what asks for nothing here.
_SILENT: Final = (
    "automountServiceAccountToken enableServiceLinks hostUsers preemptionPolicy priority priorityClassName "
    "schedulerName serviceAccount"
).split()
_RESTART: Final = {"": "always", "Always": "always", "OnFailure": "on-failure", "Never": "no"}
#: What a container is given of the machine's memory if it says nothing while others do, and the kernel's own part.
_SHARE, _KERNEL = 128 * MIB, 64 * MIB
_NANO: Final = 1_000_000_000


def convert(documents: list[Any]) -> list[PodPlan]:
    """The pods of ``documents``, in their order.

    Raises:
        InvalidRequest: there is no pod, or a field is malformed or not possible here; the field is named.
    """
    notes: list[str] = []
    objects, budget = Objects(), Budget()
    found: list[Fields] = []
    for kind, item in resources(documents, notes):
        if kind == "Pod":
            found.append(item)
        else:
            add(objects, kind, item)
    if not found:
        raise InvalidRequest("it has no pod", hint="kind: Pod describes one")
    names = checks.Unique("pod")
    plans = []
    for item in found:
        mine: list[str] = []
        plan = _pod(item, objects, mine, budget)
        names.add(plan.body.name, item.at("metadata"))
        plans.append(plan)
    # Warnings about what is beside the pods go with the first.
    return [_with_notes(plan, notes if plan is plans[0] else []) for plan in plans]


def _with_notes(plan: PodPlan, notes: list[str]) -> PodPlan:
    return replace(plan, warnings=(*notes, *plan.warnings)) if notes else plan


def _pod(item: Fields, objects: Objects, notes: list[str], budget: Budget) -> PodPlan:
    item.notes = notes
    about = metadata(item)
    item.ignore(["status"], silently=True)
    spec = item.part("spec")
    if spec is None:
        raise item.wrong("spec", "it is missing")
    item.finish()
    draft = Draft(notes, budget)
    body = draft.body
    body.name = checks.pod_name(about.name, item.at("metadata"))
    body.labels = about.labels or None
    asked = spec.text("hostname")
    body.hostname = (
        checks.hostname(asked, spec.at("hostname")) if asked else checks.made_hostname(about.name)
    )
    body.share_pid = spec.boolean("shareProcessNamespace")
    _names(spec, draft)
    _containers(spec, draft, objects, about)
    _linux(spec)
    spec.refuse(_REFUSED)
    spec.ignore(_IGNORED)
    if spec.take("imagePullSecrets"):
        spec.warn("imagePullSecrets", "credentials of registries are kept with hyper login")
    spec.ignore(_SILENT, silently=True)
    spec.finish()
    return draft.plan()


def _linux(spec: Fields) -> None:
    part = spec.part("os")
    if part is None:
        return
    if part.text("name") != "linux":
        raise part.wrong("name", "containers are Linux's")
    part.finish()


def _containers(spec: Fields, draft: Draft, objects: Objects, about: Metadata) -> None:
    volumes = Volumes(draft, objects, _fs_group(spec))
    for part in spec.items("volumes"):
        volumes.add(part)
    restart = spec.text("restartPolicy")
    if restart not in _RESTART:
        raise spec.wrong(
            "restartPolicy", f"{restart[:40]!r} is none", hint="use Always, OnFailure or Never"
        )
    around = Surroundings(
        draft=draft,
        facts=Facts(objects, about, draft.budget, spec.text("serviceAccountName") or "default"),
        volumes=volumes,
        security=_security(spec, draft),
        restart=_RESTART[restart],
        grace_s=_grace(spec),
    )
    first = [container(item, around, init=True) for item in spec.items("initContainers")]
    made = [container(item, around) for item in spec.items("containers")]
    draft.body.init = [one for one, _ in first]
    draft.body.containers = [one for one, _ in made]
    _size(spec, draft, [needs for _, needs in first], [needs for _, needs in made])


def _grace(spec: Fields) -> int | None:
    name = "terminationGracePeriodSeconds"
    return spec.integer(name) if spec.given(name) else None


def _size(spec: Fields, draft: Draft, init: Iterable[Needs], needs: list[Needs]) -> None:
    """The size of the pod's machine: as the pod says; else as its containers need together, if any says a need."""
    part = spec.part("resources")
    limits = part.part("limits") if part is not None else None
    if part is not None:
        part.ignore(["requests"], silently=True)
        part.finish()
    memory, nano = amounts(limits) if limits is not None else (0, 0)
    if not memory and any(one.memory for one in needs):
        together = sum(one.memory or _SHARE for one in needs)
        memory = max(together, *(one.memory for one in init), 0) + _KERNEL
    if not nano and all(one.nano_cpus for one in needs):
        nano = sum(one.nano_cpus for one in needs)
    draft.body.memory, draft.body.cpus = memory, -(-nano // _NANO)


def _fs_group(spec: Fields) -> int | None:
    part = spec.part("securityContext")
    return part.integer("fsGroup") if part is not None and part.given("fsGroup") else None


def _security(spec: Fields, draft: Draft) -> Security:
    part = spec.part("securityContext")
    if part is None:
        return Security()
    groups = [_group(path, value) for path, value in part.elements("supplementalGroups")]
    if part.given("fsGroup"):
        groups.append(part.integer("fsGroup"))
        part.warn(
            "fsGroup",
            "containers are in the group and may read config maps and secrets; other volumes keep their owners",
        )
    for item in part.items("sysctls"):
        draft.sysctl(item.required("name"), item.text("value"), item.path)
        item.finish()
    part.ignore(
        ("fsGroupChangePolicy", "supplementalGroupsPolicy", "seLinuxChangePolicy"), silently=True
    )
    made = replace(identity(part), groups=tuple(groups))
    part.finish()
    return made


def _group(path: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise InvalidRequest(f"{path}: must be the number of a group")
    return int(value)


def _names(spec: Fields, draft: Draft) -> None:
    """The pod's resolver is set: how names are looked up."""
    body, policy = draft.body, spec.text("dnsPolicy")
    if policy not in ("", "Default", "ClusterFirst", "ClusterFirstWithHostNet", "None"):
        raise spec.wrong("dnsPolicy", f"{policy[:40]!r} is none")
    part = spec.part("dnsConfig")
    if part is not None:
        body.dns = [
            checks.address(text_of(value, path), path)
            for path, value in part.elements("nameservers")
        ] or None
        body.dns_search = part.texts("searches") or None
        options = []
        for item in part.items("options"):
            name, value = item.required("name"), item.text("value")
            options.append(f"{name}:{value}" if value else name)
            item.finish()
        body.dns_options = options or None
        part.finish()
    if policy == "None" and not body.dns:
        raise spec.wrong("dnsPolicy", "None needs nameservers in dnsConfig")
    hosts = []
    for item in spec.items("hostAliases"):
        ip = checks.address(item.required("ip"), item.at("ip"))
        hosts += [
            f"{checks.hostname(n, item.at('hostnames'))}:{ip}"
            for n in item.texts("hostnames") or ()
        ]
        item.finish()
    body.extra_hosts = hosts or None
