"""Pages of docs/ that name things of the repository, held to what is there: links, files, sections, decisions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hyper.guest import process
from hyper.proto import limits
from hyper.proto.frame import Flag
from hyper.proto.message import EventKind, ReplyCode
from hyper.proto.record import RecordKind
from hyper.proto.request import Op

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs/decisions"
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
#: Where a page may have begun to count a path from.
ROOTS = (ROOT, ROOT / "src/hyper", ROOT / "guest/hyperstart", ROOT / "guest/hyperkernel")

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
_FILE = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.(?:c|h|json|md|patch|py|sh|toml|txt))[`:]")
_STATUS = re.compile(
    r"\*\*Status:\*\* (?:accepted|proposed|superseded by)\b.*\. \*\*Date:\*\* (\d{4}-\d\d-\d\d)\."
)


def _decisions() -> list[Path]:
    return sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_files_of_a_page_exist(page: Path) -> None:
    """What a page links to, and each file of the repository that it names by its path, is there."""
    text = page.read_text()
    missing = [link for link in _LINK.findall(text) if not (page.parent / link).exists()]
    for name in _FILE.findall(text):
        if not any((root / name).exists() for root in (*ROOTS, ROOT / "guest/hyperstart/src")):
            missing.append(name)
    assert missing == []


def test_index_of_decisions_is_complete() -> None:
    """docs/decisions/README.md has a line for each decision, with its title and its date."""
    index = (DECISIONS / "README.md").read_text()
    for path in _decisions():
        title, _, status = path.read_text().split("\n", 3)[:3]
        date = _STATUS.match(status)
        assert date is not None, f"{path.name}: its third line is no status: {status}"
        number, text = path.name[:4], title.removeprefix(f"# {path.name[:4]}: ")
        line = next((it for it in index.splitlines() if it.startswith(f"| [{number}]")), "")
        assert f"({path.name}) | {text} |" in line
        assert line.endswith(f"| {date[1]} |")


def test_decisions_cite_only_what_is_here() -> None:
    """No decision names a page of a folder beside the repository."""
    for path in _decisions():
        assert not re.search(r"shared/\w+\.md|\bfacts\.md|\bdesign \d", path.read_text()), path.name


def test_names_of_the_glossary_are_in_the_code() -> None:
    """Each `module: Name` of docs/glossary.md is defined at the top of that module."""
    found = re.findall(r"`([\w/]+\.py): (\w+)`", (ROOT / "docs/glossary.md").read_text())
    assert len(found) > 50
    missing = []
    for module, name in found:
        path = ROOT / "src/hyper" / module
        definition = rf"^(?:class|def|async def) {name}\b|^{name}\b\s*[:=]"
        if not path.exists() or not re.search(definition, path.read_text(), re.MULTILINE):
            missing.append(f"{module}: {name}")
    assert missing == []


def test_the_protocols_page_has_a_section_for_each_message() -> None:
    """docs/protocol.md has each request, event and record under its number, and each code in its table."""
    headings = [
        *(f"### {op.value} {op.name}" for op in Op),
        *(f"### EVENT {kind.value} {kind.name}" for kind in EventKind),
        *(f"#### {kind.value} {kind.name}" for kind in RecordKind),
    ]
    lines = PROTOCOL.splitlines()
    assert [line for line in headings if line not in lines] == []
    assert [code for code in ReplyCode if f"| {code.value} | {code.name} |" not in PROTOCOL] == []


def test_the_protocols_page_has_the_limits_of_the_code() -> None:
    """Each number that docs/protocol.md gives a limit is that limit's."""
    told = re.findall(r"`([A-Z_]+)` (?:\| )?=\s+(\d+)", PROTOCOL)
    known = {name: value for name, value in vars(limits).items() if name.isupper()}
    known |= {"GATHER": process.GATHER, **Flag.__members__}
    assert len(told) > 20
    assert [(name, number) for name, number in told if known[name] != int(number)] == []


def test_numbers_of_rules_are_given_once_and_in_order() -> None:
    """Rules of docs/protocol.md can be cited: each letter counts from 1."""
    counted: dict[str, int] = {}
    for letter, number in re.findall(r"^\* \*\*([A-Z])(\d+)\.\*\*", PROTOCOL, re.MULTILINE):
        counted[letter] = counted.get(letter, 0) + 1
        assert counted[letter] == int(number), f"{letter}{number}"
    assert sum(counted.values()) > 100


def test_sections_that_the_code_cites_are_in_the_protocols_page() -> None:
    """A docstring's `docs/protocol.md, "Section"` names a heading."""
    sources = [*ROOT.glob("src/hyper/**/*.py"), *ROOT.glob("guest/hyperstart/src/*.[ch]")]
    for path in sources:
        for cited in re.findall(
            r"docs/protocol\.md, ((?:\"[^\"]+\"(?: and )?)+)", path.read_text()
        ):
            for section in re.findall(r"\"([^\"]+)\"", cited):
                assert re.search(rf"^##+ {section}$", PROTOCOL, re.MULTILINE), f"{path}: {section}"


def test_lines_of_the_front_pages_can_be_read_raw() -> None:
    """Lines of these pages have at most 140 characters."""
    for name in ("README.md", "ARCHITECTURE.md", "docs/glossary.md", "docs/protocol.md"):
        long = [line for line in (ROOT / name).read_text().splitlines() if len(line) > 140]
        assert long == [], name
