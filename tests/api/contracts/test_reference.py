"""The reference of what breaks, made from the rules: `python -m tests.api.contracts.test_reference` makes it anew."""

from __future__ import annotations

import re
from pathlib import Path

from mallcore.api.rules.differing import LEVELS, RULES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "breaking-changes.md"
MEANING = {
    "breaking": "Somebody who called correctly gets an error, or can't read the answer. It needs a new version.",
    "warning": "Whoever follows the contract goes on; a strict client may stumble. It needs no new version.",
    "additive": "Nobody who calls as before notices. It is in all versions at once.",
}


def tables() -> str:
    """A table for each level, of its rules."""
    parts = []
    for level in LEVELS:
        rows = [f"| `{one.id}` | {one.sentence} | {one.advice} |" for one in RULES.values() if one.level == level]
        parts += [
            f"## {level.capitalize()}",
            "",
            MEANING[level],
            "",
            "| rule | what | way out |",
            "|---|---|---|",
            *rows,
        ]
        parts.append("")
    return "\n" + "\n".join(parts) + "\n"


def parts(text: str) -> tuple[str, str, str]:
    """The page before, between and after the marks."""
    before, between, after = re.split(r"(?<=% begin: rules\n)(.*?)(?=% end: rules\n)", text, flags=re.DOTALL)
    return before, between, after


def test_the_page_says_what_the_rules_say() -> None:
    """Every rule of the differ is in the reference, with its level, its sentence and the way out."""
    assert parts(PAGE.read_text(encoding="utf-8"))[1] == tables()


def test_sentences_are_sentences() -> None:
    """A rule is told in a sentence, and what breaks says a way out."""
    for one in RULES.values():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.id)
        assert one.sentence.endswith(".")
        assert one.sentence[0].isupper() or one.sentence.startswith("null")
        assert bool(one.advice) is (one.level != "additive")


if __name__ == "__main__":
    before, _, after = parts(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(before + tables() + after, encoding="utf-8")
