"""What of a record counts: its leaf, which is canonical JSON of one form, and what of a person stays out of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC
from hashlib import sha256
from typing import Any

FORM = 1
"""The version of the leaf's form; a record says by which it was made."""
FIELDS = ("after", "before", "channel_id", "event", "id", "jti", "operation", "outcome", "principal", "request_id",
          "revision", "sealed", "subject", "unit_id")  # fmt: skip
PERSONAL = ("address", "user_agent")
"""Details of an event that are kept sealed only."""
PERSON = "user:"
PSEUDONYM = "user:~"
ERASED = "user:(erased)"
_LONGEST = 65_535  # what fits in a bundle of tlog-tiles
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def leaf(row: Mapping[str, Any]) -> bytes:
    """The leaf of a record: all its fields, sorted by name, without spaces, in ASCII; its time in UTC.

    What is too long for a tile stands in it by its SHA-256.
    """
    values: dict[str, Any] = {name: row[name] for name in FIELDS}
    values["at"] = row["at"].astimezone(UTC).isoformat()
    values["v"] = FORM
    text = _encode(values).encode()
    if len(text) > _LONGEST:
        for name in ("before", "after"):
            values[f"{name}_sha256"] = sha256(_encode(values.pop(name)).encode()).hexdigest()
        text = _encode(values).encode()
    return text


def is_person(value: str) -> bool:
    """Whether a value names a person: a `user:` reference.

    >>> is_person("user:ada"), is_person("client:till"), is_person("user:")
    (True, False, False)
    """
    return value.startswith(PERSON) and 5 < len(value) <= 200


def replaced(value: Any, replace: Callable[[str], str]) -> Any:
    """The JSON value with another in the place of every person's reference, in values and in names."""
    kind = type(value)
    if kind is str:
        return replace(value) if value.startswith(PERSON) and is_person(value) else value
    if kind is dict or isinstance(value, Mapping):
        return {_name(name, replace): replaced(one, replace) for name, one in value.items()}
    if kind is list or kind is tuple:
        return [replaced(one, replace) for one in value]
    return value


def _name(name: Any, replace: Callable[[str], str]) -> str:
    if type(name) is not str:
        return (
            name if isinstance(name, str) else str(json.loads(f"[{json.dumps({name: 0})[1:].rpartition(':')[0]}]")[0])
        )
    return replace(name) if name.startswith(PERSON) and is_person(name) else name


def persons(value: Any) -> set[str]:
    """All references to persons in a JSON value."""
    found: set[str] = set()

    def note(ref: str) -> str:
        found.add(ref)
        return ref

    replaced(value, note)
    return found
