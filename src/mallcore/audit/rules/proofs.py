"""Proofs as documents that anybody can check without the mall: of one record, and of one log growing from another."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature

from mallcore.audit.rules.notes import Checkpoint, VerificationKey, checkpoint, signer
from mallcore.audit.rules.tree import consistent, included, leaf_hash
from mallcore.errors import InvalidInput, LogBroken


def of_record(index: int, leaf: bytes, path: Sequence[bytes], note: str) -> dict[str, Any]:
    """The document that proves a record to be in the log of a checkpoint."""
    return {"kind": "inclusion", "index": index, "leaf": leaf.decode(), "path": _written(path), "checkpoint": note}


def of_growth(old: str, path: Sequence[bytes], note: str) -> dict[str, Any]:
    """The document that proves the log of one checkpoint to begin with that of an older one."""
    return {"kind": "consistency", "old": old, "path": _written(path), "checkpoint": note}


def check(
    document: Mapping[str, Any], trusted: Sequence[Checkpoint] = (), keys: Sequence[VerificationKey] = ()
) -> Checkpoint:
    """Check a document; returns the checkpoint it ends in, which is one that is trusted or that a key signed.

    `LogBroken` says what does not hold; `InvalidInput` that it is no such document, or that nothing vouches for it.
    """
    try:
        note, path = checkpoint(document["checkpoint"]), [_hash(one) for one in document["path"]]
        if document["kind"] == "inclusion":
            _check_record(document, path, note)
        elif document["kind"] != "consistency":
            raise KeyError("kind")
        else:
            _check_growth(checkpoint(document["old"]), path, note)
    except (KeyError, TypeError, AttributeError, binascii.Error, UnicodeEncodeError):
        raise InvalidInput(field="proof", reason="it is no proof that `mallcore audit prove` wrote") from None
    _require_trust(note, trusted, keys)
    return note


def _check_record(document: Mapping[str, Any], path: list[bytes], note: Checkpoint) -> None:
    index = int(document["index"])
    if not included(leaf_hash(document["leaf"].encode()), index, note.size, path, note.root):
        raise LogBroken(index=index, reason=f"the record is not in the log of {note.size} records")


def _check_growth(old: Checkpoint, path: list[bytes], note: Checkpoint) -> None:
    if old.origin != note.origin or not consistent(old.size, note.size, old.root, note.root, path):
        reason = f"the log of {note.size} records does not begin with the one of {old.size}"
        raise LogBroken(index=0, reason=reason)


def _require_trust(note: Checkpoint, trusted: Sequence[Checkpoint], keys: Sequence[VerificationKey]) -> None:
    if any((one.origin, one.size, one.root) == (note.origin, note.size, note.root) for one in trusted):
        return
    try:
        if signer(note, keys) is not None:
            return
    except InvalidSignature:
        raise LogBroken(index=note.size, reason="the signature of its checkpoint is forged") from None
    raise InvalidInput(field="proof", reason="no key given signed its checkpoint, and no trusted one equals it")


def _written(path: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(one).decode() for one in path]


def _hash(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
