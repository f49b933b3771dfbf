"""The rules of the differ: what can differ between two contracts, and who is hurt by it.

The levels follow the list that GitHub publishes for its REST API and, where that is silent, the rules of oasdiff.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["breaking", "warning", "additive"]
LEVELS: tuple[Level, ...] = ("breaking", "warning", "additive")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of difference."""

    id: str
    level: Level
    sentence: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between two contracts. ``where`` names the operation or event, and the place in its data."""

    level: Level
    rule: str
    where: str
    old: Any = None
    new: Any = None
    advice: str = ""

    @property
    def sentence(self) -> str:
        """What the rule says."""
        return RULES[self.rule].sentence

    def as_json(self) -> dict[str, Any]:
        """The difference as plain data."""
        names = ("level", "rule", "where", "old", "new", "advice")
        return {name: getattr(self, name) for name in names} | {"sentence": self.sentence}


_B, _W, _A = LEVELS
_DECLARE = "Declare a Change in the next version that brings the older shape back."
_KEEP = "Keep the older one, deprecated, until its last version is sunset."
_TOLD = "Tell it in the notes: a strict client may stumble."

_OPERATIONS: tuple[tuple[str, Level, str, str], ...] = (
    ("operation-removed", _B, "An operation is gone.", _KEEP),
    ("operation-added", _A, "An operation is new.", ""),
    ("kind-changed", _B, "A query became a command or a stream, or the other way round.", _KEEP),
    ("method-changed", _B, "An operation answers another HTTP method.", _DECLARE),
    ("path-changed", _B, "An operation moved to another path.", _DECLARE),
    ("path-removed", _B, "A second path to an operation is gone.", _KEEP),
    ("path-added", _A, "An operation has a second path.", ""),
    ("status-changed", _B, "Success is told by another status.", _DECLARE),
    ("permission-changed", _B, "A call asks for a permission that it did not ask for.", "Make a new operation of it."),
    ("permission-dropped", _A, "A call asks for no permission any more.", ""),
    ("error-added", _W, "An operation may answer with an error that it did not have.", _TOLD),
    ("error-removed", _W, "An operation does not answer with an error any more.", _TOLD),
    ("request-body-changed", _B, "The body of the request is something else.", _DECLARE),
    ("request-media-type-removed", _B, "A media type is not taken any more.", _KEEP),
    ("request-media-type-added", _A, "A further media type is taken.", ""),
    ("response-media-type-changed", _B, "The answer has another media type.", _DECLARE),
    ("deprecated", _A, "An operation or a field is on its way out.", ""),
    ("deprecation-withdrawn", _A, "An operation or a field stays after all.", ""),
    ("event-removed", _B, "An event is not told any more.", _KEEP),
    ("event-added", _A, "A further event is told.", ""),
)
_REQUESTS: tuple[tuple[str, Level, str, str], ...] = (
    ("parameter-removed", _B, "A parameter is gone.", _DECLARE),
    ("parameter-renamed", _B, "A parameter has another name.", _DECLARE),
    ("parameter-added-required", _B, "A new parameter must be given.", "Give it a default."),
    ("parameter-added", _A, "A parameter is new, and may be left out.", ""),
    ("parameter-now-required", _B, "A parameter that could be left out must be given.", "Keep its default."),
    ("parameter-now-optional", _A, "A parameter may be left out.", ""),
    ("default-changed", _B, "A parameter that is left out means something else.", _DECLARE),
    ("type-narrowed", _B, "Fewer types are taken.", _DECLARE),
    ("type-widened", _A, "More types are taken.", ""),
    ("type-changed", _B, "Another type is taken.", _DECLARE),
    ("null-refused", _B, "null is not taken any more.", _DECLARE),
    ("null-accepted", _A, "null is taken, too.", ""),
    ("enum-value-removed", _B, "A value is not taken any more.", _DECLARE),
    ("enum-value-added", _A, "A further value is taken.", ""),
    ("enum-closed", _B, "Only certain values are taken.", _DECLARE),
    ("enum-opened", _A, "Other values are taken, too.", ""),
    ("limit-tightened", _B, "A limit is tighter.", "Keep the limit, or warn only."),
    ("limit-loosened", _A, "A limit is looser.", ""),
    ("pattern-tightened", _B, "A text must match a pattern.", "Keep what was taken, or warn only."),
    ("pattern-loosened", _A, "A text need not match a pattern any more.", ""),
    ("pattern-changed", _B, "A text must match another pattern.", "Keep what was taken, or warn only."),
    ("format-tightened", _B, "A text must have a format.", _DECLARE),
    ("format-loosened", _A, "A text need not have a format any more.", ""),
    ("format-changed", _B, "A text must have another format.", _DECLARE),
    ("additional-tightened", _B, "Fields beside the named ones are refused, or must have a shape.", _DECLARE),
    ("additional-loosened", _A, "Further fields are taken beside the named ones.", ""),
    ("branch-removed", _B, "One of several shapes is not taken any more.", _DECLARE),
    ("branch-added", _A, "A further shape is taken.", ""),
    ("schema-changed", _B, "The shape differs in a way that the rules do not judge.", _DECLARE),
)
_RESPONSES: tuple[tuple[str, Level, str, str], ...] = (
    ("field-removed", _B, "A field is gone.", _DECLARE),
    ("field-renamed", _B, "A field has another name.", _DECLARE),
    ("field-added", _A, "A field is new.", ""),
    ("field-now-optional", _B, "A field that was always there may be missing.", _DECLARE),
    ("field-now-present", _A, "A field is always there.", ""),
    ("type-widened", _B, "More types are answered.", _DECLARE),
    ("type-narrowed", _A, "Fewer types are answered.", ""),
    ("type-changed", _B, "Another type is answered.", _DECLARE),
    ("null-accepted", _B, "null may be answered.", _DECLARE),
    ("null-refused", _A, "null is not answered any more.", ""),
    ("enum-value-added", _W, "A further value may be answered.", _TOLD),
    ("enum-value-removed", _A, "A value is not answered any more.", ""),
    ("enum-opened", _W, "Any value may be answered where only certain ones were.", _TOLD),
    ("enum-closed", _A, "Only certain values are answered.", ""),
    ("limit-loosened", _B, "What is answered may be longer, larger or smaller than it was.", _DECLARE),
    ("limit-tightened", _A, "What is answered keeps within a limit.", ""),
    ("pattern-loosened", _B, "A text need not match its pattern any more.", _DECLARE),
    ("pattern-tightened", _A, "A text matches a pattern.", ""),
    ("pattern-changed", _B, "A text matches another pattern.", _DECLARE),
    ("format-loosened", _B, "A text need not have its format any more.", _DECLARE),
    ("format-tightened", _A, "A text has a format.", ""),
    ("format-changed", _B, "A text has another format.", _DECLARE),
    ("additional-loosened", _B, "Fields beside the named ones may have any shape.", _DECLARE),
    ("additional-tightened", _A, "Fields beside the named ones have a shape, or are not there.", ""),
    ("branch-added", _B, "A further shape may be answered.", _DECLARE),
    ("branch-removed", _A, "One of several shapes is not answered any more.", ""),
    ("schema-changed", _B, "The shape differs in a way that the rules do not judge.", _DECLARE),
)


def _all() -> Iterator[Rule]:
    yield from (Rule(*one) for one in _OPERATIONS)
    yield from (Rule(f"request-{name}", *more) for name, *more in _REQUESTS)  # type: ignore[arg-type]
    yield from (Rule(f"response-{name}", *more) for name, *more in _RESPONSES)  # type: ignore[arg-type]


RULES: Mapping[str, Rule] = {rule.id: rule for rule in _all()}
"""Every rule by its id."""


def difference(rule: str, where: str, old: Any = None, new: Any = None, advice: str = "") -> Difference:
    """A difference of a rule, with the rule's level, and its advice unless there is a better one."""
    known = RULES[rule]
    return Difference(known.level, rule, where, old, new, advice or known.advice)


def worst(found: list[Difference]) -> Level | None:
    """The worst level among differences; nothing when there are none."""
    return next((level for level in LEVELS if any(one.level == level for one in found)), None)


def breaking(found: list[Difference]) -> list[Difference]:
    """Those that break somebody."""
    return [one for one in found if one.level == "breaking"]
