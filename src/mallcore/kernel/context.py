"""The Context: who asks, in which unit of work, and the few doors through which packages meet."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import pluggy
from sqlalchemy import Connection, CursorResult, Executable, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from mallcore.errors import Denied, StageFirst, Unauthenticated
from mallcore.kernel.events import AccessDenied, Event
from mallcore.kernel.ids import new_id
from mallcore.kernel.ports import EVERYWHERE, MALL, NOWHERE, DatabaseBackend, Policy, Reach, SessionSource, Subject
from mallcore.kernel.work import OwnWork, Work

log = logging.getLogger("mallcore")
Port = TypeVar("Port")
_ID = re.compile(r"([a-z]{3}_[0-9a-f]{32})(?:@|$)")


@dataclass(frozen=True, slots=True)
class Credential:
    """By what a principal was recognised, and what that narrows: an API key or an access token, say.

    Nothing is allowed by it that its principal may not do. ``scopes`` are permissions, or patterns as in roles
    (nothing: all); ``units`` and ``channels`` are ids (both nothing: everywhere). ``version`` is the API version it is
    pinned to, ``plan`` the plan that limits how often it may ask, ``client`` the program that bears it.
    """

    id: str
    scopes: frozenset[str] | None = None
    units: frozenset[str] | None = None
    channels: frozenset[str] | None = None
    version: str | None = None
    plan: str | None = None
    client: str | None = None
    alive: Callable[[bool], bool | None] | None = field(default=None, repr=False, compare=False)
    """Whether it still is what it was: asked before each use of a principal that is kept, as streams do. The argument
    says whether it may wait; nothing means that it would have to. Without it, nobody asks."""
    limit: Reach = field(init=False, repr=False, compare=False)
    """Where it counts at all."""

    def __post_init__(self) -> None:
        bounded = self.units is not None or self.channels is not None
        limit = Reach(units=self.units or frozenset(), channels=self.channels or frozenset())
        object.__setattr__(self, "limit", limit if bounded else EVERYWHERE)

    def includes(self, permission: str) -> bool:
        """Whether its scopes include a permission.

        >>> Credential("key_1", scopes=frozenset({"structure.*"})).includes("structure.read")
        True
        """
        scopes = self.scopes
        return scopes is None or permission in scopes or "*" in scopes or f"{permission.partition('.')[0]}.*" in scopes


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. ``ref`` names it in grants and in the audit trail.

    ``session`` tells apart the sign-ins of one person: a link can be bound to one. ``credential`` narrows what it may
    do this time. They say nothing of who asks, so that they are neither compared nor shown.

    >>> Principal.user("ada").ref
    'user:ada'
    """

    kind: str
    id: str
    session: str | None = field(default=None, repr=False, compare=False)
    credential: Credential | None = field(default=None, repr=False, compare=False)

    @classmethod
    def user(cls, id: str, session: str | None = None) -> Principal:
        """A person the host has signed in; ``session`` is the host's name for this sign-in."""
        return cls("user", id, session)

    @classmethod
    def client(cls, id: str) -> Principal:
        """A program the host has authenticated."""
        return cls("client", id)

    @classmethod
    def system(cls, name: str = "system") -> Principal:
        """The host itself: it may do everything. Never make one from what a request says."""
        return cls("system", name)

    @classmethod
    def anonymous(cls) -> Principal:
        """Nobody in particular: may do what was granted to ``anonymous:*``, by default nothing."""
        return cls("anonymous", "*")

    @property
    def ref(self) -> str:
        """``kind:id``."""
        return f"{self.kind}:{self.id}"


@dataclass(slots=True)
class Services:
    """What one mall gives to every Context; wired in `mallcore.mall`, and nowhere else."""

    source: SessionSource
    policy: Policy
    hooks: pluggy.HookRelay
    ports: dict[type, Any] = field(default_factory=dict)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


