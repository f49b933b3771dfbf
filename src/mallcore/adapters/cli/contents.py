"""Contents in and out: `attachments put` and `attachments get`, with progress, whatever their size."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from mallcore import attachments
from mallcore.adapters.cli.files import STANDARD, opened, store_bytes
from mallcore.adapters.cli.output import Output
from mallcore.adapters.cli.progress import bars
from mallcore.adapters.cli.session import Cli
from mallcore.errors import ContentMismatch, InvalidInput

_PIECE = 1 << 18
Text = str | None


def _option(help: str, metavar: str, *decls: str) -> Any:
    return typer.Option(*decls, metavar=metavar, help=help)


Owner = Annotated[
    Text, _option("What it belongs to, such as channel:books. [default: the attachment's]", "KIND:ID", "--owner")
]
SlotName = Annotated[
    Text, _option("The slot whose policy counts. [default: the attachment's, or file]", "TEXT", "--slot")
]
Attachment = Annotated[
    Text, _option("The attachment that gets a new version. [default: a new one]", "ID", "--attachment")
]
FileName = Annotated[Text, _option("The file's name. [default: that of FILE]", "TEXT", "--name")]
Label = Annotated[Text, _option("The label that moves to the new version; '' moves none.", "TEXT", "--label")]
Expect = Annotated[int | None, _option("Refuse unless the label stands at this version; 0: at none.", "N", "--expect")]
Unit = Annotated[Text, _option("The unit's slug or id, if there are several.", "TEXT", "--unit")]
MediaType = Annotated[Text, _option("The media type it is said to have; never trusted.", "TEXT", "--type")]
Size = Annotated[int | None, _option("Refuse it unless it has so many bytes.", "N", "--size")]
Sha256 = Annotated[Text, _option("Refuse it unless this is its SHA-256.", "HEX", "--sha256")]
Meta = Annotated[Text, _option("Facts of your own, as a JSON object; kept with the version.", "JSON", "--meta")]
Key = Annotated[
    Text, _option("Repeating a command with its key answers, and changes nothing.", "TEXT", "--idempotency-key")
]


def put(
    cli: Cli,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file, or - for standard input.")],
    owner: Owner = None,
    slot: SlotName = None,
    attachment: Attachment = None,
    name: FileName = None,
    label: Label = "live",
    expect: Expect = None,
    unit: Unit = None,
    declared_type: MediaType = None,
    size: Size = None,
    sha256: Sha256 = None,
    meta: Meta = None,
    idempotency_key: Key = None,
) -> None:
    """Keep a file as a version, and print the reference that names it for ever, such as `att_…@1`."""
    given: dict[str, Any] = {
        **_home(cli, attachment, owner, slot, unit),
        "file_name": name or _name_of(file),
        "attachment": attachment,
        "label": label or None,
        "expect": expect,
        "declared_type": declared_type,
        "size": size,
        "sha256": sha256,
        "meta": _object(meta),
        "idempotency_key": idempotency_key,
    }
    with bars(cli.out) as shown, opened(file, lambda done, total: shown.told("sending", done, total)) as content:
        version = cli.call(attachments.upload_file, file=content, **given)
    cli.out.result(version, named)


def _home(cli: Cli, attachment: str | None, owner: str | None, slot: str | None, unit: str | None) -> dict[str, Any]:
    """To whom it belongs, and by which policy: as given, else as the attachment has it."""
    if owner is None and attachment is None:
        raise InvalidInput(field="--owner", reason="say what it belongs to, such as channel:books")
    if attachment is not None and (owner is None or slot is None):
        found = cli.call(attachments.get_attachment, attachment=attachment)
        owner, slot, unit = owner or found.owner, slot or found.slot, unit or found.unit_id
    return {"owner": owner, "slot": slot or "file", "unit": unit}


def _name_of(file: str) -> str:
    if file == STANDARD:
        raise InvalidInput(field="--name", reason="standard input has no name: give one")
    return Path(file).name


def _object(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(field="--meta", reason="it is no JSON") from None


def get(
    cli: Cli,
    version: Annotated[str, typer.Argument(metavar="REF", help="Which version: att_…@3, att_…@live, att_…@sha256:….")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")],
    at: Annotated[
        Text,
        typer.Option(metavar="TEXT", help="What was live then: a time, a snapshot's name, or channel@revision."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Replace a file that is there.")] = False,
) -> None:
    """Write a version's content to a file, and check that every byte is the one that was kept."""
    target = None if output == STANDARD else Path(output)
    if target is not None and target.exists() and not force:
        raise InvalidInput(f"There is a file {output!r} already: name another one, or give --force.", file=output)
    with cli.begin() as ctx:
        found = attachments.get_version(ctx, version=version, at=at)
        stream = attachments.open_version(ctx, version=found.ref)
    with stream, bars(cli.out) as shown:
        pieces = _checked(stream, found, lambda done: shown.told("fetching", done, found.size))
        if target is None:
            cli.out.pass_on(pieces)
            return
        store_bytes(target, pieces)
    result = {"file": output, "ref": found.ref, "size": found.size, "digest": found.digest}
    cli.out.result(result, lambda out, _: out.say(f"{output}: {found.ref}, {found.size:,} bytes, SHA-256 as kept."))


def _checked(stream: BinaryIO, found: attachments.Version, told: Any) -> Any:
    """The bytes of a version, piece by piece; at their end `ContentMismatch` unless they are what was kept."""
    hashed, done = hashlib.sha256(), 0
    while piece := stream.read(_PIECE):
        hashed.update(piece)
        done += len(piece)
        told(done)
        yield piece
    if hashed.hexdigest() != found.digest:
        raise ContentMismatch(what="SHA-256", expected=found.digest, actual=hashed.hexdigest())


def named(out: Output, version: attachments.Version) -> None:
    """The reference that names a version for ever."""
    out.say(version.ref)


def linked(out: Output, link: attachments.Link) -> None:
    """A link's URL, and beside it what is to be known of it."""
    out.say(link.url)
    if link.url.startswith("/"):
        out.note("a path below the mall's API; with the setting content_url it is a whole URL")
    out.note(f"to {link.version}, good until {link.expires:%Y-%m-%d %H:%M:%S} UTC, jti {link.jti}")


def done(out: Output, _: None) -> None:
    """What leaves nothing to be shown."""
    out.say("Done.")


def collect(
    cli: Cli,
    yes: Annotated[bool, typer.Option("--yes", metavar="", help="Do it; without this it is only counted.")] = False,
    grace_seconds: Annotated[
        float | None,
        typer.Option(metavar="N", help="Leave alone what was touched within so many seconds. [default: a day]"),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="How many contents at most.")] = 100_000,
) -> None:
    """Delete content that nothing refers to, and what abandoned uploads left; a dry run unless `--yes` is given."""
    grace = {} if grace_seconds is None else {"grace_seconds": grace_seconds}
    with bars(cli.out):
        found = cli.call(attachments.collect, dry_run=not yes, limit=limit, **grace)
    cli.out.result(found, collected)


def collected(out: Output, found: attachments.Collected) -> None:
    """What was collected, or would be."""
    did = "Would collect" if found.dry_run else "Collected"
    out.say(
        f"{did} {found.blobs:,} contents of {found.size:,} bytes: {found.objects:,} objects; {found.uploads:,} uploads."
    )
    for one in found.undone:
        out.note(f"{one.store}: {one.key}: {one.reason}")
    if found.dry_run:
        out.note("--yes does it")
