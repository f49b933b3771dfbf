"""What a catalogue is in one version of the API: every face of the mall reads operations from a `View`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, TypeAdapter

from mallcore.kernel.operations import Catalogue, Operation, Rest

Convert = Callable[[Any], Any]
"""Takes plain JSON data of one version to that of another; never changes what it was given."""


@dataclass(frozen=True)
class Face:
    """One operation as one version shows it. What the version does not touch is the operation's own."""

    operation: Operation
    rest: Rest | None
    touched_input: type[BaseModel] | None = None
    """The parameters in this version, where it touches them."""
    touched_output: TypeAdapter[Any] | None = None
    """The result in this version, where it touches it."""
    up: Convert | None = None
    """Takes the arguments (plain JSON data, not what is bytes) to the newest version; nothing: they are the same."""
    down: Convert | None = None
    """Takes the result (plain JSON data) from the newest version to this one; nothing: it is the same."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What this version calls parameters that have other names in the newest, by the newest's name."""
    deprecated: Mapping[str, str] = field(default_factory=dict)
    """Fields (``parameter`` or ``Model.field``) of this version that are on their way out, with what to use instead."""

    @property
    def input(self) -> type[BaseModel]:
        """The parameters in this version; the very model of the operation when nothing is touched."""
        return self.touched_input or self.operation.input

    @property
    def output(self) -> TypeAdapter[Any]:
        """The result in this version; made when it is first asked for."""
        return self.touched_output or self.operation.output

    @property
    def untouched(self) -> bool:
        """Whether the version changes nothing here, so that nothing is to be done."""
        return self.touched_input is None and self.up is None and self.down is None


class View:
    """A catalogue in one version of the API; immutable. Everything derived from it can be cached on it."""

    def __init__(self, catalogue: Catalogue, version: str = "") -> None:
        self.catalogue = catalogue
        self.version = version

    @functools.cached_property
    def faces(self) -> Mapping[str, Face]:
        """The operations this version has, by the newest version's names."""
        return {name: Face(one, one.rest) for name, one in self.catalogue.items()}

    def shape(self, kind: Any) -> Any:
        """A type (a model, or any annotation) as this version has it; the same object when it is untouched."""
        return kind

    def down(self, kind: Any) -> Convert | None:
        """What takes plain JSON data of this type from the newest version to this one; nothing: it is the same."""
        return None

    def up(self, kind: Any) -> Convert | None:
        """What takes plain JSON data of this type from this version to the newest; nothing: it is the same."""
        return None
