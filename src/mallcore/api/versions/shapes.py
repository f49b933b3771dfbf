"""Models and annotations as a version has them: real pydantic models, and the same objects where nothing is touched."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ForwardRef, Optional, get_args, get_origin

from pydantic import Field, RootModel, create_model, field_serializer, field_validator
from pydantic.fields import FieldInfo

from mallcore.api.versions.chain import Chain, Model, hashed, made_model
from mallcore.api.versions.members import Member, State, bare, branches, is_model, is_union, rebuilt, remade


class Shapes:
    """The shapes of one chain; each is made when it is first asked for, and kept."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._made: dict[tuple[Any, int], Any] = {}
        self._fresh: dict[tuple[Any, int], Any] = {}
        """What is not whole yet, since it names what is still being made: only for who holds the lock."""
        self._open: dict[tuple[Model, int], str] = {}
        self._names: dict[str, Model] = {}

    def shape(self, kind: Any, position: int) -> Any:
        """The type as it is at a position."""
        position = self._chain.settled(kind, position)
        if position == self._chain.end:
            return kind
        key = hashed(kind), position
        found = self._made.get(key)
        if found is not None:
            return found
        with self._chain.lock:
            if key in self._made or key in self._fresh:
                return self._made.get(key) or self._fresh[key]
            return self._model(kind, position) if is_model(kind) else self._other(kind, position)

    def _other(self, kind: Any, position: int) -> Any:
        made = rebuilt(kind, lambda one: self.shape(one, position))
        if get_origin(made) is Annotated and is_union(bare(kind)):
            first, *more = get_args(made)
            more = [self._named(one, bare(kind), position) if isinstance(one, FieldInfo) else one for one in more]
            made = Annotated[(first, *more)]
        if not self._open:
            self._made[hashed(kind), position] = made
        return made

    def _named(self, info: FieldInfo, union: Any, position: int) -> FieldInfo:
        """A discriminator by the name it has here."""
        if not isinstance(info.discriminator, str):
            return info
        model = next((bare(one) for one in branches(union) if is_model(bare(one))), None)
        name = self.name_of(model, info.discriminator, position) if model else info.discriminator
        return info if name == info.discriminator else remade(info, discriminator=name)

    def name_of(self, model: Model, name: str, position: int) -> str:
        """What a field of the newest version is called at a position; the same when it is not there."""
        for place in reversed(self._chain.events(model, position)):
            for step in self._chain.steps(model, place):
                name = step.instruction.renamed(step.new, step.old).get(name, name)
        return name

    def _model(self, model: Model, position: int) -> Any:
        key = (model, position)
        if key in self._open:
            return ForwardRef(self._open[key])
        name = self._open[key] = f"Shape{len(self._names)}"
        self._names[name] = model
        try:
            made = self._built(model, position)
            self._names[name] = self._fresh[key] = made
        except BaseException:
            self._forget()
            raise
        self._open.pop(key)
        if not self._open:
            self._finish()
        return made

    def _finish(self) -> None:
        """Models that name one another are whole, and shown to other threads, only when all of them are there."""
        try:
            for one in self._fresh.values():
                one.model_rebuild(force=True, raise_errors=True, _types_namespace=self._names)
            self._made.update(self._fresh)
        finally:
            self._forget()

    def _forget(self) -> None:
        self._open, self._fresh, self._names = {}, {}, {}

    def _built(self, model: Model, position: int) -> Model:
        state = self._chain.state(model, position)
        kinds = {name: self._kind(one, position) for name, one in state.items()}
        if issubclass(model, RootModel):
            root: Any = RootModel.__class_getitem__(kinds["root"])
            made: Model = create_model(model.__name__, __base__=root, __doc__=model.__doc__)
            return made
        if self._chain.events(model, position):
            fields = {name: (kinds[name], self._discriminated(one, position)) for name, one in state.items()}
            return made_model(model, fields | _computed(model), __validators__=_fitting(model, state))
        # Only what it holds is another: it stays what it is in everything else.
        other: dict[str, Any] = {
            name: (kinds[name], self._discriminated(one, position).as_().info)
            for name, one in state.items()
            if kinds[name] is not one.annotation
        }
        same: Model = create_model(
            model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **other
        )
        return same

    def _kind(self, one: Member, position: int) -> Any:
        return self.shape(one.annotation, position)

    def _discriminated(self, one: Member, position: int) -> Member:
        return replace(one, info=self._named(one.info, one.annotation, position))


def _computed(model: Model) -> dict[str, tuple[Any, Member]]:
    """What a model computes is a field that need not be given in shapes of it."""
    info: Any = Field(default=None, json_schema_extra={"readOnly": True})
    return {
        name: (Optional[one.return_type], Member(name, one.return_type, info))  # noqa: UP045 - whatever type it is
        for name, one in model.model_computed_fields.items()
    }


def _fitting(model: Model, state: State) -> dict[str, Any]:
    """The validators and serializers of fields that no change declared otherwise."""
    decorators = model.__pydantic_decorators__
    same = {name for name, one in state.items() if not one.declared and name in model.model_fields}
    found: dict[str, Any] = {}
    for name, one in decorators.field_validators.items():
        if fields := [field for field in one.info.fields if field in same]:
            check: Any = field_validator
            found[name] = check(*fields, mode=one.info.mode)(_plain(one.func))
    for name, other in decorators.field_serializers.items():
        if fields := [field for field in other.info.fields if field in same]:
            make: Any = field_serializer
            found[name] = make(*fields, mode=other.info.mode, when_used=other.info.when_used)(_plain(other.func))
    return found


def _plain(function: Any) -> Any:
    under = getattr(function, "__func__", None)
    return function if under is None else classmethod(under)
