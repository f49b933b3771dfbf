"""The audit log from the command line: verifying it here and offline, proofs, the log as a file, logs of edges."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from mallcore import audit
from mallcore.adapters.cli.files import STANDARD, contents, store
from mallcore.adapters.cli.output import Output
from mallcore.adapters.cli.progress import bars
from mallcore.adapters.cli.session import Cli
from mallcore.errors import InvalidInput, NotFound

_PIECE = 4 << 20
_SHOWN = 20

CheckpointOption = Annotated[
    str | None,
    typer.Option("--checkpoint", metavar="FILE", help="A file of checkpoints from a place you trust."),
]
KeyOption = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="VKEY", help="A key that verifies checkpoints, as `audit keys` shows it."),
]
OutputOption = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")]


def verify(
    cli: Cli,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="A log that `audit export` wrote, or a proof. [default: the mall]"),
    ] = None,
    checkpoint: CheckpointOption = None,
    key: KeyOption = None,
    proof: Annotated[bool, typer.Option("--proof", metavar="", help="The file is a proof.")] = False,
) -> None:
    """Check the log of the mall, or without any mall a file: an exported log, or with `--proof` a proof.

    Names the first record that is not as it was, or is not there.
    """
    trusted = "" if checkpoint is None else _text(checkpoint)
    if file is None:
        with bars(cli.out):
            held = cli.call(audit.verify, checkpoint=trusted or None)
        cli.out.result(held, _held)
    elif proof:
        note = audit.check_proof(_json(file), checkpoint=trusted, keys=key or ())
        found = {"origin": note.origin, "size": note.size, "root": base64.b64encode(note.root).decode()}
        cli.out.result(found, lambda out, _: out.say(f"The proof holds in the log of {note.size:,} records."))
    else:
        _verify_file(cli, file, trusted, key or [])


def _verify_file(cli: Cli, file: str, trusted: str, keys: list[str]) -> None:
    with _opened(file) as lines:
        held = audit.check_file(lines, checkpoint=trusted, keys=keys)
    root = base64.b64encode(held.root).decode()
    cli.out.result({"origin": held.origin, "size": held.size, "root": root, "trusted": held.trusted}, lambda *_: None)
    if not cli.out.json:
        _held(cli.out, held)


def _held(out: Output, held: Any) -> None:
    out.say(
        f"{held.size:,} records, none changed, missing or moved; {held.trusted:,} of them under a trusted checkpoint."
    )
    if held.trusted == 0:
        out.note("Nothing from outside vouches for them: give --checkpoint or --key.", "yellow")


def prove(
    cli: Cli,
    record: Annotated[str | None, typer.Argument(metavar="RECORD", help="A record's id.")] = None,
    since: Annotated[
        int | None,
        typer.Option(metavar="SIZE", help="Prove instead that the log grew from its checkpoint of this size."),
    ] = None,
    output: OutputOption = STANDARD,
) -> None:
    """Write a proof that `audit verify --proof` checks without the mall."""
    if (record is None) == (since is None):
        raise InvalidInput(field="record", reason="name a record, or a size with --since")
    found = cli.call(audit.prove, record=record) if record is not None else cli.call(audit.consistency, old=since)
    text = found.model_dump_json(indent=2, exclude_none=True) + "\n"
    if output == STANDARD:
        cli.out.write(text.encode())
        return
    store(Path(output), [text])
    cli.out.result({"file": output}, lambda out, _: out.say(f"{output}: the proof."))


def export(cli: Cli, output: OutputOption = STANDARD) -> None:
    """Write the log as a file that `audit verify FILE` checks without the mall. It holds no names of persons."""
    with cli.begin() as ctx:
        lines = audit.export(ctx)
        if output == STANDARD:
            for line in lines:
                cli.out.text.file.write(line.decode())
            return
        size = store(Path(output), (line.decode() for line in lines))
    cli.out.result({"file": output, "bytes": size}, lambda out, _: out.say(f"{output}: {size:,} bytes."))


def ingest(
    cli: Cli,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Logs, packed by gzip or not.")],
    format: Annotated[
        str | None, typer.Option(metavar="NAME", help="cloudfront or s3. [default: found out from the content]")
    ] = None,
) -> None:
    """Put accesses at the edge on record: CloudFront standard logs, S3 server access logs. A line counts once."""
    total: Counter[str] = Counter()
    problems: list[dict[str, Any]] = []
    with bars(cli.out) as shown:
        for number, file in enumerate(files):
            shown.told("taking in logs", number, len(files))
            for start, piece in _pieces(file):
                done = cli.call(audit.ingest, data=piece, format=format)
                total.update(done.model_dump(exclude={"problems"}))
                bad = ({"file": file, "line": start + one.line, "reason": one.reason} for one in done.problems)
                problems += list(bad)[: _SHOWN - len(problems)]
    cli.out.result({**total, "problems": problems}, _ingested)


def _ingested(out: Output, found: Any) -> None:
    names = ("lines", "known", "matched", "unmatched", "forged", "bad")
    out.say(", ".join(f"{found[name]:,} {name}" for name in names) + ".")
    for one in found["problems"]:
        out.note(f"{one['file']}:{one['line']}: {one['reason']}", "yellow")


def _pieces(file: str) -> Iterator[tuple[int, bytes]]:
    """A log in pieces, each under the lines that name its columns; with what to add to a line's number in the piece."""
    named: list[bytes] = []
    piece: list[bytes] = []
    size = before = 0
    with _opened(file) as lines:
        for number, line in enumerate(lines, 1):
            (named if line.startswith(b"#") and not piece else piece).append(line)
            size += len(line)
            if size >= _PIECE and piece:
                yield before, b"".join(named + piece)
                before, size, piece = number - len(named), 0, []
    yield before, b"".join(named + piece)


def _opened(file: str) -> BinaryIO:
    if file == STANDARD:
        return typer.get_binary_stream("stdin")
    try:
        with open(file, "rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        return gzip.open(file) if packed else open(file, "rb")  # type: ignore[return-value]
    except FileNotFoundError:
        raise NotFound(f"There is no file {file!r}: check the path, or give - for standard input.", file=file) from None
    except OSError as error:
        raise InvalidInput(f"{file!r} can't be read: {error.strerror or error}.", file=file) from None


def _text(file: str) -> str:
    try:
        return contents(file).decode()
    except UnicodeDecodeError:
        raise InvalidInput(field="checkpoint", reason=f"{file!r} is no text") from None


def _json(file: str) -> dict[str, Any]:
    try:
        found = json.loads(contents(file))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidInput(field="proof", reason=f"{file!r} is no proof that `audit prove` wrote")
    return found
