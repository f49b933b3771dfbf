"""Contracts, differences and notes are made once for a catalogue: it never changes, and they go with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from mallcore.api.contracts.contract import Contract, EventShapes, contract_of, dumped
from mallcore.api.contracts.notes import notes
from mallcore.api.graphql import sdl
from mallcore.api.openapi import openapi
from mallcore.api.rules.differing import Difference, differences
from mallcore.api.rules.noting import Notes
from mallcore.api.versions import Versions
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Catalogue
from mallcore.kernel.work import MemoryOnly, MemoryWork

Form = Literal["openapi", "graphql", "contract"]
Made = TypeVar("Made")


class Kept:
    """What a Context may ask about the versions of its mall's API."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.versions = ctx.port(Versions)
        self.catalogue = ctx.port(Catalogue)

    def contract(self, version: str) -> Contract:
        """The contract of a version."""
        self.versions.find(version)
        shapes = self._ctx.services.ports.get(EventShapes)
        view = self.versions.view(self.catalogue, version)
        return self._once(("of", version), lambda: contract_of(view, shapes))

    def differences(self, since: str, until: str) -> list[Difference]:
        """What differs between two versions."""
        old, new = self.contract(since), self.contract(until)
        return self._once(("differences", since, until), lambda: differences(old, new))

    def notes(self, since: str, until: str) -> Notes:
        """The notes from one version to another."""
        return self._once(("notes", since, until), lambda: notes(self.versions, self.catalogue, since, until))

    def schema(self, version: str, form: Form) -> str:
        """The schema of a version as text."""
        self.versions.find(version)
        view = self.versions.view(self.catalogue, version)
        makers: dict[Form, Callable[[], str]] = {
            "contract": lambda: dumped(self.contract(version)),
            "graphql": lambda: sdl(view),
            "openapi": lambda: json.dumps(openapi(view), ensure_ascii=False),
        }
        return self._once((form, version), makers[form])

    def _once(self, key: tuple[str, ...], make: Callable[[], Made]) -> Made:
        kept: dict[Any, Any] = self.catalogue.derived
        place = (self.versions, *key)
        if place not in kept:
            if isinstance(self._ctx.work, MemoryWork):
                raise MemoryOnly()  # it takes too long for an event loop
            kept[place] = make()
        found: Made = kept[place]
        return found