class Context:
    """One principal in one unit of work: the first argument of every operation."""

    __slots__ = ("_request_id", "commanding", "operation", "principal", "replayed", "services", "work")

    def __init__(self, services: Services, principal: Principal, work: Work, request_id: str | None = None) -> None:
        self.services = services
        self.principal = principal
        self.work = work
        self._request_id = request_id
        self.operation = ""
        self.commanding = False
        self.replayed = False
        """Whether the last command was answered from its idempotency key."""

    @property
    def request_id(self) -> str:
        """The id of the request this is done for; made up when none was given."""
        if self._request_id is None:
            self._request_id = new_id("req")
        return self._request_id

    @property
    def session(self) -> Session:
        """The database session, opened now if it was not; within a command it is ready to write."""
        if not self.commanding:
            return self.work.session()
        self.work.dirty = True
        return self.work.write_session()

    @property
    def connection(self) -> Connection:
        """The connection under the session, for SQL of one's own; prefer `execute`."""
        return (self.work.write_session() if self.commanding else self.work.session()).connection()

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run a Core statement in this unit of work; a change marks it, so that it can't be half applied."""
        connection = self.connection
        if getattr(statement, "is_dml", False):
            self.work.dirty = True
        return connection.execute(statement, parameters)

    def add_new(self, table: Table, row: dict[str, Any]) -> bool:
        """Insert the row unless one with its key is there; returns whether it was.

        Waits for another transaction that is inserting the same key.
        """
        dialect: Any = postgresql if self.backend.name == "postgres" else sqlite
        statement: Insert = dialect.insert(table).values(row).on_conflict_do_nothing()
        # psycopg forgets an INSERT's row count when the cursor is closed
        return self.execute(statement.execution_options(preserve_rowcount=True)).rowcount == 1

    @property
    def backend(self) -> DatabaseBackend:
        """What differs between database engines."""
        return self.services.source.backend

    @property
    def hooks(self) -> pluggy.HookRelay:
        """The mall's hooks, to call."""
        return self.services.hooks

    def port(self, kind: type[Port]) -> Port:
        """The mall's one object that fulfils this Protocol or class."""
        return cast(Port, self.services.ports[kind])

    def now(self) -> datetime:
        """The time, aware and in UTC."""
        return self.services.clock()

    @contextmanager
    def apart(self) -> Iterator[Context]:
        """A unit of work of its own for the same caller, committed at the end of the block whatever becomes of this.

        For what must outlive a rollback: an intent, a decision on record. Where only one transaction can write at a
        time, and this one does, it would wait for itself: `StageFirst`.
        """
        self.work.may_wait()
        if self.backend.serial_writes and self.work.writing:
            raise StageFirst()
        work = OwnWork(self.services.source)
        other = Context(self.services, self.principal, work, self.request_id)
        other.operation = self.operation
        other.commanding = True
        try:
            yield other
            work.commit()
            self.work.let_go()  # what is read next sees what was committed here
        except BaseException as error:
            work.rollback()
            translated = self._translated(error)
            if translated is None:
                raise
            raise translated from error

    def _translated(self, error: BaseException) -> Exception | None:
        return self.backend.translate(error) if isinstance(error, DBAPIError) else None

    def record(self, event: Event) -> None:
        """Tell listeners in this transaction now, and everybody after the outermost commit."""
        commanding, self.commanding = self.commanding, True  # what a query puts on record must be kept, too
        try:
            self.services.hooks.event_recorded(ctx=self, event=event)
        finally:
            self.commanding = commanding
        self.work.on_commit(lambda: _announce(self.services.hooks, event))

    def reach(self, permission: str) -> Reach:
        """Where the principal holds the permission, as far as its credential allows that."""
        credential = self.principal.credential
        if credential is None:
            return self._held(permission)
        if not credential.includes(permission) or not self._alive(credential):
            return NOWHERE
        return self._held(permission).narrowed(credential.limit)

    def _alive(self, credential: Credential) -> bool:
        if credential.alive is None:
            return True
        known = credential.alive(False)
        if known is None:
            self.work.may_wait()
            known = credential.alive(True)
        return bool(known)

    def _held(self, permission: str) -> Reach:
        if self.principal.kind == "system":
            return EVERYWHERE
        policy = self.services.policy
        known = policy.recall(self.principal, permission)
        if known is not None:
            return known
        self.work.may_wait()
        return policy.reach(self.principal, permission)

    def may(self, permission: str, subject: Subject = MALL) -> bool:
        """Whether the principal may do this here."""
        return self.reach(permission).covers(subject)

    def require(self, permission: str, subject: Subject = MALL) -> None:
        """Refuse, and put the refusal on record, unless the principal may do this here."""
        if not self.may(permission, subject):
            self.refuse(permission, subject)

    def refuse(self, permission: str, subject: Subject = MALL, **details: Any) -> None:
        """Raise `Denied` (or `Unauthenticated`), and remember it for the audit trail."""
        named = _named(details)
        if self.principal.credential is not None:
            details = {**details, "credential": self.principal.credential.id}
        self.work.denials.append(
            AccessDenied(
                subject=subject.nodes[0] if subject.nodes else subject.channel_id or subject.unit_id or named,
                unit_id=subject.unit_id,
                channel_id=subject.channel_id,
                operation=self.operation,
                permission=permission,
                principal=self.principal.ref,
                details=details,
            )
        )
        if self.principal.kind == "anonymous":
            raise Unauthenticated()
        raise Denied(principal=self.principal.ref, permission=permission)


def _named(details: Mapping[str, Any]) -> str:
    """The first thing with an id that a refused call named; whether it is there, the caller does not learn."""
    found = (_ID.match(value) for value in details.values() if isinstance(value, str))
    return next((one[1] for one in found if one is not None), "mall")


def _announce(hooks: pluggy.HookRelay, event: Event) -> None:
    try:
        hooks.event_committed(event=event)
    except Exception:
        # The change is committed: its author must not be told that it failed, and later announcements must go out.
        log.exception("a listener to event_committed failed at %s", event.name)
