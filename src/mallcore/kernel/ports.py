"""What the kernel asks of the rest of the house, as Protocols: the database's dialect, and who may do what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from mallcore.errors import MallError


@dataclass(frozen=True, slots=True)
class Subject:
    """What a call is about, as access decisions see it.

    ``nodes`` holds a node and everything above it: a grant on any of them covers the call.
    """

    unit_id: str | None = None
    channel_id: str | None = None
    nodes: tuple[str, ...] = ()


MALL = Subject()


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a principal holds one permission: everywhere, or in these units, channels and subtrees."""

    everywhere: bool = False
    units: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    within: Reach | None = None
    """What narrows it further, if both are bounded: a call has to be covered by both."""

    def __bool__(self) -> bool:
        return self.everywhere or bool(self.units or self.channels or self.nodes)

    def covers(self, subject: Subject) -> bool:
        """Whether a call about the subject is within reach.

        >>> Reach(units=frozenset({"unt_1"})).covers(Subject(unit_id="unt_1", channel_id="chn_1"))
        True
        """
        return (
            self.everywhere
            or subject.channel_id in self.channels
            or subject.unit_id in self.units
            or not self.nodes.isdisjoint(subject.nodes)
        ) and (self.within is None or self.within.covers(subject))

    def nodes_in(self, channel: Subject) -> frozenset[str]:
        """The tops of subtrees within reach, as far as they count in this channel."""
        return self.nodes if self.within is None or self.within.covers(channel) else frozenset()

    def narrowed(self, limit: Reach) -> Reach:
        """What lies within both. Only what has no bounds at all is `everywhere`.

        >>> Reach(units=frozenset({"unt_1"})).narrowed(EVERYWHERE).units
        frozenset({'unt_1'})
        """
        if limit.everywhere or not self:
            return self
        if self.everywhere:
            return limit
        within = limit if self.within is None else self.within.narrowed(limit)
        return Reach(False, self.units, self.channels, self.nodes, within)


NOWHERE = Reach()
EVERYWHERE = Reach(everywhere=True)


@runtime_checkable
class Policy(Protocol):
    """Decides who may do what; a host may bring its own engine."""

    generation: int
    """Another number whenever an answer may have changed; whoever keeps an answer compares it."""

    def recall(self, principal: Any, permission: str) -> Reach | None:
        """Where the principal holds the permission, if that is known without waiting. Called on every operation."""
        ...

    def reach(self, principal: Any, permission: str) -> Reach:
        """Where the principal holds the permission; may ask a database."""
        ...


@dataclass(frozen=True, slots=True)
class Presented:
    """A bearer token as a request brings it, and from where."""

    token: str = field(repr=False)
    address: str = ""
    request_id: str | None = None


class Verifier(Protocol):
    """Says whose a bearer token is: of an API key, an access token, a session."""

    def takes(self, token: str) -> bool:
        """Whether the token looks like one of its own; nothing is looked up for that."""
        ...

    def recall(self, presented: Presented) -> Any:
        """What `verify` would return, if that is known without waiting; else nothing. Called on event loops."""
        ...

    def verify(self, presented: Presented) -> Any:
        """The `Principal`, with its `Credential`; raises `Unauthenticated` for anything wrong. May ask a database."""
        ...


class Verifiers:
    """Port: the verifiers of a mall, asked in order."""

    def __init__(self) -> None:
        self.known: list[Verifier] = []

    def of(self, token: str) -> Verifier | None:
        """The verifier that takes such a token."""
        return next((one for one in self.known if one.takes(token)), None)


@runtime_checkable
class DatabaseBackend(Protocol):
    """What differs between database engines, so that nothing else needs to ask which one it is."""

    name: ClassVar[str]
    write_options: ClassVar[dict[str, Any]]
    """Execution options of a connection that is about to write."""
    announcement: ClassVar[str | None]
    """The NOTIFY channel of a database that can change several tables in one statement, as PostgreSQL can."""
    serial_writes: ClassVar[bool]
    """Whether only one transaction can write at a time."""

    def prepare(self, engine: Engine) -> None:
        """Set up an engine that mallcore opened (never one of the host's)."""
        ...

    def join(self, connection: Connection) -> None:
        """Make sure that a host's connection is in a transaction, before a SAVEPOINT is set in it."""
        ...

    def translate(self, error: Exception) -> MallError | None:
        """The mall's word for a driver's error, or nothing when it has none."""
        ...

    def create_partitions(self, connection: Connection, tables: Iterable[str], channel_id: str) -> None:
        """Make room for a new channel, inside the transaction that creates it."""
        ...

    def bulk_insert(self, connection: Connection, table: Any, rows: list[tuple[Any, ...]]) -> None:
        """Insert many rows, given in the order of the table's columns, the fastest way the driver has."""
        ...

    def among(self, column: Any, values: list[str]) -> Any:
        """The condition that a column is one of many values, however many there are."""
        ...

    def announce(self, connection: Connection, payload: str) -> None:
        """Tell the other processes, on commit of this transaction."""
        ...

    def listen(self, engine: Engine, heard: Callable[[str | None], None], stop: threading.Event) -> None:
        """Block and report announcements until stopped; raise when the bus is lost.

        ``heard(None)`` means: something may have changed, look for yourself.
        """
        ...


class SessionSource(Protocol):
    """Opens database sessions; the mall has one, a test may have another."""

    backend: DatabaseBackend

    def open(self) -> Session:
        """A new session that nobody else uses."""
        ...

    def forget_parent(self) -> None:
        """Called in a forked child, before anything else is."""
        ...

    def begin_write(self, session: Session) -> Callable[[], None]:
        """Make the session's next transaction a writing one; returns what to call when it is over."""
        ...
