"""Persons in the log: a pseudonym for each, and a key of their own that opens what it stands for until it is destroyed.

A pseudonym is made with the person's key, so whoever knows a name can't find its records once the key is gone. Until
then a keyed digest of the name (``lookup``) finds the pseudonym. Two transactions that meet a person for the first time
at one moment make two: nobody waits, and both are found, shown and erased alike.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import func, insert, select

from mallcore.audit.model.tables import audit_subject
from mallcore.audit.rules.leaves import ERASED, PSEUDONYM, persons, replaced
from mallcore.kernel.context import Context
from mallcore.kernel.keys import Keyring

TOPIC = "subjects"
PURPOSE = "subjects"
_MAX_CACHED = 100_000
_NONCE = 12


class Subjects:
    """Port: who is behind a pseudonym, and which one to write for whom; in memory while others' erasures are heard of.

    ``told`` says whether this process hears of them; while it does not, every answer comes from the database.
    """

    def __init__(self, keyring: Keyring, told: Callable[[], bool]) -> None:
        self._keyring = keyring
        self._told = told
        self._lookups: dict[int, bytes] = {}
        self._seen: tuple[Any, ...] = ()
        self._pseudonyms: dict[str, str] = {}
        self._opened: dict[str, _Subject | None] = {}
        self.generation = 0

    def forget(self) -> None:
        """Read anew from here on: somebody was erased."""
        self.generation += 1
        self._pseudonyms = {}
        self._opened = {}

    def notice(self, seen: tuple[Any, ...]) -> None:
        """Forget, if what can be seen of erasures at a glance is not what it was."""
        if seen != self._seen:
            self._seen = seen
            self.forget()

    def pseudonym(self, ctx: Context, ref: str) -> str:
        """What to write instead of a person's reference; made now when they are met for the first time."""
        if self._told() and (known := self._pseudonyms.get(ref)) is not None:
            return known
        key = (TOPIC, ref)
        local: str | None = ctx.work.local.get(key)
        if local is None:
            local = next(iter(self._found(ctx, ref, self._lookup_keys())), None) or self._made(ctx, ref)
            self._remember(ctx, key, local)
        return local

    def _remember(self, ctx: Context, key: tuple[str, str], pseudonym: str) -> None:
        """For this transaction now, and for all when it is committed."""
        generation, local = self.generation, ctx.work.local
        local[key] = pseudonym
        ctx.work.on_rollback(lambda: local.pop(key, None) and None)

        def committed() -> None:
            if generation == self.generation and self._told() and len(self._pseudonyms) < _MAX_CACHED:
                self._pseudonyms[key[1]] = pseudonym

        ctx.work.on_commit(committed)

    def pseudonyms(self, ctx: Context, ref: str) -> list[str]:
        """All pseudonyms of a person: what to look for."""
        return self._found(ctx, ref, self._every_lookup_key())

    def _found(self, ctx: Context, ref: str, keys: Mapping[int, bytes]) -> list[str]:
        digests = [_digest(key, ref) for key in keys.values()]
        query = select(audit_subject.c.pseudonym).where(audit_subject.c.lookup.in_(digests))
        return [PSEUDONYM + one for one in ctx.execute(query.order_by(audit_subject.c.pseudonym)).scalars()]

    def _lookup_keys(self) -> Mapping[int, bytes]:
        """The keys known here. One that is missing only costs a person a second pseudonym."""
        return self._lookups or self._every_lookup_key()

    def _every_lookup_key(self) -> Mapping[int, bytes]:
        self._lookups = {one.number: one.derive("lookup") for one in self._keyring.every(PURPOSE)}
        return self._lookups

    def _made(self, ctx: Context, ref: str) -> str:
        secret = os.urandom(32)
        found = hmac.digest(secret, b"mallcore/pseudonym/" + ref.encode("utf-8", "surrogatepass"), "sha256").hex()[:32]
        key = self._keyring.current(PURPOSE)
        row = {
            "pseudonym": found,
            "lookup": _digest(key.derive("lookup"), ref),
            "key_number": key.number,
            "wrapped": _sealed(AESGCM(key.derive("wrap")), secret, found),
            "ref": _sealed(AESGCM(secret), ref.encode("utf-8", "surrogatepass"), found),
            "made_at": ctx.now(),
        }
        ctx.execute(insert(audit_subject), row)
        return PSEUDONYM + found

    def hidden(self, ctx: Context, value: Any) -> Any:
        """A JSON value without the persons it names."""
        return replaced(value, lambda ref: self.pseudonym(ctx, ref))

    def seal(self, ctx: Context, pseudonym: str, values: Mapping[str, Any], about: str) -> str:
        """A person's details under their key, as part of one record only."""
        name = pseudonym.removeprefix(PSEUDONYM)
        subject = self._known(ctx, {name})[name]
        if subject is None:  # erased at this very moment: then nobody may read this either
            return f"{name}:"
        return f"{name}:{_sealed(subject.cipher, json.dumps(values).encode(), about)}"

    def open(self, ctx: Context, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Records' rows as people read them: with names for pseudonyms, and details under ``personal``."""
        given = list(rows)
        names = {ref.removeprefix(PSEUDONYM) for row in given for ref in _pseudonyms(row)}
        names |= {row["sealed"].partition(":")[0] for row in given if row["sealed"]}
        known = self._known(ctx, names) if names else {}
        return [_readable(row, known) for row in given]

    def _known(self, ctx: Context, names: set[str]) -> dict[str, _Subject | None]:
        """Who is behind pseudonyms: nobody, for one that was erased or never was."""
        cached = self._opened if self._told() else {}
        found = {name: cached[name] for name in names if name in cached}
        generation, missing = self.generation, sorted(names - found.keys())
        if missing:
            keys = {one.number: one for one in self._keyring.every(PURPOSE)}
            query = select(audit_subject).where(ctx.backend.among(audit_subject.c.pseudonym, missing))
            rows = {row.pseudonym: row for row in ctx.execute(query)}
            fresh = {name: _opened(rows.get(name), keys) for name in missing}
            found |= fresh
            if generation == self.generation and self._told() and len(self._opened) < _MAX_CACHED:
                self._opened.update({name: one for name, one in fresh.items() if one is not None})
        return found


class _Subject:
    """A person whose key is there."""

    __slots__ = ("cipher", "ref")

    def __init__(self, cipher: AESGCM, ref: str) -> None:
        self.cipher = cipher
        self.ref = ref


def look(ctx: Context) -> None:
    """See whether somebody was erased."""
    erased = select(func.count(audit_subject.c.erased_at), func.max(audit_subject.c.erased_at))
    ctx.port(Subjects).notice(tuple(ctx.execute(erased.where(audit_subject.c.erased_at.is_not(None))).one()))


def _digest(key: bytes, ref: str) -> str:
    return hmac.digest(key, ref.encode("utf-8", "surrogatepass"), "sha256").hex()


def _sealed(cipher: AESGCM, content: bytes, about: str) -> str:
    nonce = os.urandom(_NONCE)
    return base64.b64encode(nonce + cipher.encrypt(nonce, content, about.encode())).decode()


def _unsealed(cipher: AESGCM, text: str, about: str) -> bytes:
    content = base64.b64decode(text)
    return cipher.decrypt(content[:_NONCE], content[_NONCE:], about.encode())


def _opened(row: Any, keys: Mapping[int, Any]) -> _Subject | None:
    if row is None or row.wrapped is None or row.ref is None or row.key_number not in keys:
        return None
    try:
        secret = _unsealed(AESGCM(keys[row.key_number].derive("wrap")), row.wrapped, row.pseudonym)
        cipher = AESGCM(secret)
        return _Subject(cipher, _unsealed(cipher, row.ref, row.pseudonym).decode("utf-8", "surrogatepass"))
    except (InvalidTag, ValueError):  # somebody changed the row: it names nobody rather than somebody else
        return None


def _pseudonyms(row: Mapping[str, Any]) -> set[str]:
    return {
        ref for name in ("principal", "subject", "before", "after") for ref in persons(row[name])
        if ref.startswith(PSEUDONYM)
    }  # fmt: skip


def _readable(row: Mapping[str, Any], known: Mapping[str, _Subject | None]) -> dict[str, Any]:
    def name(ref: str) -> str:
        if not ref.startswith(PSEUDONYM) or row["form"] is None:  # old code wrote names as they are
            return ref
        subject = known.get(ref.removeprefix(PSEUDONYM))
        return ERASED if subject is None else subject.ref

    shown = {field: replaced(row[field], name) for field in ("principal", "subject", "before", "after")}
    return {**row, **shown, "personal": _details(row, known)}


def _details(row: Mapping[str, Any], known: Mapping[str, _Subject | None]) -> Any:
    name, _, text = (row["sealed"] or "").partition(":")
    subject = known.get(name)
    if not text or subject is None:
        return None
    try:
        return json.loads(_unsealed(subject.cipher, text, row["id"]))
    except (InvalidTag, ValueError):
        return None
