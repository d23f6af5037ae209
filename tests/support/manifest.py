"""Descriptions of pods converted in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hyper.errors import InvalidRequest
from hyper.manifest.plan import PodPlan
from hyper.manifest.read import addition, plans
from hyper.types.pod import PodVolume


@dataclass
class Files:
    """``Sources`` whose files are ``content``; the description lies in ``/folder``."""

    content: dict[str, bytes] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """See ``Sources``."""
        return name if name.startswith("/") else f"/folder/{name.removeprefix('./')}"

    def read(self, name: str) -> bytes:
        """See ``Sources``."""
        path = self.path(name)
        if path not in self.content:
            raise InvalidRequest(f"cannot read {path}: No such file or directory")
        return self.content[path]


def convert(text: str, files: dict[str, bytes] | None = None) -> PodPlan:
    """The one pod that ``text`` describes."""
    (plan,) = plans(text.encode(), Files(files or {}))
    return plan


def convert_addition(text: str, *volumes: str) -> PodPlan:
    """The containers that ``text`` describes for a pod that has these volumes."""
    return addition(text.encode(), Files({}), [PodVolume(name) for name in volumes])


def cases(name: str) -> list[tuple[str, str]]:
    """Descriptions of ``tests/vectors/NAME.txt`` with what is wrong with each: a line, and indented lines below it."""
    made: list[tuple[str, str]] = []
    for line in Path(f"tests/vectors/{name}.txt").read_text().splitlines():
        if line.startswith("    "):
            text, words = made[-1]
            made[-1] = (text, "\n".join(filter(None, (words, line.strip()))))
        elif line and not line.startswith("#"):
            made.append((line, ""))
    return made


def refusal(text: str) -> str:
    """Why ``text`` is refused, its hint on a second line. Raises: AssertionError if it is not."""
    try:
        convert(text)
    except InvalidRequest as error:
        return str(error)
    raise AssertionError("it is not refused")
