"""A container of a pod file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from hyper.errors import InvalidRequest
from hyper.manifest import checks, probe
from hyper.manifest.draft import Draft, Sources, add_file, add_mount
from hyper.manifest.fields import Fields, shown, text_of
from hyper.manifest.hyper_files import container_file
from hyper.manifest.hyper_volume import volume
from hyper.manifest.plan import ALWAYS, MISSING, NEVER
from hyper.types.container import (
    CreateBody,
    Healthcheck,
    HostConfig,
    LogConfig,
    RestartPolicy,
    Ulimit,
)
from hyper.types.pod import PodContainer, PodMount
from hyper.units import MIB, NANOSECONDS, parse_duration_s

_RESTART: Final = {
    **dict.fromkeys(("", "no", "never"), "no"),
    **dict.fromkeys(("always",), "always"),
    **dict.fromkeys(("onfailure", "on-failure"), "on-failure"),
    **dict.fromkeys(("unlessstopped", "unless-stopped"), "unless-stopped"),
}
_PULL: Final = {
    "always": ALWAYS,
    "missing": MISSING,
    "ifnotpresent": MISSING,
    "never": NEVER,
}
_REFUSED: Final = {
    "id": "ids are hyperd's to give",
    "logPath": "logs are kept where hyperd keeps them",
}
_UNLIMITED: Final = -1
_MAX_LIMIT: Final = 2**63 - 1
_NANO_CPUS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The parts of a pod that its containers refer to: contents of files by name, and defaults for their fields."""

    files: dict[str, bytes]
    tty: bool
    restart: str
    log: LogConfig | None
    sources: Sources


def container(
    item: Fields, draft: Draft, around: Surroundings, *, init: bool = False
) -> PodContainer:
    """A container of ``containers``, or of ``initContainers``, which run once.

    Raises:
        InvalidRequest: it is malformed or contradicts itself; the field is named.
    """
    pull = (
        _choice(item, _PULL, "imagePullPolicy", "pull")
        if item.given("imagePullPolicy", "pull")
        else None
    )
    image = draft.image(item.required("image"), item.at("image"), pull)
    name = _name(item, image, draft)
    body = _body(item, image, around)
    words = (*(body.env or ()), *(body.cmd or ()), *(body.entrypoint or ()))
    draft.budget.spend(sum(map(len, words)), item.path)
    made = PodContainer(name=name, body=body, liveness=_probe(item, "liveness"))
    host = body.host_config = _host(item, around)
    _user(item, body, host)
    _restart(item, host, around, init=init)
    _limits(item, host)
    for key, value in item.table("sysctl", "sysctls").items():
        draft.sysctl(key, value, item.at("sysctl"))
    _ports(item, draft, name)
    for path, value in item.elements("volumes"):
        _mount(item.inside(_mount_fields(path, value), path), made, draft, around.sources)
    for part in item.items("files"):
        file = container_file(part, around.files, around.sources)
        add_file(made, file, part.at("path"), draft.budget)
    item.refuse(_REFUSED)
    item.finish()
    return made


def _name(item: Fields, image: str, draft: Draft) -> str:
    """The container's name; one that has none is called after its image."""
    asked = item.text("name")
    if asked:
        name = checks.part_name(asked, item.at("name"))
    else:
        base = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
        base = name = re.sub(r"[^a-zA-Z0-9_.-]", "-", base).lstrip("_.-")[:60] or "container"
        number = 2
        while name in draft.names:
            name, number = f"{base}-{number}", number + 1
    draft.container(name, item.path)
    return name


def _body(item: Fields, image: str, around: Surroundings) -> CreateBody:
    workdir = item.text("workdir", "workingDir")
    if workdir:
        checks.guest_path(workdir, item.at("workdir"))
    return CreateBody(
        image=image,
        cmd=item.texts("command") or None,
        entrypoint=item.texts("entrypoint") or None,
        working_dir=workdir,
        env=_environment(item) or None,
        tty=item.boolean("tty", default=around.tty),
        open_stdin=item.boolean("stdin"),
        labels=item.table("labels") or None,
        stop_signal=item.text("stopSignal") or None,
        stop_timeout=item.integer("stopTimeout") if item.given("stopTimeout") else None,
        healthcheck=_probe(item, "readiness", "healthcheck"),
    )


