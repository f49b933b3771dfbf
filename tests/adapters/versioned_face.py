"""The mall over HTTP in an older version, as the scenarios see it: asked in that version's words, and read back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mallcore import Mall, Principal
from mallcore.api.versions import Face
from tests.adapters.faces import HttpFace, Json, Send, refuse


class VersionedFace(HttpFace):
    """A client that was written for an older version. What the stories say in the newest words it translates first.

    It translates by the other halves of the changes: the mall takes arguments up and results down, and this takes
    arguments down and results up. So a story that is told through it has been through both.
    """

    def __init__(self, mall: Mall, send: Send, base: str, principal: Principal, version: str) -> None:
        super().__init__(mall, send, f"{base}/{version}", principal)
        self.version = version
        self.view = mall.versions.view(mall.catalogue, version)

    def call(self, operation: str, arguments: Json) -> Any:
        face = self.view.faces[operation]
        known, raw = face.operation, {name: one for name, one in arguments.items() if isinstance(one, bytes)}
        given = {**self._meant(face), **{name: one for name, one in arguments.items() if name not in raw}}
        down = self.view.down(known.input)
        older = given if down is None else down(given)
        response = self.send(*self._asked(replace(known, rest=face.rest), {**older, **raw}))
        assert response.headers["mall-version"] == self.version
        refuse(response)
        if response.status_code == 204:
            return None
        if operation == "structure.export":
            return response.content
        kind = known.output_type if known.output_type is not None else known.hints["return"]
        up = self.view.up(kind)
        return response.json() if up is None else up(response.json())

    @staticmethod
    def _meant(face: Face) -> Json:
        """What is meant by leaving a parameter out, and has to be said where that meant something else."""
        newest, older = face.operation.input.model_fields, face.input.model_fields
        there = {name: one for name, one in newest.items() if name in older and not one.is_required()}
        return {name: one.default for name, one in there.items() if one.default != older[name].default}
