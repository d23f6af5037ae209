"""A container of a Kubernetes pod.

Source: Kubernetes API reference v1.31, Container, SecurityContext, ContainerPort, ResourceRequirements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hyper.errors import InvalidRequest
from hyper.manifest import checks, quantity
from hyper.manifest.draft import Draft
from hyper.manifest.fields import Fields
from hyper.manifest.kube_env import Facts, environment, expanded
from hyper.manifest.kube_probe import probes
from hyper.manifest.kube_volume import Volumes
from hyper.manifest.plan import ALWAYS, MISSING, NEVER
from hyper.types.container import CreateBody, HostConfig, RestartPolicy
from hyper.types.pod import PodContainer

_PULL: Final = {"": None, "Always": ALWAYS, "IfNotPresent": MISSING, "Never": NEVER}
_MAX_ID: Final = 2**31 - 1
_REFUSED: Final = {
    "lifecycle": "hooks are not run; let the image's own program do it",
    "volumeDevices": "block devices are not passed on",
}
_IGNORED: Final = ("resizePolicy", "terminationMessagePath", "terminationMessagePolicy")
#: Of an init container: it runs to its end, and nobody asks how it is.
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_SECURITY_REFUSED: Final = {
    "seLinuxOptions": "the machine's kernel has no SELinux",
    "appArmorProfile": "the machine's kernel has no AppArmor",
    "windowsOptions": "containers are Linux's",
}


@dataclass(frozen=True, slots=True)
class Security:
    """The ``securityContext`` of a pod: defaults for containers that have none."""

    user: int | None = None
    group: int | None = None
    not_root: bool = False
    groups: tuple[int, ...] = ()
    seccomp: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The parts of the pod that a container's description refers to."""

    draft: Draft
    facts: Facts
    volumes: Volumes
    security: Security
    restart: str
    grace_s: int | None


@dataclass(frozen=True, slots=True)
class Needs:
    """The size of machine that ``resources`` ask for: bytes (limit, else request), billionths of CPUs (limit)."""

    memory: int = 0
    nano_cpus: int = 0


def container(
    item: Fields, around: Surroundings, *, init: bool = False
) -> tuple[PodContainer, Needs]:
    """A container of ``containers`` or ``initContainers``, and the size it needs.

    Raises:
        InvalidRequest: it is malformed, or asks for something not possible here.
    """
    draft = around.draft
    name = checks.part_name(item.required("name"), item.at("name"))
    draft.container(name, item.path)
    pull = _pull(item)
    image = draft.image(item.required("image"), item.at("image"), pull)
    variables = environment(item, around.facts)
    body = CreateBody(
        image=image,
        entrypoint=_argv(item, "command", variables, draft),
        cmd=_argv(item, "args", variables, draft),
        env=[f"{key}={value}" for key, value in variables.items()] or None,
        tty=item.boolean("tty"),
        open_stdin=item.boolean("stdin"),
        stdin_once=item.boolean("stdinOnce"),
        stop_timeout=around.grace_s,
    )
    if workdir := item.text("workingDir"):
        body.working_dir = checks.guest_path(workdir, item.at("workingDir"))
    made = PodContainer(name=name, body=body)
    named = _ports(item, draft, name)
    if init:
        item.refuse(dict.fromkeys(_PROBES, "an init container has no probes"))
    else:
        body.healthcheck, made.liveness = probes(item, named)
    host = body.host_config = HostConfig()
    _restart(item, host, around, init=init)
    _security(item, body, host, around.security)
    needs = _resources(item, host)
    for part in item.items("volumeMounts"):
        around.volumes.mount(part, made)
    item.refuse(_REFUSED)
    item.ignore(_IGNORED, silently=True)
    item.finish()
    return made, needs


def _argv(item: Fields, name: str, variables: dict[str, str], draft: Draft) -> list[str] | None:
    made = []
    for text in item.texts(name) or ():
        made.append(expanded(text, variables, item.at(name)))
        draft.budget.spend(len(made[-1]), item.at(name))
    return made or None


def _pull(item: Fields) -> str | None:
    text = item.text("imagePullPolicy")
    if text not in _PULL:
        raise item.wrong(
            "imagePullPolicy", f"{text[:40]!r} is none", hint="use Always, IfNotPresent or Never"
        )
    return _PULL[text]


def _restart(item: Fields, host: HostConfig, around: Surroundings, *, init: bool) -> None:
    own = item.text("restartPolicy")
    if init:
        if own:
            raise item.wrong(
                "restartPolicy",
                "an init container runs to its end, once",
                hint="a sidecar is one of the containers here",
            )
        host.restart_policy = RestartPolicy(name="no")
        return
    if own:
        raise item.wrong("restartPolicy", "it is the pod's", hint="set spec.restartPolicy")
    host.restart_policy = RestartPolicy(name=around.restart)


