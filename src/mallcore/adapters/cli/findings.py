"""What a check of `doctor` finds, and the check of the audit log."""

from __future__ import annotations

from dataclasses import dataclass

from mallcore import Mall, Principal, audit


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
