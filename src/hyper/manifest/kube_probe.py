"""Probes of a Kubernetes container as health checks.

Source: Kubernetes API reference v1.31, Probe with its defaults; "Configure Liveness, Readiness and Startup Probes".
"""

from __future__ import annotations

from typing import Final

from hyper.errors import InvalidRequest
from hyper.manifest import probe
from hyper.manifest.fields import Fields
from hyper.manifest.probe import SECOND_NS
from hyper.types.container import Healthcheck

_PERIOD_S, _TIMEOUT_S, _FAILURES = 10, 1, 3
_MOST_S: Final = 10**7
_LOCAL: Final = ("", "127.0.0.1", "localhost")


def probes(item: Fields, ports: dict[str, int]) -> tuple[Healthcheck | None, Healthcheck | None]:
    """Readiness and liveness of a container; ``ports``: its own by their names.

    While it may still be starting by its startup probe, failures of neither count.

    Raises:
        InvalidRequest: a probe is malformed, or not possible here.
    """
    readiness = _probe(item.part("readinessProbe"), ports)
    liveness = _probe(item.part("livenessProbe"), ports)
    startup = _probe(item.part("startupProbe"), ports)
    if startup is None:
        return readiness, liveness
    window = startup.start_period + startup.interval * startup.retries
    if readiness is None and liveness is None:
        item.warn(
            "startupProbe", "it says when the container is ready; nothing ends it if it never is"
        )
        startup.start_period, startup.start_interval = window, startup.interval
        return startup, None
    for check in filter(None, (readiness, liveness)):
        check.start_period += window
        check.start_interval = startup.interval
    return readiness, liveness


def _probe(part: Fields | None, ports: dict[str, int]) -> Healthcheck | None:
    if part is None:
        return None
    made = Healthcheck(
        test=_test(part, ports),
        interval=_seconds(part, "periodSeconds", _PERIOD_S),
        timeout=_seconds(part, "timeoutSeconds", _TIMEOUT_S),
        start_period=part.integer("initialDelaySeconds", most=_MOST_S) * SECOND_NS,
        retries=part.integer("failureThreshold", default=_FAILURES, least=1, most=_MOST_S),
    )
    if part.integer("successThreshold", default=1) != 1:
        raise part.wrong("successThreshold", "must be 1: one success is enough here")
    part.ignore(["terminationGracePeriodSeconds"])
    part.finish()
    return made


def _seconds(part: Fields, name: str, default: int) -> int:
    return part.integer(name, default=default, least=1, most=_MOST_S) * SECOND_NS


def _test(part: Fields, ports: dict[str, int]) -> list[str]:
    part.refuse({"grpc": "use exec, httpGet or tcpSocket"})
    kind = part.one_of("exec", "httpGet", "tcpSocket")
    action = part.part(kind) if kind else None
    if action is None:
        raise InvalidRequest(f"{part.path}: must have one of exec, httpGet and tcpSocket")
    if kind == "exec":
        test = probe.command_test(action.texts("command"), action.path)
    elif kind == "tcpSocket":
        _here(action)
        test = probe.tcp_test(_port(action, ports))
    else:
        test = _http(action, ports)
    action.finish()
    return test


def _http(action: Fields, ports: dict[str, int]) -> list[str]:
    _here(action)
    if action.text("scheme") not in ("", "HTTP"):
        raise action.wrong(
            "scheme", "must be HTTP", hint="for HTTPS use exec with a client of the image"
        )
    headers = []
    for header in action.items("httpHeaders"):
        headers.append((header.required("name"), header.text("value")))
        header.finish()
    target = action.text("path") or "/"
    return probe.http_test(_port(action, ports), target, headers, action.path)


def _here(action: Fields) -> None:
    if action.text("host") not in _LOCAL:
        raise action.wrong("host", "a probe asks the container itself", hint="remove it")


def _port(action: Fields, ports: dict[str, int]) -> int:
    value = action.take("port")
    if isinstance(value, str) and not value.isdecimal():
        if value not in ports:
            known = ", ".join(sorted(ports)[:10]) or "none"
            raise action.wrong(
                "port", f"there is no port {value[:40]!r}", hint=f"the container's ports: {known}"
            )
        return ports[value]
    if isinstance(value, str):
        raise action.wrong("port", "must be a number, or the name of a port", hint="without quotes")
    if value is None:
        raise action.wrong("port", "it is missing")
    return action.integer("port", least=1, most=65535)
