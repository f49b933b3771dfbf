"""Operations: one public capability each, and the one pipeline they all go through.

validate → authorize → idempotency → the function itself → errors in the mall's words. An operation is a plain function
whose first argument is a `Context`; everything else is given by keyword. Its REST face is declared beside it.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model
from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mallcore.errors import IdempotencyMismatch, InvalidInput, InvalidSettings, MallError, NotFound, Unavailable
from mallcore.kernel.context import Context
from mallcore.kernel.ids import is_text
from mallcore.kernel.ports import MALL, Subject
from mallcore.kernel.tables import idempotency

P = ParamSpec("P")
T = TypeVar("T")
Resolver = Callable[[Context, Mapping[str, Any]], Subject | Iterable[Subject]]
Before = Callable[[Context, Mapping[str, Any]], Mapping[str, Any]]
_NAMING = ("unit", "channel", "node", "draft", "schedule", "snapshot", "role", "grant", "owner", "attachment",
           "version", "upload", "staged", "webhook", "client", "api_key")  # fmt: skip
Kind = Literal["query", "command", "stream"]
KEPT = {"kept": True}
"""The serialization context of a result that is kept under its idempotency key: what is shown once is left out."""


@dataclass(frozen=True, slots=True)
class Rest:
    """How an operation is reached over HTTP. ``{names}`` in the path are parameters of the operation.

    ``raw`` names the parameter that takes the whole body; the others then come from the query string. It takes bytes,
    or, if ``streamed``, a binary stream that is read while the body comes. ``accepts`` are the media types of such a
    body: with ``multipart/form-data`` among them, a form may bring the file and the parameters. ``asked`` names the
    parameter that is told what the request asks for beside parameters: an `Asked`. A ``verbatim`` path means something
    only as it is, not in any other (escaped) spelling, and what else its query holds is left to who reads the `Asked`.
    ``also`` is a longer path for the same, with more of the parameters in it. What is ``posted`` may be sent by a form,
    too: its last field, ``file``, is the body. Of a streamed operation, the parameters ``method`` and ``content_type``
    are told what the request says. ``forms`` are media types beside JSON in which the result can be had, by its method
    ``in_form(media_type, address)``.
    """

    method: str
    path: str
    status: int = 200
    raw: str | None = None
    streamed: bool = False
    accepts: tuple[str, ...] = ()
    asked: str | None = None
    verbatim: bool = False
    also: str = ""
    posted: bool = False
    forms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What an HTTP request says of the answer it wants.

    The names of ``headers`` are in lower case. ``target`` is path (from where the mall's API is mounted) and query as
    they were sent, not decoded: signatures are over those bytes.
    """

    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    target: str = field(default="", repr=False)


def anywhere(ctx: Context, given: Mapping[str, Any]) -> tuple[Subject, ...]:
    """Subject of operations that show each caller only what it may see: any grant of the permission opens them."""
    return ()


def whole_mall(ctx: Context, given: Mapping[str, Any]) -> Subject:
    """Subject of operations about the mall as a whole."""
    return MALL


@dataclass(frozen=True)
class Operation:
    """What is known of one operation: name, permission, input, output, errors, faces."""

    name: str
    kind: Kind
    function: Callable[..., Any]
    permission: str | None
    subject: Resolver
    errors: tuple[type[MallError], ...]
    rest: Rest | None
    output_type: Any = None
    before: Before | None = None

    @functools.cached_property
    def hints(self) -> dict[str, Any]:
        """The resolved annotations of the function."""
        return get_type_hints(self.function, include_extras=True)

    @functools.cached_property
    def input(self) -> type[BaseModel]:
        """The parameters after the Context, as a pydantic model that refuses anything else."""
        hints = self.hints
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        fields: dict[str, Any] = {
            p.name: (hints[p.name], ... if p.default is inspect.Parameter.empty else p.default) for p in parameters
        }
        title = "".join(part.title() for part in self.name.replace(".", "_").split("_"))
        return create_model(f"{title}Input", __config__=_STRICT_INPUT, **fields)

    @functools.cached_property
    def output(self) -> TypeAdapter[Any]:
        """The shape of the result."""
        kind: Any = self.output_type if self.output_type is not None else self.hints["return"]
        return TypeAdapter(kind)

    @property
    def parameters(self) -> Iterable[str]:
        """The names of the parameters after the Context."""
        return self.input.model_fields

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.description.split("\n", 1)[0]

    @property
    def description(self) -> str:
        """The docstring, up to its first example: examples are Python's."""
        return (inspect.getdoc(self.function) or "").partition("\n\n>>>")[0]

    def accept(self, arguments: Mapping[str, Any]) -> BaseModel:
        """The arguments, checked and converted; `InvalidInput` names each that is wrong."""
        refuse_unstorable(arguments)
        try:
            return self.input.model_validate(arguments)
        except ValidationError as error:
            raise invalid(error) from None


