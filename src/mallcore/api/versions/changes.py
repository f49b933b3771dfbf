"""A change between two versions of the API: an immutable declaration, checked when it is written.

Nothing makes instances of a `Change`: the class is the declaration. What it says of fields is checked against the
models as they are; what newer changes say of the same fields is known, too, so write the newer ones first.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

from pydantic import BaseModel

from mallcore.api.versions.calls import Call
from mallcore.api.versions.instructions import Instruction
from mallcore.api.versions.members import is_model, state_of
from mallcore.api.versions.merging import WasSplit, WereOne
from mallcore.api.versions.nesting import parts
from mallcore.errors import InvalidChange
from mallcore.kernel.operations import Operation

Subject = type[BaseModel] | str
"""What a change touches: a model, or the parameters of an operation by the operation's name."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_WORDS = ("version", "touches", "was", "up", "down", "examples", "deprecates", "loses")


@dataclass(frozen=True, eq=False)
class Declared:
    """What the body of a change says, as it was when the class was made."""

    name: str
    version: str
    text: str
    touches: tuple[Subject, ...]
    fields: tuple[Instruction, ...]
    calls: tuple[Call, ...]
    up: Callable[[dict[str, Any]], dict[str, Any]] | None
    down: Callable[[dict[str, Any]], dict[str, Any]] | None
    examples: tuple[Any, ...]
    deprecates: Mapping[str, str]
    loses: frozenset[str]

    @property
    def by_hand(self) -> bool:
        """Whether it converts by functions of its own."""
        return self.up is not None or self.down is not None

    def wrong(self, attribute: str, reason: str) -> InvalidChange:
        """The error that says what is wrong."""
        return InvalidChange(change=self.name, attribute=attribute, reason=reason)


class _Sealed(type):
    """Classes whose attributes stay as they were written."""

    def __setattr__(cls, name: str, value: Any) -> None:
        if "declared" in cls.__dict__ and not name.startswith("__"):
            raise InvalidChange(change=cls.__name__, attribute=name, reason="a change is immutable: write a new one")
        super().__setattr__(name, value)


class Change(metaclass=_Sealed):
    """Inherit, and say in the past tense how the API was before ``version``; the docstring says what and why.

    ::

        class GrantsSayWho(Change):
            \"\"\"Who granted a role is `granted_by`, as elsewhere: `author` was taken for the role's.\"\"\"

            version = "2026-08-01"
            touches = Grant
            was = [field("granted_by").was_named("author")]
            examples = [{"id": "gra_1", "author": "user:1"}]
    """

    version: ClassVar[str]
    """The first version that has the new shape: ``YYYY-MM-DD``."""
    touches: ClassVar[Any] = ()
    """A model, an operation (or its name: then its parameters), or several."""
    was: ClassVar[Sequence[Instruction | Call]] = ()
    """What was before."""
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Payloads in the older shape; the migration notes show them before and after."""
    deprecates: ClassVar[Mapping[str, str]] = {}
    """Fields that are there, but on their way out from this version on, with what to use instead."""
    loses: ClassVar[Sequence[str]] = ()
    """Fields that a conversion by hand can't bring back."""
    declared: ClassVar[Declared]

    def __init_subclass__(cls) -> None:
        declared = _declared(cls)
        check(declared, [one.declared for one in changes_there_are() if one is not cls and "declared" in one.__dict__])
        cls.declared = declared

    def __new__(cls) -> Any:
        """Refuse: the class itself is the change."""
        raise TypeError(f"{cls.__name__} is a declaration: nothing makes instances of it")


def changes_there_are(of: type[Change] = Change) -> Iterator[type[Change]]:
    """Every change that was declared and is still held by something."""
    for one in of.__subclasses__():
        yield one
        yield from changes_there_are(one)


def _declared(cls: type[Change]) -> Declared:
    body = {name: value for name, value in vars(cls).items() if not (name.startswith("__") and name.endswith("__"))}

    def wrong(attribute: str, reason: str) -> InvalidChange:
        return InvalidChange(change=cls.__name__, attribute=attribute, reason=reason)

    for name in body:
        if name not in _WORDS:
            near = difflib.get_close_matches(name, _WORDS, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(_WORDS)}"
            raise wrong(name, f"a change has no such attribute: {hint}")
    said = body.get("was", ())
    if isinstance(said, (Instruction, Call)):
        said = (said,)
    if strange := [one for one in said if not isinstance(one, (Instruction, Call))]:
        raise wrong("was", f"{strange[0]!r} says nothing: finish it, as in field('x').was_named('y')")
    return Declared(
        name=cls.__name__,
        version=body.get("version", ""),
        text=inspect.cleandoc(cls.__dict__.get("__doc__") or ""),
        touches=tuple(_subjects(body.get("touches", ()), wrong)),
        fields=tuple(one for one in said if isinstance(one, Instruction)),
        calls=tuple(one for one in said if isinstance(one, Call)),
        up=_plain(body.get("up")),
        down=_plain(body.get("down")),
        examples=tuple(body.get("examples", ())),
        deprecates=dict(body.get("deprecates", {})),
        loses=frozenset(body.get("loses", ())),
    )


