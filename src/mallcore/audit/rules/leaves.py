"""What of a record counts: its leaf, which is canonical JSON of one form, and what of a person stays out of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC
from hashlib import sha256
from json import encoder
from json.encoder import encode_basestring_ascii
from typing import Any

FORM = 1
"""The version of the leaf's form; a record says by which it was made."""
PERSONAL = ("address", "user_agent")
"""Details of an event that are kept sealed only."""
PERSON = "user:"
PSEUDONYM = "user:~"
ERASED = "user:(erased)"
_LONGEST = 65_535  # what fits in a bundle of tlog-tiles
_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_make: Any = getattr(encoder, "c_make_encoder", None)
_parts: Any = (
    None if _make is None else _make(None, _json.default, encode_basestring_ascii, None, ":", ",", True, False, False)
)  # what the encoder would make anew for every call


def leaf(row: Mapping[str, Any]) -> bytes:
    """The leaf of a record: all its fields, sorted by name, without spaces, in ASCII; its time in UTC.

    What is too long for a tile stands in it by its SHA-256. Put together by hand: every change waits for this.
    """
    before, after = (b"" if row[name] is None else _encode(row[name]).encode() for name in ("before", "after"))
    made = _written(row, b'"before":' + (before or b"null"), b'"after":' + (after or b"null"))
    if len(made) > _LONGEST:
        made = _written(row, b'"before_sha256":' + _digest(before), b'"after_sha256":' + _digest(after))
    return made


def _encode(value: Any) -> str:
    return _json.encode(value) if _parts is None else "".join(_parts(value, 0))


def _written(row: Mapping[str, Any], before: bytes, after: bytes) -> bytes:
    middle = f',"at":"{row["at"].astimezone(UTC).isoformat()}",'.encode()
    rest = (
        f',"channel_id":{_text(row["channel_id"])},"event":{_text(row["event"])},"id":{_text(row["id"])}'
        f',"jti":{_text(row["jti"])},"operation":{_text(row["operation"])},"outcome":{_text(row["outcome"])}'
        f',"principal":{_text(row["principal"])},"request_id":{_text(row["request_id"])}'
        f',"revision":{"null" if row["revision"] is None else int(row["revision"])},"sealed":{_text(row["sealed"])}'
        f',"subject":{_text(row["subject"])},"unit_id":{_text(row["unit_id"])},"v":{FORM}}}'
    )
    return b"{" + after + middle + before + rest.encode()


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring_ascii(value)


def _digest(content: bytes) -> bytes:
    return b'"' + sha256(content).hexdigest().encode() + b'"'


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
