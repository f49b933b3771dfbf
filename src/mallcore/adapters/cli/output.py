"""What a command says: its result on stdout, as JSON or as text; notes, progress and errors on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime
from io import TextIOWrapper
from typing import Any, TextIO

from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.text import Text

from mallcore.errors import MallError

_WIDE = 1000  # where nobody looks, nothing is wrapped or cut


class Output:
    """The two streams of one command, and whether a program reads them."""

    def __init__(self, json: bool = False) -> None:
        self.json = json
        self.text = console(sys.stdout)
        self.notes = console(sys.stderr)

    @property
    def watched(self) -> bool:
        """Whether somebody sees what is told of progress."""
        return self.notes.is_terminal

    def result(self, value: Any, show: Callable[[Output, Any], None]) -> None:
        """Print a result: as JSON, or as ``show`` does."""
        if self.json:
            self.write(as_json(value))
        else:
            show(self, value)

    def say(self, text: str | Text = "", style: str = "") -> None:
        """A line of a result for people."""
        self.text.print(clean(text) if isinstance(text, str) else text, style=style, soft_wrap=True)

    def draw(self, what: RenderableType, width: int | None = None) -> None:
        """A table or the like; where nobody looks, without the space that fills its lines."""
        if self.text.is_terminal:
            self.text.print(what, width=width)
            return
        with self.text.capture() as captured:
            self.text.print(what, width=width)
        self.text.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))

    def note(self, text: str, style: str = "dim") -> None:
        """A line beside the result."""
        self.notes.print(clean(text), style=style, soft_wrap=True)

    def write(self, data: bytes) -> None:
        """Bytes of a result, as they are."""
        self.text.file.flush()
        sys.stdout.buffer.write(data if data.endswith(b"\n") else data + b"\n")
        sys.stdout.buffer.flush()

    def pass_on(self, pieces: Iterable[bytes]) -> None:
        """A content, byte by byte as it is."""
        self.text.file.flush()
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    def error(self, error: MallError) -> None:
        """Say what was refused or failed, and of a database what its driver says."""
        cause = getattr(error.__cause__, "orig", None)
        said = (str(cause or "").splitlines() or [""])[0]
        reason = {} if said in str(error) else {"cause": said}
        self.failed(error.code, str(error), {**error.details, **reason})

    def failed(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        """Say what went wrong; for a program with its code and details."""
        if self.json:
            shown: dict[str, Any] = {"code": code, "message": message}
            shown.update((key, one) for key, one in (details or {}).items() if key not in shown)
            print(json.dumps({"error": plain(shown)}, ensure_ascii=False), file=sys.stderr, flush=True)
            return
        self.notes.print(Text("error: ", "bold red") + Text(clean(message)), soft_wrap=True)
        for line in _more(details or {}):
            self.notes.print(Text("  " + clean(line), "red"), soft_wrap=True)


def reader_gone() -> int:
    """Whoever read stdout has gone: write no more, and return the exit code that shells know for it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


class _Console(Console):
    """A console that leaves to us what is done when its reader has gone."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(stream: TextIO) -> Console:
    """A console on a stream: as wide as the terminal, or where there is none, as wide as it takes.

    What the stream's encoding lacks is escaped: a name in another script must not end a command half-way.
    """
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    width = None if stream.isatty() else int(os.environ.get("COLUMNS") or _WIDE)
    return _Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def clean(text: str) -> str:
    r"""The text with what a terminal could take for a command made visible: what is shown may be anybody's.

    >>> clean("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text)


def as_json(value: Any) -> bytes:
    """A result as JSON: lists as ``{"items": [...], "next": ...}``, what is JSON already as it is."""
    body = getattr(value, "body", None)
    if isinstance(body, bytes):
        return body
    if isinstance(value, BaseModel):
        return value.model_dump_json(indent=2).encode()
    if isinstance(value, list):
        value = {"items": value, "next": None}
    return json.dumps(plain(value), ensure_ascii=False, indent=2).encode("utf-8", "replace")


def plain(value: Any) -> Any:
    """A value as JSON values; of what has no form in JSON, its text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return [plain(one) for one in value] if isinstance(value, list | tuple | set | frozenset) else str(value)


def _more(details: Mapping[str, Any]) -> list[str]:
    """What a message leaves out and people need: each clash, each field that is wrong."""
    clashes = [
        "{node} {field}: was {base!r}, ours {ours!r}, theirs {theirs!r} ({reason})".format_map(one)
        for one in details.get("clashes", ())
    ]
    problems = [one for one in details.get("problems", ())[1:] if isinstance(one, dict)]
    causes = [details["cause"]] if "cause" in details else []
    return clashes + [f"{one['field']}: {one['reason']}" for one in problems] + causes
