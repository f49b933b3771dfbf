"""What a check of `doctor` finds; and the checks of the audit log, the keys and the object stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from io import BytesIO
from uuid import uuid4

from mallcore import Mall, Principal, audit
from mallcore.errors import MallError
from mallcore.kernel.objects import ObjectStore


@dataclass(frozen=True)
class Finding:
    """What one check found: ``ok``, ``note`` or ``failed``, and for a failure the way out."""

    check: str
    state: str
    found: str
    way_out: str = ""


def checkpoints(mall: Mall) -> Finding:
    """Whether the second store has the audit log's checkpoints."""
    with mall.begin(Principal.system("doctor")) as ctx:
        newest = audit.list_checkpoints(ctx, limit=1).items
    if newest and newest[0].failure:
        way = "See that the store of the setting `checkpoints` can be written: they wait, and none is lost."
        return Finding("audit log", "failed", newest[0].failure, way)
    kept = f"checkpoint at {newest[0].size:,} records" if newest else "no checkpoint yet"
    return Finding("audit log", "ok", kept)


def stores(mall: Mall, whole: bool = False) -> Iterator[Finding]:
    """Whether each object store takes, gives and forgets an object; ``whole``: whether it keeps every promise."""
    named = {name: mall.stores[name] for name in mall.stores.names}
    for name, store in named.items():
        try:
            yield _contract(name, store) if whole else _probe(name, store)
        except MallError as error:
            yield Finding(f"store {name}", "failed", str(error), "Correct its URL, credentials, or rights.")


def _probe(name: str, store: ObjectStore) -> Finding:
    key, content = f"check-{uuid4().hex}", b"mallcore doctor"
    store.put_new(key, BytesIO(content), size=len(content))
    try:
        with store.open(key) as stream:
            same = stream.read() == content
    finally:
        store.delete(key)
    promised = [one.name for one in fields(store.capabilities) if getattr(store.capabilities, one.name)]
    if not same:
        return Finding(f"store {name}", "failed", f"{store.url}: it gave other bytes than it took")
    return Finding(f"store {name}", "ok", f"{store.url} ({', '.join(promised) or 'promises nothing more'})")


def _contract(name: str, store: ObjectStore) -> Finding:
    from mallcore.testing import check_store

    broken = [f"{promise}: {why}" for promise, kept, why in check_store(store) if not kept]
    if broken:
        return Finding(f"store {name}", "failed", f"{store.url}: {'; '.join(broken)[:500]}", "Use another store.")
    return Finding(f"store {name}", "ok", f"{store.url}: it keeps every promise of the contract")


def sealed(mall: Mall) -> Finding:
    """Whether the mall's keys are sealed in the database."""
    if mall.settings.secret is not None:
        return Finding("keys", "ok", "sealed by the setting `secret`")
    way = "Set `secret` (or MALLCORE_SECRET) to a long random text, and rotate the keys."
    return Finding("keys", "note", "they stand in the database as they are: who reads it can sign", way)
