"""The two sides of one change: what each touched model is before and behind it, and the conversions between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from mallcore.api.versions.changes import Change
from mallcore.api.versions.plans import key_of
from mallcore.api.versions.programs import Convert
from mallcore.api.versions.releases import Versions
from mallcore.api.versions.view import Known
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