def _host(item: Fields, around: Surroundings) -> HostConfig:
    return HostConfig(
        log_config=around.log or LogConfig(),
        cap_add=item.texts("capAdd"),
        cap_drop=item.texts("capDrop"),
        privileged=item.boolean("privileged"),
        readonly_rootfs=item.boolean("readOnly", "readOnlyRootfs"),
        ulimits=[_ulimit(part) for part in item.items("ulimits")] or None,
    )


def _environment(item: Fields) -> list[str]:
    """``envs`` in the original's way, or ``env`` as a mapping or a list of NAME=VALUE."""
    made: dict[str, str] = {}
    name = item.given("envs", "env")
    if name is None:
        return []
    value = item.take(name)
    if isinstance(value, dict):
        made = item.table(name)
    for path, entry in item.elements(name) if not isinstance(value, dict) else ():
        key, text = _variable(item, path, entry)
        if key in made:
            raise InvalidRequest(f"{path}: the variable {key[:80]} is there twice")
        made[key] = text
    for key in made:
        checks.variable(key, item.at(name))
    return [f"{key}={text}" for key, text in made.items()]


def _variable(item: Fields, path: str, entry: object) -> tuple[str, str]:
    if isinstance(entry, dict):
        part = item.inside(entry, path)
        made = part.required("env", "name"), part.text("value")
        part.finish()
        return made
    key, equals, value = text_of(entry, path).partition("=")
    if not equals:
        raise InvalidRequest(f"{path}: must be NAME=VALUE")
    return key, value


def _user(item: Fields, body: CreateBody, host: HostConfig) -> None:
    """``user``: a name or number, ``user:group``, or the original's name, group, additionalGroups."""
    value = item.take("user")
    if isinstance(value, dict):
        part = item.inside(value, item.at("user"))
        name, group = part.text("name"), part.text("group")
        host.group_add = part.texts("additionalGroups") or None
        part.finish()
        if group and not name:
            raise part.wrong("group", "there is no user with it")
        body.user = f"{name}:{group}" if group else name
    elif isinstance(value, int) and not isinstance(value, bool):
        body.user = str(int(value))
    elif value is not None:
        body.user = text_of(value, item.at("user"))


def _restart(item: Fields, host: HostConfig, around: Surroundings, *, init: bool) -> None:
    field = item.given("restartPolicy", "restart")
    text = item.text(field) if field else around.restart
    word, colon, count = text.partition(":")
    name = _RESTART.get(word.lower())
    if name is None or (colon and (name != "on-failure" or not re.fullmatch("[0-9]{1,6}", count))):
        path = item.at(field) if field else "restartPolicy"
        raise InvalidRequest(
            f"{path}: {text[:40]!r} is no policy",
            hint="use never, always, unless-stopped, onFailure or onFailure:N",
        )
    if init:
        if field and name != "no":
            raise item.wrong(field, "an init container runs once")
        name, count = "no", ""
    host.restart_policy = RestartPolicy(name=name, maximum_retry_count=int(count or 0))


def _limits(item: Fields, host: HostConfig) -> None:
    part = item.part("resource", "resources")
    if part is None:
        return
    cpus = part.take("vcpu", "cpus")
    if cpus is not None:
        if isinstance(cpus, bool) or not isinstance(cpus, (int, float)) or not 0 < cpus <= 1024:
            raise part.wrong("vcpu", f"{shown(cpus)} is no number of CPUs")
        host.nano_cpus = round(cpus * _NANO_CPUS)
    host.memory = part.integer("memory", most=2**24) * MIB
    host.pids_limit = part.integer("pids") or None
    part.finish()


def _ulimit(part: Fields) -> Ulimit:
    most = {"least": _UNLIMITED, "most": _MAX_LIMIT}
    name = part.required("name")
    soft = part.integer("soft", default=part.integer("hard", **most), **most)
    hard = part.integer("hard", default=soft, **most)
    part.finish()
    if 0 <= hard < soft:
        raise part.wrong("soft", "the soft limit is above the hard one")
    return Ulimit(name=name, soft=soft, hard=hard)


