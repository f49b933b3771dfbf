"""File names: one part of a path, the same on every system, and nothing that looks like what it is not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mallcore.attachments.rules.names import checked_file_name
from mallcore.attachments.rules.serving import shown_name
from mallcore.errors import InvalidInput

REFUSED = [
    "",
    " ",
    ".",
    "..",
    "...",
    "../x",
    "..\\x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:\\x",
    "C:x",
    "x.txt:evil",
    "a\0b",
    "a\nb",
    "a\r\nX-Evil: 1",
    "a\x7f",
    "a\x85",
    "gnp.\u202eexe",
    "a\u200bb",
    "a\ufeff",
    "a\u2066b",
    "a\u2028b",
    "\ud800",
    "a\ue000",
    "CON",
    "con.txt",
    "NUL.tar.gz",
    "com1",
    "LPT9.png",
    "com\u00b9",
    "aux .txt",
    "a.",
    "a ",
    " a",
    "a?",
    "a*",
    "<a>",
    "a|b",
    'a"b',
    "x" * 256,
    "ü" * 128,
    "\U000e0041bc",
]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_name_everywhere_is_refused(name: str) -> None:
    """Paths, devices, marks nobody sees, and what some system can't hold: refused, never cut to something else."""
    with pytest.raises(InvalidInput) as refused:
        checked_file_name(name)
    assert refused.value.field == "file_name"


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        "Käse & Brot (2).png",
        ".hidden",
        "no extension",
        "console.txt",
        "com10",
        "日本語.jpg",
        "صورة.png",
        "a..b",
        "क्ष\u200dत.png",
        "👩\u200d💻.gif",
        "x" * 255,
        "ü" * 127,
        "a'b;c=d%20.txt",
        "-rf",
    ],
)
def test_ordinary_names_are_kept(name: str) -> None:
    """Any script, spaces within, and what only looks a little like a device."""
    assert checked_file_name(name) == unicodedata.normalize("NFC", name)


def test_a_name_has_one_spelling() -> None:
    """Letters that are put together of several marks become one; so the same name is the same."""
    assert checked_file_name("Cafe\u0301.png") == checked_file_name("Caf\u00e9.png") == "Caf\u00e9.png"
    with pytest.raises(InvalidInput):
        checked_file_name("e\u0301" * 128)


@given(st.text(max_size=300))
def test_whatever_is_accepted_is_safe_to_show_and_to_keep(name: str) -> None:
    """A name that got in comes out of headers as one part of a path, and checking it again changes nothing."""
    try:
        found = checked_file_name(name)
    except InvalidInput:
        return
    assert checked_file_name(found) == found
    assert len(found.encode()) <= 255
    assert not set(found) & set("/\\\0\r\n")
    assert set(shown_name(found)).isdisjoint("/\\")
