"""Contents read again and hashed: `attachments verify`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from mallcore import attachments
from mallcore.adapters.cli.output import Output
from mallcore.adapters.cli.progress import bars
from mallcore.adapters.cli.session import Cli
from mallcore.errors import ContentErased, MallError, Quarantined

_PIECE = 1 << 18
Told = Callable[[int, int], None]


def verify(
    cli: Cli,
    refs: Annotated[
        list[str],
        typer.Argument(metavar="REF...", help="Versions (att_…@3, att_…@live), or attachments: then all versions."),
    ],
) -> None:
    """Read contents again, and check that every byte is the one that was kept. Exits with 1 unless all are.

    All that a store holds is compared and healed by `attachments scrub`.
    """
    with bars(cli.out) as shown:
        done = [_verified(cli, one, lambda n, of: shown.told("hashing", n, of)) for one in _versions(cli, refs)]
    bad = sum(one["state"] == "bad" for one in done)
    cli.out.result({"items": done, "bad": bad}, _shown)
    if bad:
        raise typer.Exit(1)


def _versions(cli: Cli, refs: list[str]) -> Iterator[attachments.Version]:
    """What is meant: one version, or each of an attachment."""
    for ref in refs:
        if "@" in ref:
            yield cli.call(attachments.get_version, version=ref)
            continue
        cursor: str | None = None
        while True:
            page = cli.call(attachments.list_versions, attachment=ref, limit=200, cursor=cursor)
            yield from page.items
            cursor = page.next
            if cursor is None:
                break


def _verified(cli: Cli, version: attachments.Version, told: Told) -> dict[str, Any]:
    """How it stands with one version: ``ok``, ``bad``, or ``skipped`` where nothing may be read."""
    found = {"ref": version.ref, "size": version.size, "digest": version.digest}
    try:
        actual = _digest(cli, version, told)
    except (ContentErased, Quarantined) as error:
        return {**found, "state": "skipped", "reason": str(error)}
    except (MallError, OSError) as error:
        return {**found, "state": "bad", "reason": str(error)}
    if actual != version.digest:
        return {**found, "state": "bad", "reason": f"its SHA-256 is {actual}"}
    return {**found, "state": "ok", "reason": ""}


def _digest(cli: Cli, version: attachments.Version, told: Told) -> str:
    hashed, done = hashlib.sha256(), 0
    with cli.begin() as ctx:
        stream = attachments.open_version(ctx, version=version.ref)
    with stream:
        while piece := stream.read(_PIECE):
            hashed.update(piece)
            done += len(piece)
            told(done, version.size)
    return hashed.hexdigest()


def _shown(out: Output, found: Any) -> None:
    for one in found["items"]:
        text = f"{one['ref']}: {one['size']:,} bytes, as kept." if one["state"] == "ok" else ""
        out.say(text or f"{one['ref']}: {one['state']}: {one['reason']}", "red" if one["state"] == "bad" else "")