_STRICT_INPUT = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)


def refuse_unstorable(arguments: Mapping[str, Any]) -> None:
    """Some databases can't hold them and all can be confused by them; what is nested is checked by the rules."""
    for name, value in arguments.items():
        for text in value if type(value) is list else (value,):
            if type(text) is str and not is_text(text):
                raise InvalidInput(field=name[:200], reason="it holds a null byte or a lone surrogate")


def invalid(error: ValidationError) -> InvalidInput:
    """What pydantic found wrong, in the mall's words."""
    problems = [
        {"field": ".".join(map(str, one["loc"])) or "input", "reason": one["msg"]}
        for one in error.errors(include_url=False, include_input=False, include_context=False)[:20]
    ]
    return InvalidInput(field=problems[0]["field"], reason=problems[0]["reason"], problems=problems)


def operation(
    *,
    permission: str | None,
    kind: Kind = "query",
    subject: Resolver = whole_mall,
    errors: tuple[type[MallError], ...] = (),
    rest: Rest | None = None,
    name: str | None = None,
    output: Any = None,
    before: Before | None = None,
) -> Callable[[Callable[Concatenate[Context, P], T]], Callable[Concatenate[Context, P], T]]:
    """Make a function an operation: it then checks its input and its caller before it runs.

    ``permission`` is what the caller needs (``None``: open to everybody, on purpose); ``subject`` tells, from the
    Context and the checked arguments, what the call is about. A ``command`` writes; a ``query`` does not. What
    ``before`` returns takes the place of arguments: it is called before the command begins to write, to move bytes.
    """

    def decorate(function: Callable[Concatenate[Context, P], T]) -> Callable[Concatenate[Context, P], T]:
        known = Operation(name or _name(function), kind, function, permission, subject, errors, rest, output, before)

        @functools.wraps(function)
        def call(ctx: Context, *args: P.args, **kwargs: P.kwargs) -> T:
            if args:
                raise TypeError(f"{known.name} takes its arguments by keyword")
            return cast(T, run(known, ctx, kwargs))

        call.operation = known  # type: ignore[attr-defined]
        return cast(Callable[Concatenate[Context, P], T], call)

    return decorate


def _name(function: Callable[..., Any]) -> str:
    package = function.__module__.removeprefix("mallcore.").split(".operations")[0]
    return f"{package}.{function.__name__}"


def run(known: Operation, ctx: Context, arguments: Mapping[str, Any]) -> Any:
    """Take one call through the pipeline."""
    ctx.work.refuse_if_spoiled()
    outer, ctx.operation = ctx.operation, known.name
    try:
        given = known.accept(arguments)
        authorize(known, ctx, given.__dict__)
        if known.kind == "command":
            return _command(known, ctx, given)
        return known.function(ctx, **given.__dict__)
    except SQLAlchemyError as error:
        raise _translated(ctx, error) from error
    finally:
        ctx.operation = outer


