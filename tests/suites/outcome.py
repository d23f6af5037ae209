"""Outcomes of tests, read from JUnit reports (pytest's and Node's)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

_COMPLAINT_LIMIT = 200


@dataclass(frozen=True)
class Outcome:
    """How one test ended: ``passed``, ``failed`` or ``skipped``, and its first line of complaint."""

    test: str
    verdict: str
    complaint: str = ""
    seconds: float = 0.0


def read_report(file: str, module: str, report: bytes) -> list[Outcome]:
    """The outcomes in a JUnit report of the test file ``file``. A test is named ``FILE::CLASS::NAME``.

    ``module``: what the report's class names begin with.
    """
    found: dict[str, Outcome] = {}
    for case in ET.fromstring(report).iter("testcase"):
        owner = case.get("classname", "").removeprefix(module).strip(".")
        name = "::".join(part for part in (file, owner, case.get("name", "")) if part)
        verdict, node = _verdict(case)
        text = "" if node is None else _first_line(node)
        # A test whose tear-down fails is there twice: it failed.
        if name not in found or verdict == "failed":
            found[name] = Outcome(name, verdict, text, float(case.get("time", 0)))
    return list(found.values())


def _verdict(case: ET.Element) -> tuple[str, ET.Element | None]:
    for tag, verdict in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        node = case.find(tag)
        if node is not None:
            return verdict, node
    return "passed", None


def _first_line(node: ET.Element) -> str:
    return node.get("message", "").strip().split("\n")[0][:_COMPLAINT_LIMIT]
