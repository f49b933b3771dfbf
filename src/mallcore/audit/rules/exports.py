"""The log as a file, proofs as documents, and checking both without the mall: against trusted checkpoints and keys.

A file has a line for its log, a line for each record with its index and its leaf's hash, and one for each checkpoint.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature

from mallcore.audit.rules.notes import Checkpoint, VerificationKey, checkpoint, signer
from mallcore.audit.rules.tree import Frontier
from mallcore.errors import InvalidInput, LogBroken

_HEADER = "mallcore_audit_log"
_LEAF = b',"leaf":'


@dataclass(frozen=True, slots=True)
class Checked:
    """What was checked: how many records, the root over them, and how many of them a trusted checkpoint vouches for."""

    origin: str
    size: int
    root: bytes
    trusted: int


def header(origin: str, size: int) -> bytes:
    """The first line of a file."""
    return _line({_HEADER: 1, "origin": origin, "size": size})


def record(index: int, hashed: bytes, leaf: bytes) -> bytes:
    """The line of a record."""
    return _head(index, hashed) + _LEAF + leaf + b"}\n"


def note(text: str) -> bytes:
    """The line of a checkpoint."""
    return _line({"checkpoint": text})


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _head(index: int, hashed: bytes) -> bytes:
    return b'{"index":%d,"hash":"%s"' % (index, b2a_base64(hashed, newline=False))


def check(lines: Iterable[bytes], trusted: Sequence[Checkpoint] = (), keys: Sequence[VerificationKey] = ()) -> Checked:
    """Check a file; `LogBroken` names the first record that is not as it was, or is not there.

    Checkpoints in the file count when one of the keys signed them; those that are trusted count anyway, and must be
    signed by one of the keys when keys are given.
    """
    reading = iter(lines)
    origin, size = _opened(next(reading, b""))
    for one in trusted:
        _refuse_foreign(one, origin, keys)
    hashes: list[bytes] = []
    inside: list[Checkpoint] = []
    for line in reading:
        if line.startswith(b'{"checkpoint":'):
            inside.append(_noted(line, len(hashes)))
        else:
            hashes.append(_hashed(line, len(hashes)))
    if len(hashes) != size:
        raise LogBroken(index=min(len(hashes), size), reason=f"the file has {len(hashes)} records and promises {size}")
    vouching = [*trusted, *_signed(inside, origin, keys)]
    return Checked(origin, size, against(hashes, vouching), max((one.size for one in vouching), default=0))


def _opened(line: bytes) -> tuple[str, int]:
    values = _json(line, 0)
    if values.get(_HEADER) != 1 or not isinstance(values.get("origin"), str) or type(values.get("size")) is not int:
        raise InvalidInput(field="file", reason="it is no file that `mallcore audit export` wrote")
    return values["origin"], values["size"]


def _json(line: bytes, index: int) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, dict):
        return values
    if index == 0:
        raise InvalidInput(field="file", reason="it is no file that `mallcore audit export` wrote")
    raise LogBroken(index=index, reason="its line is no JSON")


def _hashed(line: bytes, index: int) -> bytes:
    """The hash of the record in a line, computed from its leaf; it must be the one that stands beside it."""
    head, found, rest = line.partition(_LEAF)
    hashed = sha256(b"\x00" + rest[:-2]).digest()
    if not found or head != _head(index, hashed) or line[-2:] != b"}\n":
        raise LogBroken(index=index, reason=_difference(line, index))
    return hashed


def _difference(line: bytes, index: int) -> str:
    try:
        there = json.loads(line).get("index")
    except (ValueError, AttributeError, RecursionError):
        return "its line is damaged"
    return f"record {there} stands in its place" if there != index else "its leaf is not the one that was hashed"


def _noted(line: bytes, index: int) -> Checkpoint:
    try:
        return checkpoint(json.loads(line)["checkpoint"])
    except (ValueError, InvalidInput, TypeError):
        raise LogBroken(index=index, reason="a checkpoint of the file is damaged") from None


def _refuse_foreign(one: Checkpoint, origin: str, keys: Sequence[VerificationKey]) -> None:
    if one.origin != origin:
        raise InvalidInput(field="checkpoint", reason=f"it is of the log {one.origin!r}, not of {origin!r}")
    if keys and not _is_signed(one, keys, 0):
        raise InvalidInput(field="checkpoint", reason="none of the keys given signed it")


def _is_signed(one: Checkpoint, keys: Sequence[VerificationKey], index: int) -> bool:
    try:
        return signer(one, keys) is not None
    except InvalidSignature:
        raise LogBroken(index=index, reason=f"the signature of the checkpoint at {one.size} is forged") from None


def _signed(inside: Iterable[Checkpoint], origin: str, keys: Sequence[VerificationKey]) -> list[Checkpoint]:
    return [one for one in inside if one.origin == origin and _is_signed(one, keys, 0)]


def against(hashes: Sequence[bytes], vouching: Iterable[Checkpoint]) -> bytes:
    """The root over the hashes of leaves, which must grow through every checkpoint.

    A checkpoint that does not fit is told by the first record behind the last one that does.
    """
    grown, good = Frontier(), 0
    ladder = sorted(vouching, key=lambda one: one.size)
    for one in ladder:
        if one.size > len(hashes):
            raise LogBroken(index=len(hashes), reason=f"the log ends here, and had {one.size} records: its end is cut")
        for hashed in hashes[grown.size : one.size]:
            grown.add(hashed)
        if grown.root != one.root:
            forked = any((other.size, other.root) == (one.size, grown.root) for other in ladder)
            raise LogBroken(index=min(good, max(one.size - 1, 0)), reason=_unlike(good, one, forked))
        good = one.size
    for hashed in hashes[grown.size :]:
        grown.add(hashed)
    return grown.root


def _unlike(good: int, one: Checkpoint, forked: bool) -> str:
    if forked:
        return f"there are two checkpoints of {one.size} records with different roots: the log was forked"
    return f"the records from {good} to {one.size - 1} are not those of the checkpoint at {one.size}"


def differing(hashes: Iterable[bytes], others: Iterable[bytes]) -> Iterator[int]:
    """The indices at which two rows of hashes differ."""
    return (index for index, (one, other) in enumerate(zip(hashes, others, strict=False)) if one != other)
