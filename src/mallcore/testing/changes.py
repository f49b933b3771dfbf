"""The contract of a change between two versions of the API: laws that hold for whatever data there are.

`ChangeContract` is for authors of changes, as a pytest class; `check_change` asks the same without pytest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any, ClassVar
from unittest import SkipTest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import from_json, to_json

from mallcore.api.versions import Change, Release, Versions
from mallcore.api.versions.laws import (
    Sides,
    attempted,
    broken,
    problem_of,
    refuse_strange_examples,
    sides,
    understood,
)
from mallcore.kernel.operations import Catalogue, Operation
from mallcore.testing.payloads import payloads, shown
from mallcore.testing.promises import Report, excuses, kept, refuse_muting

_CHECKS: Any = list(HealthCheck)  # payloads may be large, and few of those that are made valid
EXAMPLES = 60
"""How many payloads each law is tried with."""


class ChangeContract:
    """Inherit, and supply the fixture ``change``; every law of a change is a test here.

    ::

        class TestMyChange(ChangeContract):
            operations = (wishes.list_wishes,)

            @pytest.fixture(params=CHANGES)
            def change(self, request) -> type[Change]:
                return request.param
    """

    excused: ClassVar[dict[str, str]] = {}
    """Names of laws that are not kept, each with the reason."""
    versions: ClassVar[Versions | None] = None
    """The versions that the change belongs to; without them it is the only one."""
    operations: ClassVar[Iterable[Any]] = ()
    """The operations whose parameters it touches: functions, or a catalogue's values."""
    _excuses: ClassVar[Any] = None

    def __init_subclass__(cls) -> None:
        refuse_muting(ChangeContract, cls)
        cls._excuses = excuses()

    def test_older_callers_can_read_what_they_are_shown(self, change: type[Change]) -> None:
        """What the newer version shows is, taken down, valid in the older."""
        for one in self._sides(change):
            if one.shows:
                holds(one, shown(one.newer), "what is taken down is valid in the older version", _readable)

    def test_what_was_taken_down_comes_back(self, change: type[Change]) -> None:
        """Taken down and up again, every field that the older version can hold is what it was."""
        for one in self._sides(change):
            if one.shows:
                holds(one, shown(one.newer), "what was taken down comes back", _returning)

    def test_older_payloads_are_understood(self, change: type[Change]) -> None:
        """What is valid in the older version is, taken up, valid in the newest."""
        for one in self._sides(change):
            holds(one, payloads(one.older), "what is taken up is valid in the newest version", understood)

    def test_conversions_only_look(self, change: type[Change]) -> None:
        """A conversion changes nothing it was given, and says the same twice."""
        for one in self._sides(change):
            holds(one, payloads(one.older), "a conversion leaves what it was given as it was", _pure)

    def test_examples_are_of_the_older_version(self, change: type[Change]) -> None:
        """Each example is valid in the older version, and understood."""
        refuse_strange_examples(change, list(self._sides(change)))

    def _sides(self, change: type[Change]) -> Iterator[Sides]:
        versions = self.versions or alone(change)
        catalogue = Catalogue(one for one in map(_operation, self.operations) if one is not None)
        found = list(sides(versions, catalogue, change))
        if not found:
            raise SkipTest("it touches no data")
        yield from found


def check_change(change: type[Change], versions: Versions | None = None, operations: Iterable[Any] = ()) -> Report:
    """Every law, whether the change keeps it, and if not the smallest counterexample; without pytest."""
    contract: Any = ChangeContract()
    contract.versions, contract.operations = versions, operations
    return kept(contract, change)


def prove(change: type[Change], versions: Versions | None = None, operations: Iterable[Any] = ()) -> None:
    """Raise `BrokenLaw`, with the smallest counterexample, unless the change keeps every law."""
    contract: Any = ChangeContract()
    contract.versions, contract.operations = versions, operations
    for name in (one for one in dir(ChangeContract) if one.startswith("test_")):
        try:
            getattr(contract, name)(change)
        except SkipTest:
            continue


def alone(change: type[Change]) -> Versions:
    """Versions with this one change."""
    return Versions([Release("0001-01-01"), Release(change.declared.version)], [change])


def _operation(one: Any) -> Operation | None:
    found = one if isinstance(one, Operation) else getattr(one, "operation", None)
    return found if isinstance(found, Operation) else None


def holds(one: Sides, data: st.SearchStrategy[Any], law: str, check: Callable[[Sides, Any], str | None]) -> None:
    """Raise `BrokenLaw` with the smallest payload for which the check says what is wrong."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        suppress_health_check=_CHECKS,
    )
    @given(data)
    def look(payload: Any) -> None:
        said = check(one, payload)
        if said is not None:
            raise broken(one, law, payload, said)

    try:
        look()
    except (Unsatisfiable, PydanticInvalidForJsonSchema) as error:
        raise SkipTest(f"no payload of {one.name} can be made: {error}") from None


@functools.lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _readable(one: Sides, data: Any) -> str | None:
    made, said = attempted(one.down, data)
    return said or problem_of(one.older, made)


def _returning(one: Sides, data: Any) -> str | None:
    made, said = attempted(lambda d: one.up(one.down(d)), data)
    if said is None:
        said = problem_of(one.newer, made)
    if said is not None:
        return said
    adapter = _adapter(one.newer)
    again = from_json(adapter.dump_json(adapter.validate_json(to_json(made))))
    for name in data.keys() - one.lost(data):
        if again.get(name) != data[name]:
            return f"{name} came back as {again.get(name)!r}"
    return None


def _pure(one: Sides, data: Any) -> str | None:
    given = deepcopy(data)
    first, said = attempted(one.up, data)
    if said is None and (data != given or one.up(data) != first):
        return "it is another afterwards, or comes out otherwise the second time"
    return None


__all__ = ["ChangeContract", "check_change", "prove"]
