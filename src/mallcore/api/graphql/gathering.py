"""Many calls of queries for the price of one: statements of the same form are asked for together.

An operation is run until it asks the database; then it is left, and the next one is run. When all have asked, their
statements are joined by UNION ALL into as few as there are forms, and the operations are run again from the start,
with what was answered. So the number of statements depends on what one operation asks, not on how many are run.
Queries can be run again because they write nothing; whatever can't be joined is asked for directly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import CursorResult, Executable, Select, literal_column, select, union_all
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

from mallcore.kernel.context import Context

T = TypeVar("T")
_ROUNDS = 12
_MOST_PARTS = 250  # SQLite joins up to 500
_PLAIN = re.compile(r"[a-z][a-z0-9_]*")


class Parked(BaseException):
    """An operation asks the database for something that isn't known yet."""

    def __init__(self, key: Hashable, statement: Select[Any]) -> None:
        super().__init__()
        self.key = key
        self.statement = statement


class Gathering(Context):
    """A Context in the same unit of work that leaves an operation when it asks for what was not gathered."""

    __slots__ = ("_answers", "_patient")

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx.services, ctx.principal, ctx.work, ctx.request_id)
        self._answers: dict[Hashable, tuple[list[str], list[tuple[Any, ...]]]] = {}
        self._patient = False

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """The answer, if it was gathered; else the operation is left, unless it has to be asked for directly."""
        key = None if self._patient or self.commanding or parameters is not None else _key(statement)
        if key is None:
            return super().execute(statement, parameters)
        found = self._answers.get(key)
        if found is None:
            raise Parked(key, cast("Select[Any]", statement))
        names, rows = found
        return cast("CursorResult[Any]", IteratorResult(SimpleResultMetaData(names), iter(rows)))

    def all(self, calls: Sequence[Callable[[Context], T]]) -> list[T | Exception]:
        """What each call returns or raises."""
        done: dict[int, T | Exception] = {}
        for round in range(_ROUNDS + 1):
            self._patient = round == _ROUNDS or len(calls) - len(done) == 1
            parked = [self._tried(number, call, done) for number, call in enumerate(calls) if number not in done]
            wanted = {one.key: one.statement for one in parked if one is not None}
            if not wanted:
                break
            self._ask(wanted)
        return [done[number] for number in range(len(calls))]

    def _tried(self, number: int, call: Callable[[Context], T], done: dict[int, T | Exception]) -> Parked | None:
        try:
            done[number] = call(self)
        except Parked as parked:
            return parked
        except Exception as error:
            done[number] = error
        return None

    def _ask(self, wanted: dict[Hashable, Select[Any]]) -> None:
        forms: dict[Hashable, list[Hashable]] = {}
        for key in wanted:
            forms.setdefault(cast(tuple[Any, ...], key)[0], []).append(key)
        for keys in forms.values():
            for start in range(0, len(keys), _MOST_PARTS):
                self._ask_one(keys[start : start + _MOST_PARTS], wanted)

    def _ask_one(self, keys: Sequence[Hashable], wanted: dict[Hashable, Select[Any]]) -> None:
        names = list(wanted[keys[0]].selected_columns.keys())
        for key in keys:
            self._answers[key] = (names, [])
        if len(keys) == 1:
            self._answers[keys[0]][1].extend(tuple(row) for row in super().execute(wanted[keys[0]]))
            return
        for row in super().execute(_joined([wanted[key] for key in keys])):
            self._answers[keys[row[0]]][1].append(tuple(row)[1:])


def _joined(statements: Iterable[Select[Any]]) -> Executable:
    """One statement for many of the same form; the first column says which of them a row answers."""
    first, *others = [statement.subquery(f"part_{number}") for number, statement in enumerate(statements)]
    parts = [select(literal_column("0"), *first.c)]
    names = list(first.c.keys())
    plain = all(map(_PLAIN.fullmatch, names))
    for number, part in enumerate(others, 1):
        # A union's types are those of its first part: the others need only names, which is less to make and to write.
        columns: Iterable[Any] = [literal_column(f'part_{number}."{name}"') for name in names] if plain else part.c
        parts.append(select(literal_column(str(number)), *columns).select_from(part))
    return union_all(*parts)


def _key(statement: Executable) -> Hashable | None:
    """What names a statement, its form first; nothing for what can't be joined."""
    if not isinstance(statement, Select) or statement._for_update_arg is not None:
        return None
    form = statement._generate_cache_key()
    if form is None:
        return None
    values = tuple(_frozen(one.effective_value) for one in form.bindparams)
    return (form.key, values)


def _frozen(value: Any) -> Hashable:
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(map(_frozen, value))
    return (type(value), value) if isinstance(value, Hashable) else repr(value)