def authorize(known: Operation, ctx: Context, given: Mapping[str, Any]) -> None:
    """Refuse the call unless its caller holds the permission for everything it is about."""
    if known.permission is None:
        return
    reach = ctx.reach(known.permission)
    if reach.everywhere:
        return
    if not reach:
        ctx.refuse(known.permission, **_asked(given))
    try:
        about = known.subject(ctx, given)
    except NotFound as error:
        # Whoever may not look there learns nothing about what exists: unknown and foreign are refused alike.
        if error.subject is not None and reach.covers(error.subject):
            raise
        return ctx.refuse(known.permission, **_asked(given))
    for subject in (about,) if isinstance(about, Subject) else about:
        if not reach.covers(subject):
            ctx.refuse(known.permission, subject)


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a refused call named, for the record; unresolved, since its caller may not learn what there is."""
    return {name: given[name][:200] for name in _NAMING if isinstance(given.get(name), str)}


def _command(known: Operation, ctx: Context, given: BaseModel) -> Any:
    if known.before is not None:
        given = given.model_copy(update=dict(known.before(ctx, given.__dict__)))
    outer, ctx.commanding = ctx.commanding, True
    before, ctx.work.dirty = (
        ctx.work.dirty,
        False,
    )  # what earlier operations wrote is whole; only this one can be half done
    try:
        key = getattr(given, "idempotency_key", None)
        if key is None:
            return known.function(ctx, **given.__dict__)
        return _once(known, ctx, given, key)
    except BaseException:
        ctx.work.spoiled = ctx.work.spoiled or ctx.work.dirty
        raise
    finally:
        ctx.commanding = outer
        ctx.work.dirty = ctx.work.dirty or before


def _translated(ctx: Context, error: SQLAlchemyError) -> Exception:
    ctx.work.spoiled = True
    if isinstance(getattr(error, "orig", None), OverflowError):
        return InvalidInput(field="input", reason="a time or a number is beyond what can be stored")
    if isinstance(error, PoolTimeout):
        return Unavailable("All database connections are in use: try again, or set a larger pool_size.")
    return ctx.backend.translate(error) or error


def _once(known: Operation, ctx: Context, given: BaseModel, key: str) -> Any:
    """Run the command, or answer what it answered the first time it came with this key."""
    fingerprint = _fingerprint(known, given)
    row = {"principal": ctx.principal.ref, "key": key, "fingerprint": fingerprint, "at": ctx.now()}
    if not _claim(ctx, row):
        return _replay(known, ctx, key, fingerprint)
    result = known.function(ctx, **given.__dict__)
    mine = (idempotency.c.principal == row["principal"], idempotency.c.key == key)
    ctx.execute(update(idempotency).where(*mine).values(result=known.output.dump_json(result, context=KEPT).decode()))
    return result


def _claim(ctx: Context, row: dict[str, Any]) -> bool:
    """Whether the key was free; a second caller with the same key waits here for the first one's commit."""
    dirty = ctx.work.dirty
    claimed = ctx.add_new(idempotency, row)
    ctx.work.dirty = dirty or claimed
    return claimed


def _replay(known: Operation, ctx: Context, key: str, fingerprint: str) -> Any:
    mine = (idempotency.c.principal == ctx.principal.ref, idempotency.c.key == key)
    earlier = ctx.execute(select(idempotency.c.fingerprint, idempotency.c.result).where(*mine)).one()
    if earlier.fingerprint != fingerprint:
        raise IdempotencyMismatch(key=key)
    ctx.replayed = True
    return known.output.validate_json(earlier.result)


def _fingerprint(known: Operation, given: BaseModel) -> str:
    found = hashlib.sha256(known.name.encode())
    whole = {name for name, value in given.__dict__.items() if isinstance(value, bytes) or hasattr(value, "digest")}
    for name in sorted(whole):  # a file may be in any encoding, or in none; one that is staged is known by its digest
        value = given.__dict__[name]
        content = value if isinstance(value, bytes) else value.digest.encode()
        found.update(f"\n{name}:{len(content)}\n".encode() + content)
    try:
        # Defaults are left out: a parameter that a later version adds must not make an old request another one.
        text = given.model_dump_json(exclude={"idempotency_key", *whole}, exclude_defaults=True)
    except ValueError as error:
        raise InvalidInput(field="input", reason=f"it can't be written as JSON ({error})"[:300]) from None
    return hashlib.sha256(found.digest() + text.encode()).hexdigest()


def forget_old_keys(ctx: Context, days: int) -> int:
    """Drop idempotency keys older than this; returns how many. Part of the scheduler's housekeeping."""
    return ctx.execute(delete(idempotency).where(idempotency.c.at < ctx.now() - timedelta(days=days))).rowcount


class Catalogue(Mapping[str, Operation]):
    """The operations of one mall by name; immutable, so that everything derived from it can be cached on it."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._operations = {one.name: one for one in sorted(operations, key=lambda one: one.name)}
        self.derived: dict[Any, Any] = {}
        """What others made from it, under keys of theirs: it goes when the catalogue goes."""

    @classmethod
    def of(cls, *packages: Any) -> Catalogue:
        """All operations among the public names of the packages."""
        names = ((package, name) for package in packages for name in package.__all__)
        found = (getattr(getattr(package, name), "operation", None) for package, name in names)
        return cls(one for one in found if isinstance(one, Operation))

    def with_more(self, functions: Iterable[Any]) -> Catalogue:
        """This catalogue with further operations, given as the functions they are; a name that is taken is refused."""
        more = [one.operation for one in functions]
        taken = sorted({one.name for one in more} & set(self._operations))
        if taken:
            raise InvalidSettings(setting="plugins", reason=f"an operation named {taken[0]!r} is there already")
        return Catalogue((*self._operations.values(), *more)) if more else self

    def __getitem__(self, name: str) -> Operation:
        return self._operations[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._operations)

    def __len__(self) -> int:
        return len(self._operations)
