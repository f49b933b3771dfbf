"""References to versions, as text: ``att_…@3``, ``att_…@live``, ``att_…@sha256:…``; and the keys of objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from mallcore.errors import InvalidReference

LIVE = "live"
_ATTACHMENT = r"att_[0-9a-f]{32}"
_REF = re.compile(rf"({_ATTACHMENT})(?:@(?:([1-9][0-9]{{0,8}})|sha256:([0-9a-f]{{64}})|([a-z][a-z0-9_-]{{0,39}})))?")
_IN_TEXT = re.compile(rf"({_ATTACHMENT})@([1-9][0-9]{{0,8}})")
_OWNER = re.compile(r"([a-z][a-z0-9_]{0,39}):([^\x00-\x1f\x7f]{1,200})")
_LABEL = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Ref(NamedTuple):
    """What a reference names: one version by number, digest or label, or (with none of them) the attachment."""

    attachment: str
    n: int | None = None
    digest: str | None = None
    label: str | None = None


def parsed(text: str) -> Ref:
    """The parts of a reference; `InvalidReference` when it is none.

    >>> parsed("att_0192f0c1000070008000000000000001@3").n
    3
    """
    found = _REF.fullmatch(text)
    if found is None:
        raise InvalidReference(
            f"{text[:100]!r} names no version of an attachment: write att_…@3, att_…@live or att_…@sha256:….",
            reference=text[:100],
        )
    attachment, n, digest, label = found.groups()
    return Ref(attachment, int(n) if n else None, digest, label)


def version_ref(attachment: str, n: int) -> str:
    """The immutable reference of a version.

    >>> version_ref("att_0192f0c1000070008000000000000001", 3)
    'att_0192f0c1000070008000000000000001@3'
    """
    return f"{attachment}@{n}"


def owner_parts(text: str) -> tuple[str, str]:
    """Kind and id of an owner's typed reference.

    >>> owner_parts("product:42")
    ('product', '42')
    """
    found = _OWNER.fullmatch(text)
    if found is None:
        raise InvalidReference(
            f"{text[:100]!r} names no owner: write kind:id, such as channel:books or product:42.", reference=text[:100]
        )
    return found[1], found[2]


def is_label(text: str) -> bool:
    """Whether the text can be a label's name: it must not look like a number or a digest.

    >>> is_label("live"), is_label("3"), is_label("sha256:ab")
    (True, False, False)
    """
    return len(text) <= 40 and _LABEL.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether the text is a SHA-256 in lower-case hex."""
    return _DIGEST.fullmatch(text) is not None


def object_key(unit_id: str, digest: str, incarnation: str) -> str:
    """Where a content of a unit lies. No key is ever used twice: an incarnation belongs to one upload's claim.

    >>> object_key("unt_1", "ab" * 32, "0" * 32)[:24]
    'b/unt_1/sha256/ab/ab/aba'
    """
    return f"b/{unit_id}/sha256/{digest[:2]}/{digest[2:4]}/{digest}.{incarnation}"


def references_in(value: object) -> set[tuple[str, int]]:
    """The versions that a JSON value refers to, wherever in it they stand.

    >>> sorted(references_in({"banner": "att_0192f0c1000070008000000000000001@3", "tags": ["x"]}))
    [('att_0192f0c1000070008000000000000001', 3)]
    """
    if isinstance(value, str):
        return {(attachment, int(n)) for attachment, n in _IN_TEXT.findall(value)}
    if isinstance(value, Mapping):
        return set().union(*map(references_in, value.values())) if value else set()
    if isinstance(value, list | tuple):
        return set().union(*map(references_in, value)) if value else set()
    return set()
