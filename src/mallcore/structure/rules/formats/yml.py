"""Shopify's ``full_names.yml``: the corner of YAML that such lists are written in, read by hand.

A list of flat mappings of plain, single- or double-quoted text, folded over lines or not. No anchors, tags or blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mallcore.structure.rules.formats.checking import Check, quoted
from mallcore.structure.rules.formats.decoding import content_lines
from mallcore.structure.rules.formats.paths import Columns, tidied

_ESCAPES = {"0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b"}
_ESCAPES |= {" ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*+)"\s*(?:#.*)?')
_SINGLE = re.compile(r"'((?:[^']|'')*+)'\s*(?:#.*)?")
_ESCAPED_END = re.compile(r"(?<!\\)(?:\\\\)*\\$")
_KEY = re.compile(r"[A-Za-z_][\w-]*")
_SPECIAL = frozenset("[]{}&*!|>%@`,#?")


class NotPlain(Exception):
    """A value is written in a way this reader leaves to whole YAML parsers."""


def read_yml(text: str, check: Check) -> Columns:
    """The categories of a list of ``id`` and ``full_name``.

    >>> from mallcore.structure.rules.formats.entries import Limits
    >>> text = "---\\n- id: ap-1\\n  full_name: 'Animals > Live: Birds'"
    >>> read_yml(text, Check(Limits()))
    Columns(lines=[2], ids=['ap-1'], paths=['Animals > Live: Birds'])
    """
    found = Columns([], [], [])
    for line, fields in _mappings(text, check):
        if "id" in fields and "full_name" in fields:
            found.lines.append(line)
            found.ids.append(fields["id"])
            found.paths.append(fields["full_name"])
        else:
            check.add(line, f"the item has no {'full_name' if 'id' in fields else 'id'}")
    return tidied(found, check)


def _mappings(text: str, check: Check) -> Iterator[tuple[int, dict[str, str]]]:
    """The items of the list, each with the line it begins on."""
    begun, fields = 0, dict[str, str]()
    for line, content in _unfolded(text, check):
        key, _, value = content[2:].partition(":")
        key = key.strip("'\"")
        if content[:2] == "- ":
            if begun:
                yield begun, fields
            begun, fields = line, {}
        elif not begun or content[:2] != "  ":
            key = ""
        if key in ("id", "full_name") and value[:1] in " ":
            _take(line, key, value, fields, check)
        elif not (_KEY.fullmatch(key) and value[:1] in " "):
            check.add(line, f"{quoted(content)} is neither '- id: …' nor '  full_name: …'")
    if begun:
        yield begun, fields


def _unfolded(text: str, check: Check) -> Iterator[tuple[int, str]]:
    """The lines of the file, those that go on with the value above joined to it."""
    number, held = 0, list[str]()
    for line, content in content_lines(text, check):
        if held and content[:3] == "   ":
            held.append(content.strip())
        elif content.lstrip()[:1] != "#":
            if held:
                yield number, _joined(held)
            number, held = line, [] if content.rstrip() in ("---", "...") else [content.rstrip()]
    if held:
        yield number, _joined(held)


def _joined(pieces: list[str]) -> str:
    """The pieces with a space between; none where double quotes have a backslash at the end of a line."""
    if len(pieces) == 1:
        return pieces[0]
    double = " ".join(pieces[:2]).partition(":")[2].lstrip()[:1] == '"'
    joined = pieces[:1]
    for piece in pieces[1:]:
        if double and _ESCAPED_END.search(joined[-1]):
            joined[-1:] = [joined[-1][:-1], piece]
        else:
            joined += [" ", piece]
    return "".join(joined)


def _take(line: int, key: str, value: str, fields: dict[str, str], check: Check) -> None:
    if key in fields:
        check.add(line, f"the key {key!r} stands twice in one item")
    try:
        fields[key] = scalar(value.strip(" "))
    except NotPlain as problem:
        check.add(line, f"the value of {key!r} {problem}")
        fields[key] = f"?{line}"  # a stand-in, so that nothing else is said about it


def scalar(text: str) -> str:
    r"""The text that a YAML scalar stands for.

    >>> scalar("'Men''s'"), scalar(r'"Ros\xE9"'), scalar("Plain # and a comment")
    ("Men's", 'Rosé', 'Plain')
    """
    match text[:1]:
        case '"':
            return _ESCAPE.sub(_unescaped, _inside(_DOUBLE, text))
        case "'":
            return _inside(_SINGLE, text).replace("''", "'")
    if text[:1] in _SPECIAL or text[:2] in ("- ", "? "):
        raise NotPlain(f"begins with {text[0]!r}: put it in quotes")
    return "" if text in ("~", "null") else text.partition(" #")[0].rstrip()


def _inside(pattern: re.Pattern[str], text: str) -> str:
    if found := pattern.fullmatch(text):
        return found[1]
    raise NotPlain(f"opens a quotation that does not end where the value does: {quoted(text)}")


def _unescaped(found: re.Match[str]) -> str:
    if code := found[1] or found[2] or found[3]:
        return _character(int(code, 16))
    if found[4] in _ESCAPES:
        return _ESCAPES[found[4]]
    raise NotPlain(f"holds {found[0]!r}, which is no escape of YAML")


def _character(code: int) -> str:
    if code > 0x10FFFF:
        raise NotPlain(f"holds the code U+{code:X}, and Unicode ends at U+10FFFF")
    return chr(code)
