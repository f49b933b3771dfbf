"""File names: one part of a path, which is the same name on every system and looks like what it is."""

from __future__ import annotations

import unicodedata

from mallcore.errors import InvalidInput

LONGEST = 255  # bytes: what file systems hold
# Control, format (bidirectional marks make `exe.png` of `gnp.exe`), surrogate, private, line and paragraph.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # several scripts, and emoji, can't be written without them
_DEVICES = frozenset({"con", "prn", "aux", "nul", "conin$", "conout$"}) | {
    f"{port}{number}" for port in ("com", "lpt") for number in "123456789\u00b9\u00b2\u00b3"
}


def checked_file_name(text: str) -> str:
    """The name in its one spelling (NFC); `InvalidInput` for what is a path, can't be seen, or is no file everywhere.

    A path is refused, not cut: whoever sends one may mean another file than what would be left.

    >>> checked_file_name("Cafe\\u0301.png")
    'Café.png'
    """
    name = unicodedata.normalize("NFC", text)
    reason = _wrong(name)
    if reason is not None:
        raise InvalidInput(field="file_name", reason=reason)
    return name


def _wrong(name: str) -> str | None:
    if not name.strip(" ."):
        return "it is empty, or nothing but dots"
    if any(sign not in _JOINERS and unicodedata.category(sign) in _INVISIBLE for sign in name):
        return "it holds control characters or invisible marks"
    if any(sign in '/\\:*?"<>|' for sign in name):
        return 'it holds one of / \\ : * ? " < > |, which are no part of a name on every system'
    if name != name.strip() or name.endswith("."):
        return "it begins or ends with a space, or ends with a dot"
    if name.partition(".")[0].rstrip().lower() in _DEVICES:
        return "it is the name of a device on Windows"
    if len(name.encode()) > LONGEST:
        return f"it is longer than {LONGEST} bytes in UTF-8"
    return None
