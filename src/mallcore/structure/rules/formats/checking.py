"""What every format asks of its text: problems are collected with their lines and raised together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn
from unicodedata import category

from mallcore.errors import MalformedTaxonomy, TaxonomyProblem
from mallcore.structure.rules.formats.entries import Limits

KINDS = ("section", "category")

_NO_CHARACTERS = {"Cc", "Cs", "Co", "Cn"}  # as Unicode calls controls, surrogates, private and unassigned code points
_SLUG = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_LOCALE = re.compile(r"[a-zA-Z]{2,8}(?:[-_][a-zA-Z0-9]{1,8})*")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # no database keeps these, not even inside JSON


class RepeatedKey(dict[str, Any]):
    """A JSON object in which one key stands twice, so that a value would be lost."""


class Lines:
    """How problems are placed in a file of lines: a place is a line's number. Other readers count other things."""

    def line(self, place: int) -> int:
        """The line to report."""
        return place

    def prefix(self, place: int) -> str:
        """What the reason begins with, where a line alone would not tell."""
        return ""

    def spot(self, place: int) -> str:
        """The place in the middle of a sentence."""
        return f"line {place}"


class Check:
    """Collects the problems of one file; raises them together, at once when there are too many to list.

    >>> check = Check(Limits())
    >>> check.name(3, " Books ")
    'Books'
    >>> check.name(4, " ")
    ''
    >>> check.settle()
    Traceback (most recent call last):
    mallcore.errors.MalformedTaxonomy: The taxonomy can't be read; nothing was imported.
      line 4: the name is empty
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.problems: list[tuple[int, str]] = []
        self.places = Lines()

    def add(self, place: int, reason: str) -> None:
        """Note one problem, once."""
        if (place, reason) not in self.problems:
            self.problems.append((place, reason))
        if len(self.problems) >= self.limits.problems:
            self.settle()

    def settle(self) -> None:
        """Raise what was found, if anything was."""
        if self.problems:
            raise MalformedTaxonomy(problems=[self._problem(*problem) for problem in sorted(self.problems)])

    def _problem(self, place: int, reason: str) -> TaxonomyProblem:
        return TaxonomyProblem(self.places.line(place), self.places.prefix(place) + reason)

    def fail(self, place: int, reason: str) -> NoReturn:
        """Raise a problem after which reading on makes no sense, with those found before."""
        self.add(place, reason)
        self.settle()
        raise AssertionError("settle raises what was added")

    def count(self, entries: int) -> None:
        """Refuse more entries than allowed."""
        if entries > self.limits.entries:
            self.fail(0, f"there are more than {self.limits.entries:,} categories")

    def characters(self, place: int, text: str, what: str) -> bool:
        """Whether the text is free of control characters and of code points that are no characters."""
        if text.isprintable():
            return True
        if bad := next((each for each in text if category(each) in _NO_CHARACTERS), None):
            self.add(place, f"{what} {quoted(text)} holds U+{ord(bad):04X}, a control character or none at all")
        return not bad

    def name(self, place: int, text: str, what: str = "the name") -> str:
        """The name without the space around it, checked."""
        name = text.strip()
        if self._length(place, name, what, self.limits.name):
            self.characters(place, text, what)
        return name

    def id(self, place: int, text: str, what: str = "the id") -> str:
        """The id without the space around it, checked."""
        key = text.strip()
        if self._length(place, key, what, self.limits.id) and not text.isprintable():
            self.add(place, f"{what} {quoted(text)} holds a character that can't be printed")
        return key

    def slug(self, place: int, text: str) -> str:
        """The slug without the space around it, checked."""
        slug = text.strip()
        if self._length(place, slug, "the slug", self.limits.slug) and not _SLUG.fullmatch(slug):
            self.add(place, f"the slug {quoted(slug)} has other than a-z, 0-9 and single - _ . between them")
        return slug

    def _length(self, place: int, text: str, what: str, longest: int) -> bool:
        if 0 < len(text) <= longest:
            return True
        long = f"{what} {quoted(text)} has {len(text):,} characters, and the limit is {longest:,}"
        self.add(place, long if text else f"{what} is empty")
        return False

    def kind(self, place: int, text: str) -> str:
        """The kind, checked to be one that a file may name."""
        if text not in KINDS:
            self.add(place, f"the kind is {quoted(text)}, and can be section or category")
        return text

    def locale(self, place: int, text: str) -> str:
        """The locale, checked to look like one; which there are is not decided here."""
        if len(text) > 35 or not _LOCALE.fullmatch(text):
            self.add(place, f"{quoted(text)} is not a language tag such as fr or pt-BR")
        return text

    def value(self, place: int, value: object, what: str) -> None:
        """Refuse what could not be stored: characters and numbers that JSON lacks, keys lost, towers of lists."""
        for depth, part in _parts(value, self.limits.nesting):
            if reason := _flaw(depth, part, self.limits.nesting):
                return self.add(place, f"{what} {reason}")
        return None


def quoted(text: str) -> str:
    """The text as a message shows it: in quotes, control characters escaped, long ones cut.

    >>> quoted("a" * 100)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'"
    """
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _parts(value: object, deepest: int) -> Iterator[tuple[int, object]]:
    """The value and all its parts, each with its depth, to just below the deepest level allowed."""
    waiting = [(0, value)]
    while waiting:
        depth, part = waiting.pop()
        yield depth, part
        if depth > deepest:
            continue
        if isinstance(part, dict):
            waiting += [(depth + 1, each) for pair in part.items() for each in pair]
        elif isinstance(part, list):
            waiting += [(depth + 1, each) for each in part]


def _flaw(depth: int, part: object, deepest: int) -> str | None:
    if depth > deepest:
        return f"is nested more than {deepest} levels deep"
    if isinstance(part, RepeatedKey):
        return "has an object with the same key twice"
    if isinstance(part, float) and not math.isfinite(part):
        return "holds a number that is not finite"
    if isinstance(part, int) and abs(part) >= 2**63:
        return "holds a whole number beyond 64 bits"
    if isinstance(part, str) and (found := _UNSTORABLE.search(part)):
        return f"holds the character U+{ord(found[0]):04X}"
    return None
