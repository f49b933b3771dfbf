"""The two sides of one change: what each touched model is before and behind it, and the conversions between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from mallcore.api.versions.changes import Change
from mallcore.api.versions.plans import key_of
from mallcore.api.versions.programs import Convert
from mallcore.api.versions.releases import Versions
from mallcore.api.versions.view import Known
from mallcore.errors import BrokenLaw
from mallcore.kernel.operations import Catalogue


@dataclass(frozen=True)
class Sides:
    """One change of one model (or of one operation's parameters), seen from both sides."""

    known: Known
    model: type[BaseModel]
    change: str
    name: str
    place: int
    shows: bool
    """Whether values are shown, and not only given."""

    @property
    def older(self) -> Any:
        """The model before the change."""
        return self.known.shapes.shape(self.model, self.place)

    @property
    def newer(self) -> Any:
        """The model behind the change."""
        return self.known.shapes.shape(self.model, self.place + 1)

    @property
    def newest(self) -> type[BaseModel]:
        """The model itself."""
        return self.model

    def down(self, data: Any) -> Any:
        """From the newer to the older."""
        return self._through(self.place + 1, self.place)(data)

    def up(self, data: Any) -> Any:
        """From the older to the newer."""
        return self._through(self.place, self.place + 1)(data)

    def up_to_newest(self, data: Any) -> Any:
        """From the older to the newest."""
        return self._through(self.place, self.known.chain.end)(data)

    def _through(self, source: int, to: int) -> Convert:
        return self.known.plans.plan(self.model, source, to) or (lambda d: d)

    def lost(self, data: Mapping[str, Any]) -> set[str]:
        """The keys of newer data that need not come back: the older can't hold them, or they have laws of their own."""
        chain, key = self.known.chain, key_of(self.model, down=True)
        state = chain.state(self.model, self.place + 1)
        change = chain.changes[self.place]
        names = {name for name in change.loses if name in state}
        for step in chain.steps(self.model, self.place):
            names |= step.instruction.loses(step.new, data) & state.keys()
        names |= {name for name, one in state.items() if self.place in chain.marks(one.annotation)}
        return {key(state[name]) for name in names}


def sides(versions: Versions, catalogue: Catalogue, change: type[Change]) -> Iterator[Sides]:
    """What a change touches, each from both sides."""
    known = versions.known(catalogue)
    declared = change.declared
    place = known.chain.changes.index(declared)
    if not (declared.fields or declared.by_hand):
        return
    models = {name: model for model, name in known.chain.inputs.items()}
    for subject in declared.touches:
        if not isinstance(subject, str):
            yield Sides(known, subject, declared.name, subject.__name__, place, True)
        elif subject in models:
            yield Sides(known, models[subject], declared.name, subject, place, False)


def refuse_strange_examples(change: type[Change], found: Sequence[Sides]) -> None:
    """Raise `BrokenLaw` for an example of a change that is none of anything the change touches."""
    for example in change.declared.examples:
        problems = [said for one in found if (said := _strange(one, example))]
        if len(problems) == len(found) and found:
            raise broken(found[0], "examples are valid in the older version, and understood", example, problems[0])


def broken(one: Sides, law: str, payload: Any, said: str) -> BrokenLaw:
    """The error that shows a counterexample."""
    shown = to_json(payload).decode()[:2000]
    return BrokenLaw(
        f"The change {one.change} breaks a law for {one.name}: {law}. The smallest counterexample: {shown}: {said}",
        change=one.change, attribute=one.name, reason=law, law=law, example=payload,
    )  # fmt: skip


def problem_of(kind: type[BaseModel], data: Any) -> str | None:
    """Why data are not valid in a model."""
    try:
        kind.model_validate_json(to_json(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    return None


def attempted(convert: Convert, data: Any) -> tuple[Any, str | None]:
    """What a conversion makes of data, and what it stumbles over."""
    try:
        return convert(data), None
    except Exception as error:  # whatever a change by hand raises breaks the law
        return None, f"{type(error).__name__}: {error}"


def understood(one: Sides, data: Any) -> str | None:
    """Why older data are not valid in the newest version when they were taken up."""
    made, said = attempted(one.up_to_newest, data)
    return said or problem_of(one.newest, made)


def _strange(one: Sides, example: Mapping[str, Any]) -> str | None:
    return problem_of(one.older, example) or understood(one, from_json(to_json(example)))
