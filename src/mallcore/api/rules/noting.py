"""Migration notes: what they say, and how they look as Markdown, as JSON and as an Atom feed. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any
from xml.etree import ElementTree

MEDIA_TYPES: Mapping[str, str] = {
    "markdown": "text/markdown; charset=utf-8",
    "json": "application/json",
    "atom": "application/atom+xml; charset=utf-8",
}
_CAMEL = (
    "Fields and parameters are named as in JSON; in GraphQL `created_at` is `createdAt`, and a value `done` is `DONE`."
)
_ATOM = "http://www.w3.org/2005/Atom"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TICKS = re.compile(r"`+")
_CODE = re.compile(r"(`+)(.+?)\1(?!`)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Concerned:
    """An operation that a change concerns, as it was reached before and is reached after. Nothing: it is not there."""

    operation: str
    parts: tuple[str, ...] = ()
    """What of it: ``parameters``, ``result``, ``path``, or the operation itself."""
    before: str | None = None
    after: str | None = None
    graphql: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A payload before a change, and what the conversion made of it."""

    subject: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Note:
    """One change: what, why, who is concerned, and how data look before and after."""

    version: str
    change: str
    title: str
    text: str
    subjects: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    """A sentence for each field or operation that is different."""
    operations: tuple[Concerned, ...] = ()
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Notes:
    """All that changed from one version to another, the oldest change first."""

    since: str
    until: str
    notes: tuple[Note, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The notes as plain data."""
        return asdict(self)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Notes:
        """The notes again, from plain data."""
        return cls(found["since"], found["until"], tuple(map(_note, found["notes"])))


def _note(found: Mapping[str, Any]) -> Note:
    operations = tuple(Concerned(**{**one, "parts": tuple(one["parts"])}) for one in found["operations"])
    examples = tuple(Example(**one) for one in found["examples"])
    lists = {name: tuple(found[name]) for name in ("subjects", "fields")}
    return Note(**{**found, **lists, "operations": operations, "examples": examples})


def title_of(name: str) -> str:
    """The name of a change as words.

    >>> title_of("PagesSayWhatIsNext"), title_of("URLsAreWhole")
    ('Pages say what is next', 'URLs are whole')
    """
    words = re.findall(r"[A-Z]{2,}s?(?=[A-Z]|$)|[A-Z][^A-Z]*|[^A-Z]+", name.replace("_", " "))
    kept = [word if len(stem := word.rstrip("s")) > 1 and stem.isupper() else word.lower() for word in words]
    text = re.sub(r"\s+", " ", " ".join(kept)).strip()
    return text[:1].upper() + text[1:]


def code(text: str) -> str:
    """A text as Markdown's code, whatever backticks it has.

    >>> code("a"), code("a`b")
    ('`a`', '``a`b``')
    """
    flat = " ".join(text.split())
    longest = max(map(len, _TICKS.findall(flat)), default=0)
    ticks, space = "`" * (longest + 1), " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{ticks}{space}{flat}{space}{ticks}"


# --- Markdown


def markdown(notes: Notes) -> str:
    """The notes as Markdown."""
    lines = [f"# From {notes.since} to {notes.until}", ""]
    if not notes.notes:
        lines += ["Nothing that breaks anybody changed.", ""]
    if any(each.graphql for one in notes.notes for each in one.operations):
        lines += [_CAMEL, ""]
    version = ""
    for one in notes.notes:
        if one.version != version:
            version = one.version
            lines += [f"## {version}", ""]
        lines += _section(one)
    return "\n".join(lines)


def _section(one: Note) -> Iterator[str]:
    yield from (f"### {_safe(one.title)}", "", _safe(one.text), "")
    if one.fields:
        yield from (*(f"- {_safe(line)}" for line in one.fields), "")
    if one.operations:
        yield from ("| operation | what | before | after | GraphQL |", "|---|---|---|---|---|")
        yield from (_row(each) for each in one.operations)
        yield ""
    for example in one.examples:
        for word, value in (("Before", example.before), ("After", example.after)):
            yield from (f"{word}, {_cell(example.subject)}:", "", "```json", _pretty(value), "```", "")


def _row(one: Concerned) -> str:
    cells = (one.operation, None, one.before, one.after, one.graphql)
    shown = [_cell(each) for each in cells]
    shown[1] = ", ".join(one.parts)
    return f"| {' | '.join(shown)} |"


def _cell(text: str | None) -> str:
    return "-" if text is None else code(text).replace("|", "\\|")


def _safe(text: str) -> str:
    """Words of a docstring as Markdown: what is code stays so, and nothing is taken for HTML."""
    found, end = [], 0
    text = text.replace("``", "`")
    for match in _CODE.finditer(text):
        found += [escape(text[end : match.start()], quote=False), match[0]]
        end = match.end()
    return "".join([*found, escape(text[end:], quote=False)])


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


# --- Atom


def atom(notes: Notes, address: str = "") -> str:
    """The notes as an Atom feed; ``address`` is where it is served."""
    ElementTree.register_namespace("", _ATOM)
    feed = ElementTree.Element(f"{{{_ATOM}}}feed")
    _add(feed, "title", f"Changes from {notes.since} to {notes.until}")
    _add(feed, "id", address or f"urn:mallcore:api:{notes.since}:{notes.until}")
    _add(feed, "updated", _moment(notes.until))
    _add(_add(feed, "author"), "name", "mallcore")
    if address:
        _add(feed, "link", rel="self", href=address)
    for one in reversed(notes.notes):
        entry = _add(feed, "entry")
        _add(entry, "title", one.title)
        _add(entry, "id", f"urn:mallcore:api:{one.version}:{one.change}")
        _add(entry, "updated", _moment(one.version))
        _add(entry, "content", "".join(_html(one)), type="html")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(feed, encoding="unicode") + "\n"


def _add(parent: ElementTree.Element, name: str, text: str = "", **more: str) -> ElementTree.Element:
    made = ElementTree.SubElement(parent, f"{{{_ATOM}}}{name}", more)
    if text:
        made.text = _NO_XML.sub("\ufffd", text)
    return made


def _moment(version: str) -> str:
    return f"{version}T00:00:00Z"


def _html(one: Note) -> Iterator[str]:
    for paragraph in one.text.split("\n\n"):
        yield f"<p>{_marked(' '.join(paragraph.split()))}</p>"
    yield from _listed(map(_marked, one.fields))
    yield from _listed(map(_line, one.operations))
    for example in one.examples:
        for word, value in (("Before", example.before), ("After", example.after)):
            yield f"<p>{word}, <code>{escape(example.subject)}</code>:</p><pre>{escape(_pretty(value))}</pre>"


def _listed(items: Iterable[str]) -> Iterator[str]:
    made = [f"<li>{item}</li>" for item in items]
    if made:
        yield f"<ul>{''.join(made)}</ul>"


def _line(one: Concerned) -> str:
    places = " → ".join(f"<code>{escape(each)}</code>" for each in dict.fromkeys((one.before, one.after)) if each)
    told = f" ({', '.join(one.parts)})" if one.parts else ""
    return f"<code>{escape(one.operation)}</code>{told}: {places}"


def _marked(text: str) -> str:
    """Words of a docstring as HTML: what is code is marked as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text.replace("``", "`"), quote=False))


# --- all


def rendered(notes: Notes, form: str, address: str = "") -> str:
    """The notes in one of the forms of `MEDIA_TYPES`."""
    if form == "atom":
        return atom(notes, address)
    if form == "json":
        return json.dumps(notes.as_json(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    return markdown(notes)