def _plain(function: Any) -> Any:
    return function.__func__ if isinstance(function, staticmethod) else function


def _subjects(given: Any, wrong: Callable[[str, str], InvalidChange]) -> Iterator[Subject]:
    for one in given if isinstance(given, (tuple, list)) else (given,):
        known = one if isinstance(one, Operation) else getattr(one, "operation", None)
        subject: Any = known.name if isinstance(known, Operation) else one
        if is_model(subject) or (isinstance(subject, str) and subject):
            yield subject
        else:
            raise wrong("touches", f"{one!r} is neither a pydantic model nor an operation or its name")


def check(one: Declared, others: Iterable[Declared] = ()) -> None:
    """Raise `InvalidChange` unless the declaration makes sense by itself, and with newer ones of the same."""
    if not one.text:
        raise one.wrong("__doc__", "say in a docstring what changed and why: callers read it")
    if not is_version(one.version):
        raise one.wrong("version", f"{one.version!r} is no version: write a date, as in '2026-11-01'")
    if not (one.fields or one.calls or one.deprecates or one.by_hand):
        raise one.wrong("was", "it says nothing: say what was, as in was = [field('x').was_named('y')]")
    if (one.fields or one.by_hand or one.deprecates) and not one.touches:
        raise one.wrong("touches", "say what the fields belong to: a model, or an operation's name")
    _check_functions(one)
    if strange := [example for example in one.examples if not isinstance(example, Mapping)]:
        raise one.wrong("examples", f"{strange[0]!r} is no payload: examples are dicts in the older shape")
    newer = [other for other in others if other.version >= one.version]
    for subject in one.touches:
        if not isinstance(subject, str):
            _check_names(one, subject, [other for other in newer if _shares(other, subject)])


def is_version(text: Any) -> bool:
    """Whether it is a date as versions are named."""
    try:
        return isinstance(text, str) and bool(_DATE.fullmatch(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _check_functions(one: Declared) -> None:
    functions: dict[str, Any] = {"up": one.up, "down": one.down}
    for name, function in functions.items():
        if function is not None and not _takes_one(function):
            raise one.wrong(name, f"write it as a function of one dict: def {name}(d): …")
    shows = any(not isinstance(subject, str) for subject in one.touches)
    if one.up is None and one.down is not None:
        raise one.wrong("up", "older data must be read, too: write up(d)")
    if one.down is None and one.up is not None and shows:
        raise one.wrong("down", "older callers must be answered, too: write down(d)")


def _takes_one(function: Any) -> bool:
    try:
        return len(inspect.signature(function).parameters) == 1
    except (TypeError, ValueError):  # what is built in has no signature
        return callable(function)


def _shares(other: Declared, model: type[BaseModel]) -> bool:
    return any(not isinstance(one, str) and issubclass(model, one) for one in other.touches)


def _check_names(one: Declared, model: type[BaseModel], newer: Iterable[Declared]) -> None:
    """What the newer version must have, by the models as they are and by what newer changes say of them.

    Precise is only the whole sequence, which `Versions` follows; this finds what is misspelt at the place where it is.
    """
    known = {text for name, it in state_of(model).items() for text in (name, it.key, it.shown)}
    earlier = {text for other in newer for instruction in other.fields for text in _older_names(instruction)}
    for instruction in one.fields:
        for text in newer_names(instruction):
            if text not in known | earlier:
                near = difflib.get_close_matches(text, sorted(known), 1)
                hint = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(sorted(known))}"
                raise one.wrong("was", f"{model.__name__} has no field `{text}`: {hint} (write newer changes first)")
    for text in one.deprecates:
        if text not in known | earlier:
            raise one.wrong("deprecates", f"{model.__name__} has no field `{text}`: it has {', '.join(sorted(known))}")


def newer_names(one: Instruction) -> Iterator[str]:
    """The fields of the newer version that an instruction names."""
    if isinstance(one, WereOne):
        yield from one.names
    elif type(one).__name__ != "Removed":
        outer, inner = parts(one.name)
        yield outer.partition(".")[0] or inner


def _older_names(one: Instruction) -> Iterator[str]:
    """The fields of the older version that an instruction names."""
    if isinstance(one, WasSplit):
        yield from one.names
    was = getattr(one, "was", one.name)
    yield was.partition(".")[0]