def _ports(item: Fields, draft: Draft, owner: str) -> None:
    for part in item.items("ports"):
        protocol = checks.protocol(part.text("protocol") or "tcp", part.at("protocol"))
        port = part.integer("containerPort", least=1, most=65535)
        if not port:
            raise part.wrong("containerPort", "it is missing")
        host, ip = part.integer("hostPort", most=65535), part.text("hostIP")
        if ip:
            checks.address(ip, part.at("hostIP"))
        part.text("name")
        part.refuse({"servicePort": "it never led anywhere; the pod's field services says it all"})
        part.finish()
        draft.ports.add(
            part.path, port, protocol, owner=owner, host=str(host) if host else "", ip=ip
        )


def _mount_fields(path: str, value: object) -> Any:
    """``name:/path[:ro]`` taken apart; a mapping as it is."""
    if not isinstance(value, str):
        return value
    name, colon, rest = value.partition(":")
    target, option, mode = rest.partition(":")
    if not colon or mode not in ("", "ro", "rw") or (option and not mode):
        raise InvalidRequest(f"{path}: must be VOLUME:/PATH[:ro]")
    return {"volume": name, "path": target, "readOnly": mode == "ro"}


def _mount(part: Fields, made: PodContainer, draft: Draft, sources: Sources) -> None:
    name, detail = part.text("volume", "name"), part.part("detail")
    if detail is not None:
        kept = volume(detail, sources)
        name = name or kept.name
        if draft.volumes.setdefault(kept.name, kept) != kept or name != kept.name:
            raise part.wrong("detail", f"the volume {kept.name} is another one elsewhere")
    if name not in draft.volumes:
        known = ", ".join(sorted(draft.volumes)[:10]) or "none"
        raise part.wrong(
            "volume", f"there is no volume {name[:80]!r}", hint=f"the pod's volumes: {known}"
        )
    inside = part.text("subPath")
    mount = PodMount(
        volume=name,
        target=part.required("path", "mountPath"),
        read_only=part.boolean("readOnly"),
        sub_path=checks.inner_path(inside, part.at("subPath")) if inside else "",
    )
    add_mount(made, mount, part, part.given("path", "mountPath") or "path")
    part.finish()


def _probe(item: Fields, *names: str) -> Healthcheck | None:
    part = item.part(*names)
    if part is None:
        return None
    made = Healthcheck(
        test=_test(part),
        interval=_duration(part, "interval"),
        timeout=_duration(part, "timeout"),
        start_period=_duration(part, "startPeriod"),
        retries=part.integer("retries", most=1000),
    )
    part.finish()
    return made


def _test(part: Fields) -> list[str]:
    match part.one_of("command", "http", "tcp"):
        case "command":
            return probe.command_test(part.texts("command"), part.at("command"))
        case "tcp":
            return probe.tcp_test(part.integer("tcp", least=1, most=65535))
    http = part.part("http")
    if http is None:
        raise InvalidRequest(f"{part.path}: must have one of command, http and tcp")
    port, headers = http.integer("port", default=80, least=1, most=65535), http.table("headers")
    target = http.text("path", default="/")
    http.finish()
    return probe.http_test(port, target, headers.items(), http.path)


def _duration(part: Fields, name: str) -> int:
    """A duration in nanoseconds, from seconds as a number or a text like ``1m30s``."""
    value = part.take(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return part.integer(name, most=10**9) * NANOSECONDS
    if value is None:
        return 0
    try:
        seconds = parse_duration_s(text_of(value, part.at(name)))
    except ValueError as error:
        raise part.wrong(name, str(error)[:100]) from None
    if not 0 <= seconds <= 10**9:
        raise part.wrong(name, "that is too long")
    return round(seconds * NANOSECONDS)


def _choice(item: Fields, known: dict[str, str], *names: str) -> str:
    text = item.text(*names)
    made = known.get(text.lower())
    if made is None:
        field = item.given(*names) or names[0]
        raise item.wrong(field, f"{text[:40]!r} must be one of {', '.join(known)}")
    return made
