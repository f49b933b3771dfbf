"""Migration notes between two versions, made from the changes that were declared: nobody writes them by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mallcore.api.contracts.wording import called, sentence
from mallcore.api.rules.noting import Concerned, Example, Note, Notes, code, title_of
from mallcore.api.versions import Change, Face, Versions, View
from mallcore.api.versions.changes import Declared, Subject
from mallcore.errors import InvalidChange, InvalidInput, MallError
from mallcore.kernel.operations import Catalogue


def notes(versions: Versions, catalogue: Catalogue, since: str, until: str | None = None) -> Notes:
    """What changed from one version to a later one (the newest, if none is named), for those who move on.

    Examples are converted as requests and answers are. Raises `UnknownApiVersion`, `InvalidInput` when the second
    version is older, and `InvalidChange` when an example can't be converted.
    """
    newest = until or versions.names[0]
    for name in (since, newest):
        versions.find(name)
    if newest < since:
        raise InvalidInput(field="to", reason=f"{newest} is older than {since}: notes lead from older to newer")
    made = _Noting(versions, catalogue)
    return Notes(since, newest, tuple(made.note(one) for one in versions.between(since, newest)))


class _Noting:
    """Notes on the changes of one catalogue."""

    def __init__(self, versions: Versions, catalogue: Catalogue) -> None:
        self.versions = versions
        self.catalogue = catalogue
        self.shared = versions.view(catalogue, versions.names[0]).shared

    def note(self, change: type[Change]) -> Note:
        """The note on one change."""
        said = change.declared
        return Note(
            version=said.version,
            change=said.name,
            title=title_of(said.name),
            text=said.text,
            subjects=tuple(map(called, said.touches)),
            fields=tuple(_sentences(said)),
            operations=tuple(self._concerned(change)),
            examples=tuple(self._examples(change)),
        )

    def _place(self, change: type[Change]) -> int:
        return next(place for place, one in enumerate(self.shared.chain.changes) if one is change.declared)

    def _around(self, change: type[Change]) -> tuple[View | None, View]:
        """The version before that of the change, and its own."""
        names, version = self.versions.names, change.declared.version
        older = names[names.index(version) + 1 :]
        before = self.versions.view(self.catalogue, older[0]) if older else None
        return before, self.versions.view(self.catalogue, version)

    # --- who is concerned

    def _concerned(self, change: type[Change]) -> Iterator[Concerned]:
        before, after = self._around(change)
        old: Mapping[str, Face] = {} if before is None else before.faces
        place, calls = self._place(change), {one.operation: one for one in change.declared.calls}
        for name in sorted(old.keys() | after.faces.keys()):
            face = after.faces.get(name) or old[name]
            parts = [part for part, kind in self._kinds(face) if place in self.shared.chain.marks(kind)]
            if name in calls:
                parts.append(_PARTS.get(type(calls[name]).__name__, "the operation itself"))
            if parts and (reached(old.get(name)) or reached(after.faces.get(name))):
                yield Concerned(
                    operation=name,
                    parts=tuple(parts),
                    before=reached(old.get(name)),
                    after=reached(after.faces.get(name)),
                    graphql=in_graphql(face),
                )

    @staticmethod
    def _kinds(face: Face) -> Iterator[tuple[str, Any]]:
        known = face.operation
        yield "parameters", known.input
        if face.rest is None or face.rest.asked is None:
            yield "result", known.output_type if known.output_type is not None else known.hints["return"]

    # --- before and after

    def _examples(self, change: type[Change]) -> Iterator[Example]:
        said = change.declared
        if not said.touches or not said.examples:
            return
        # With all changes of its version: what lies between two changes of one version was never anybody's.
        places = [place for place, one in enumerate(self.shared.chain.changes) if one.version == said.version]
        for given in said.examples:
            for subject, kind in self._shown_by(said.touches, given, places[0]):
                convert = self.shared.plans.plan(kind, places[0], places[-1] + 1)
                yield Example(called(subject), given, _converted(change, convert, given))

    def _shown_by(self, subjects: Iterable[Subject], given: Mapping[str, Any], place: int) -> Iterator[tuple[Any, Any]]:
        """What an example is one of: the first thing touched that has all its fields in the older version."""
        for subject in subjects:
            kind = self._input(subject) if isinstance(subject, str) else subject
            if kind is None:
                continue
            fields = {one.key for one in self.shared.chain.state(kind, place).values()}
            if given.keys() <= fields:
                yield subject, kind
                return

    def _input(self, name: str) -> Any:
        return next((model for model, one in self.shared.chain.inputs.items() if one == name), None)


def _sentences(said: Declared) -> Iterator[str]:
    yield from map(sentence, said.fields)
    yield from map(sentence, said.calls)
    yield from (f"{code(name)} is on its way out: {instead}" for name, instead in said.deprecates.items())


_PARTS = {"MovedCall": "path", "OtherResult": "result"}


def _converted(change: type[Change], convert: Callable[[Any], Any] | None, given: Any) -> Any:
    """An example in another version; what goes wrong in a converter is the change's mistake."""
    payload = copy.deepcopy(given)
    if convert is None:
        return payload
    try:
        return convert(payload)
    except MallError:
        raise
    except Exception as error:
        reason = f"an example can't be converted ({type(error).__name__}: {error})"[:300]
        raise InvalidChange(change=change.__name__, attribute="examples", reason=reason) from error


def reached(face: Face | None) -> str | None:
    """How an operation is reached over HTTP."""
    return None if face is None or face.rest is None else f"{face.rest.method} {face.rest.path}"


def in_graphql(face: Face) -> str | None:
    """What an operation is called in GraphQL, where that is installed and has it."""
    try:
        from mallcore.api.graphql.exposure import place_of
    except ModuleNotFoundError:
        return None
    from mallcore.api.graphql.names import field_name

    place = place_of(face)
    return None if place is None else f"{place} {field_name(face.operation.name)}"
