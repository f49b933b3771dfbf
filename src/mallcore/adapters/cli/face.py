"""One operation as a command. What is typed is brought into shape here; what is wrong with it, the operation says."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import typer

from mallcore import Context, structure
from mallcore.adapters.cli.files import json_list
from mallcore.adapters.cli.forms import Show, drafted
from mallcore.adapters.cli.parameters import flag, kind_of, option, typed
from mallcore.adapters.cli.progress import bars
from mallcore.adapters.cli.session import Cli
from mallcore.adapters.cli.shared import add
from mallcore.errors import InvalidInput
from mallcore.kernel.operations import Operation

TOP = "/"
_OF_REVISIONS = frozenset({"channel", "message", "expected_revision", "idempotency_key"})


@dataclass(frozen=True)
class Face:
    """A command: the operation behind it, which parameters are typed by place, and how its result is shown."""

    path: str
    call: Callable[..., Any]
    places: str = ""
    show: Show | None = None
    without: str = ""
    required: str = ""
    decls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    help: str = ""
    prepare: Callable[[Context, dict[str, Any]], None] | None = None
    edit: str = ""
    """The kind of edit that a draft keeps instead, when one is named with --draft."""
    long: bool = False
    """Whether it may take so long that somebody wants to see how far it is."""
    otherwise: Mapping[str, Any] = field(default_factory=dict)
    """What parameters are when they are not typed, where that is not the operation's own default."""
    wrong: Callable[[Any], bool] | None = None
    """Tells of a result that it is bad news: then the command exits with 1."""
    final: bool = False
    """Whether it can't be taken back: then it is done only when it is asked for with --yes."""

    @property
    def operation(self) -> Operation:
        """What is known of the operation."""
        found: Operation = self.call.operation  # type: ignore[attr-defined]
        return found

    @property
    def known(self) -> Mapping[str, inspect.Parameter]:
        """The operation's own parameters."""
        found = dict(inspect.signature(self.operation.function).parameters)
        del found[next(iter(found))]
        return found

    @property
    def parameters(self) -> Iterator[inspect.Parameter]:
        """The command's parameters, those typed by place first."""
        known, places = self.known, self.places.split()
        left_out = {*places, *self.without.split(), "min_revision"}
        for name in [*places, *(name for name in known if name not in left_out)]:
            needed = known[name].default is inspect.Parameter.empty or name in self.required.split()
            yield typed(
                known[name].replace(default=self.otherwise.get(name, known[name].default)),
                self.operation.hints[name],
                place=name in places,
                required=needed and (name != "channel" or name in places),
                decls=self.decls.get(name),
            )
        if self.edit:
            yield option("kept_in", str, "Keep this edit in a draft instead.", ("--draft",), "DRAFT")
        if self.final:
            yield flag("sure", "Do it: it can't be taken back.", ("--yes",))
        if "cursor" in known:
            yield flag("all_pages", "Show all pages.", ("--all",))


def bind(app: typer.Typer, face: Face) -> None:
    """Register the command of a face."""

    def function(cli: Cli, **given: Any) -> None:
        _run(cli, face, given)

    add(app, face.path.rpartition(" ")[2], function, face.parameters, face.help or face.operation.description)


def _run(cli: Cli, face: Face, given: dict[str, Any]) -> None:
    draft, all_pages = given.pop("kept_in", None), given.pop("all_pages", False)
    if face.final and not given.pop("sure", False):
        raise InvalidInput("This can't be taken back, so nothing was done: --yes does it.", field="--yes")
    hints = face.operation.hints
    arguments = {name: _value(name, kind_of(hints[name]), one) for name, one in given.items() if one is not None}
    arguments = {name: None if one == TOP and name == "parent" else one for name, one in arguments.items()}
    if draft is not None:
        cli.out.result(_kept(cli, face, draft, arguments), drafted)
        return
    arguments = {**face.otherwise, **arguments}
    known = face.known
    if "channel" in known and known["channel"].default is inspect.Parameter.empty:
        arguments["channel"] = cli.channel(arguments.get("channel"))
    if face.prepare is not None:
        with cli.begin() as ctx:
            face.prepare(ctx, arguments)
    with bars(cli.out) if face.long else nullcontext():
        found = _all(cli, face, arguments) if all_pages else cli.call(face.call, **arguments)
    assert face.show is not None
    cli.out.result(found, face.show)
    if face.wrong is not None and face.wrong(found):
        raise typer.Exit(1)


def _all(cli: Cli, face: Face, arguments: dict[str, Any]) -> Any:
    """All pages as one."""
    page = cli.call(face.call, **arguments | {"limit": 200})
    items = list(page.items)
    while page.next is not None:
        page = cli.call(face.call, **arguments | {"limit": 200, "cursor": page.next})
        items += page.items
    return page.model_copy(update={"items": items, "next": None})


def _kept(cli: Cli, face: Face, draft: str, arguments: dict[str, Any]) -> Any:
    """The edit, kept in a draft; its revision and message are the draft's business."""
    refused = sorted(_OF_REVISIONS & set(arguments) - {"expected_revision", "idempotency_key"})
    if refused:
        reason = "a draft has its channel, and its message is given when it is published"
        raise InvalidInput(field=f"--{refused[0]}", reason=reason)
    about = {name: arguments.pop(name) for name in _OF_REVISIONS & set(arguments)}
    return cli.call(structure.edit_draft, draft=draft, edits=[{"op": face.edit, **arguments}], **about)


def _value(name: str, kind: str, given: Any) -> Any:
    """What was typed, in the shape its kind asks for."""
    if kind in ("pairs", "values"):
        pairs = [_pair(name, one) for one in given]
        return {key: _json_or_text(text) if kind == "values" else text for key, text in pairs}
    if kind == "file":
        return json_list(given, name)
    return given.value if kind == "choice" else given


def _pair(name: str, text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise InvalidInput(field=name, reason=f"{text[:80]!r} has no form KEY=VALUE")
    return key, value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