def _ports(item: Fields, draft: Draft, owner: str) -> dict[str, int]:
    """The ports of a container are added to the pod's; the result has the numbers of those that have names."""
    named: dict[str, int] = {}
    for part in item.items("ports"):
        protocol = checks.protocol(part.text("protocol") or "TCP", part.at("protocol"))
        port = part.integer("containerPort", least=1, most=65535)
        if not port:
            raise part.wrong("containerPort", "it is missing")
        host, ip, name = (
            part.integer("hostPort", most=65535),
            part.text("hostIP"),
            part.text("name"),
        )
        if ip:
            checks.address(ip, part.at("hostIP"))
        if name in named:
            raise part.wrong("name", f"there is another port {name[:40]!r}")
        if name:
            named[name] = port
        part.finish()
        draft.ports.add(
            part.path, port, protocol, owner=owner, host=str(host) if host else "", ip=ip
        )
    return named


def _resources(item: Fields, host: HostConfig) -> Needs:
    part = item.part("resources")
    if part is None:
        return Needs()
    part.refuse({"claims": "there are no devices to claim"})
    limits, requests = part.part("limits"), part.part("requests")
    part.finish()
    requested = memory = nano = 0
    if limits is not None:
        memory, nano = amounts(limits)
        host.memory, host.nano_cpus = memory, nano
    if requests is not None:
        requested, _ = amounts(requests)
    return Needs(memory or requested, nano)


def amounts(part: Fields) -> tuple[int, int]:
    """Amounts of memory in bytes and of CPUs in billionths; 0: not given.

    Raises:
        InvalidRequest: something is asked for that machines do not have.
    """
    memory, cpu = part.take("memory"), part.take("cpu")
    made = (
        0 if memory is None else quantity.size(memory, part.at("memory")),
        0 if cpu is None else quantity.nano_cpus(cpu, part.at("cpu")),
    )
    part.ignore(["ephemeral-storage"])
    part.finish()
    return made


def _security(item: Fields, body: CreateBody, host: HostConfig, pod: Security) -> None:
    part = item.part("securityContext") or item.inside({}, item.at("securityContext"))
    own = identity(part)
    user = pod.user if own.user is None else own.user
    group = pod.group if own.group is None else own.group
    if group is not None and user is None:
        raise InvalidRequest(
            f"{part.path}: runAsGroup needs runAsUser", hint="the image's user is not known here"
        )
    if (own.not_root or pod.not_root) and not user:
        what = "needs a runAsUser other than 0" if user is None else "contradicts runAsUser: 0"
        raise InvalidRequest(
            f"{part.path}: runAsNonRoot {what}", hint="the image's user is not known here"
        )
    if user is not None:
        body.user = str(user) if group is None else f"{user}:{group}"
    host.group_add = [str(number) for number in pod.groups] or None
    host.privileged = part.boolean("privileged")
    host.readonly_rootfs = part.boolean("readOnlyRootFilesystem")
    options = []
    if not part.boolean("allowPrivilegeEscalation", default=True):
        options.append("no-new-privileges")
    if (own.seccomp or pod.seccomp) == "Unconfined":
        options.append("seccomp=unconfined")
    host.security_opt = options or None
    capabilities = part.part("capabilities")
    if capabilities is not None:
        host.cap_add, host.cap_drop = capabilities.texts("add"), capabilities.texts("drop")
        capabilities.finish()
    if part.text("procMount") not in ("", "Default"):
        raise part.wrong("procMount", "must be Default")
    part.finish()


def identity(part: Fields) -> Security:
    """The part of ``securityContext`` that pods and containers have in common.

    Raises:
        InvalidRequest: a context is not possible here.
    """
    seccomp, profile = None, part.part("seccompProfile")
    if profile is not None:
        seccomp = profile.required("type")
        if seccomp not in ("RuntimeDefault", "Unconfined"):
            raise profile.wrong("type", "must be RuntimeDefault or Unconfined")
        profile.finish()
    part.refuse(_SECURITY_REFUSED)
    return Security(
        user=part.integer("runAsUser", most=_MAX_ID) if part.given("runAsUser") else None,
        group=part.integer("runAsGroup", most=_MAX_ID) if part.given("runAsGroup") else None,
        not_root=part.boolean("runAsNonRoot"),
        seccomp=seccomp,
    )
