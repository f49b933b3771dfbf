"""The kinds of errors, and those that belong to no domain."""

from __future__ import annotations

from typing import Any, ClassVar


class MallError(Exception):
    """Something in the mall went wrong."""

    code: ClassVar[str] = "mall-error"

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.details = details
        self.__dict__.update(details)
        super().__init__(message if message is not None else default_message(type(self), details))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), str(self), self.details)


def default_message(kind: type[MallError], details: dict[str, Any]) -> str:
    template = " ".join((kind.__doc__ or kind.__name__).split("\n\n")[0].split())
    try:
        return template.format_map(details)
    except (KeyError, IndexError):
        return template


def _rebuilt(kind: type[MallError], message: str, details: dict[str, Any]) -> MallError:
    return kind(message, **details)


class InvalidInput(MallError):
    """{field}: {reason}."""

    code = "invalid-input"


class LimitExceeded(InvalidInput):
    """{what} is {actual}, and the limit is {limit}: send less."""

    code = "limit-exceeded"


class IdempotencyMismatch(InvalidInput):
    """The idempotency key {key!r} was used before for another request: use a new key."""

    code = "idempotency-mismatch"


class NotFound(MallError):
    """There is no such thing here."""

    code = "not-found"
    subject: Any = None
    """Where it was looked for: who may see all of that is told, who may not is refused."""


class UnknownRole(NotFound):
    """There is no role {role!r}: list the roles to see those there are."""

    code = "unknown-role"


class UnknownGrant(NotFound):
    """There is no grant {grant!r}."""

    code = "unknown-grant"


class UnknownRecord(NotFound):
    """There is no audit record {record!r}."""

    code = "unknown-record"


class UnknownOperation(NotFound):
    """Nothing answers {method} {path}: see the OpenAPI document for what there is."""

    code = "unknown-operation"


class Conflict(MallError):
    """The state of the mall does not allow this now."""

    code = "conflict"


class AlreadyExists(Conflict):
    """There is a {what} {name!r} already: choose another name, or change the one there is."""

    code = "already-exists"


class Denied(MallError):
    """{principal} may not {permission} here: ask for a role that has this permission."""

    code = "denied"


class Unauthenticated(MallError):
    """Nobody is signed in: send the credentials this mall asks for."""

    code = "unauthenticated"


class Unavailable(MallError):
    """The mall can't answer now: try again later."""

    code = "unavailable"


class DatabaseBusy(Unavailable):
    """The database stayed locked for longer than {seconds} s: nothing was changed; try again."""

    code = "database-busy"


class DatabaseReadOnly(Unavailable):
    """The database can't be written (read-only file, folder or server): nothing was changed."""

    code = "database-read-only"


class DatabaseNotReady(Unavailable):
    """The database has no mall of this version yet: run `mallcore db upgrade`."""

    code = "database-not-ready"


class DatabaseTooNew(Unavailable):
    """The database is at schema {found!r}, which this mallcore does not know: upgrade the mallcore package."""

    code = "database-too-new"


class MissingExtra(MallError, ImportError):
    """{what} needs an optional package: pip install "mallcore[{extra}]"."""

    code = "missing-extra"


class InvalidSettings(MallError):
    """The setting {setting!r} is wrong: {reason}."""

    code = "invalid-settings"


class SpoiledWork(MallError):
    """An operation of this unit of work failed after it had begun to write: everything was rolled back."""

    code = "spoiled-work"
