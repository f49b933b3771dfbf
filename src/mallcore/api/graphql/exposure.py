"""Which operations GraphQL has, and as what. Pure decisions: nothing is exposed that has no face of its own."""

from __future__ import annotations

from typing import Any, BinaryIO, Literal

from mallcore.api.graphql.kinds import alternatives, is_object, kind_of, literals, scalar_of
from mallcore.api.versions import Face

Place = Literal["query", "mutation", "subscription"]

LEFT_OUT = {
    "attachments.append": "a part of an upload is a body that is read while it comes: PATCH /uploads/{upload}",
    "attachments.receive_direct": "content that a ticket brings is read while it comes: PUT /uploads/{upload}/content",
}
"""Operations that mean something over HTTP only, and why."""
ALSO = frozenset({"attachments.open_link"})
"""Operations without a REST face that are exposed nevertheless: this one uses up a link, and tells what it opens."""


def place_of(face: Face) -> Place | None:
    """Where an operation stands; nothing for what GraphQL does not have.

    What changes something outside of the database, or costs much, is a query to the mall but not a GET over HTTP: it is
    a mutation, for a GET may be repeated by anybody.
    """
    operation, rest = face.operation, face.rest
    if reason_left_out(face) is not None:
        return None
    if operation.kind == "stream":
        return "subscription"
    reads = operation.kind == "query" and rest is not None and rest.method == "GET"
    return "query" if reads else "mutation"


def reason_left_out(face: Face) -> str | None:
    """Why GraphQL does not have an operation; nothing for those it has."""
    operation = face.operation
    if operation.name in LEFT_OUT:
        return LEFT_OUT[operation.name]
    if face.rest is None and operation.name not in ALSO:
        return "it has no face outside of Python"
    if face.rest is not None and face.rest.asked is not None:
        return f"it answers with bytes: {face.rest.method} {face.rest.path}"
    if operation.kind != "stream" and not is_shown(output_of(face)):
        return f"it answers with bytes: {face.rest.method if face.rest else ''} {face.rest.path if face.rest else ''}"
    return None


def output_of(face: Face) -> Any:
    """The annotation of what an operation returns in this version."""
    if face.touched_output is not None:
        return face.touched_output._type  # pydantic has no public name for what an adapter is made of
    operation = face.operation
    return operation.output_type if operation.output_type is not None else operation.hints["return"]


def is_shown(annotation: Any) -> bool:
    """Whether GraphQL can show it: all but bytes, and what pydantic knows nothing of."""
    core = kind_of(annotation).core
    if core in (bytes, BinaryIO):
        return False
    if core is None or core is type(None) or literals(core) or alternatives(core) or is_object(core):
        return True
    plain = isinstance(core, type) and issubclass(core, str | int | float)
    return plain or hasattr(core, "__origin__") or (not isinstance(core, type) and scalar_of(kind_of(core)) is not None)
