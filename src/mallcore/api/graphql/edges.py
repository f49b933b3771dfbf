"""Entities and the edges between them, as data: which models are entities, which operation leads from one to another.

An edge is resolved by its operation: who may not call that may not follow the edge, and what is recorded is recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entity:
    """A model whose instances have a global id, and how one is asked for again.

    ``key`` are the members that make up the id. What has an ``id`` of its own, which begins with ``prefix``, keeps it;
    all else gets ``Model:key``. ``given`` are the arguments of ``operation``, filled from the key's members. ``among``
    says that the operation lists all there are.
    """

    model: str
    operation: str
    key: tuple[str, ...]
    given: Mapping[str, str]
    prefix: str = ""
    among: bool = False
    shown: tuple[str, ...] = ()
    """What a version calls the members of the key, where it has other names."""

    def renamed(self, names: Mapping[str, str]) -> Entity:
        """The same for a version that has other names for members."""
        return dataclasses.replace(self, shown=tuple(names.get(name, name) for name in self.key))

    def id_of(self, value: Mapping[str, Any]) -> str:
        """The global id of an instance."""
        if self.prefix:
            return str(value.get("id"))
        return ":".join([self.model, *(str(value.get(name)) for name in self.shown or self.key)])

    def key_of(self, id: str) -> Json | None:
        """The key's members in a global id; nothing when it is of another kind."""
        if self.prefix:
            return {"id": id} if id.startswith(self.prefix + "_") else None
        model, *parts = id.split(":", len(self.key))
        fits = model == self.model and len(parts) == len(self.key) and all(parts)
        return dict(zip(self.key, parts, strict=True)) if fits else None


@dataclass(frozen=True, slots=True)
class Edge:
    """A field that leads from a model to what an operation returns.

    ``given`` fills parameters from members of the object (``{name}``); all others become arguments of the field. Where
    one of the members is null, there is nothing to follow. With ``each``, a member that is a list or a mapping, there
    is one call for each entry, as ``{key}`` and ``{value}``.
    """

    model: str
    field: str
    operation: str
    given: Mapping[str, str] = dataclasses.field(default_factory=dict)
    each: str = ""
    description: str = ""

    def renamed(self, names: Mapping[str, str]) -> Edge:
        """The same for a version that has other names for members."""
        shown = {f"{{{name}}}": f"{{{other}}}" for name, other in names.items() if name != other}
        given = dict(self.given)
        for name, other in shown.items():
            given = {parameter: text.replace(name, other) for parameter, text in given.items()}
        return dataclasses.replace(self, given=given, each=names.get(self.each, self.each))

    @property
    def sources(self) -> set[str]:
        """The members that the model must have."""
        names = {name for text in self.given.values() for name in _names(text)}
        return (names - {"key", "value"}) | {self.each} if self.each else names

    def calls(self, value: Mapping[str, Any]) -> list[Json]:
        """The arguments to call the operation with: one call, one for each entry, or none."""
        if self.each:
            held = value.get(self.each) or {}
            pairs = held.items() if isinstance(held, Mapping) else enumerate(held)
            return [self._filled({**value, "key": key, "value": one}) for key, one in pairs]
        return [] if any(value.get(name) is None for name in self.sources) else [self._filled(value)]

    def _filled(self, value: Mapping[str, Any]) -> Json:
        return {name: _filled(text, value) for name, text in self.given.items()}


def _names(text: str) -> Iterator[str]:
    yield from (part.partition("}")[0] for part in text.split("{")[1:])


def _filled(text: str, value: Mapping[str, Any]) -> Any:
    """A template's value; of one that is a single name the member itself, be it a number."""
    names = list(_names(text))
    if len(names) == 1 and text == f"{{{names[0]}}}":
        return value.get(names[0])
    return text.format_map({name: value.get(name) for name in names})


ENTITIES: tuple[Entity, ...] = (
    Entity("Unit", "structure.get_unit", ("id",), {"unit": "{id}"}, "unt"),
    Entity("Channel", "structure.get_channel", ("id",), {"channel": "{id}"}, "chn"),
    Entity("Revision", "structure.get_revision", ("channel", "number"),
           {"channel": "{channel}", "number": "{number}"}),
    Entity("Draft", "structure.get_draft", ("id",), {"draft": "{id}"}, "drf"),
    Entity("Snapshot", "structure.get_snapshot", ("name",), {"snapshot": "{name}"}),
    Entity("Attachment", "attachments.get_attachment", ("id",), {"attachment": "{id}"}, "att"),
    Entity("Version", "attachments.get_version", ("ref",), {"version": "{ref}"}),
    Entity("Upload", "attachments.get_upload", ("id",), {"upload": "{id}"}, "upl"),
    Entity("Record", "audit.get_record", ("id",), {"record": "{id}"}, "aud"),
    Entity("Role", "access.list_roles", ("name",), {}, among=True),
    Entity("Grant", "access.list_grants", ("id",), {}, "grt", among=True),
)  # fmt: skip

_CHANNEL = {"channel": "{channel}"}
_OF_CHANNEL = ("Applied", "Difference", "Draft", "EffectiveRules", "Imported", "NodeView", "Revision",
               "RevisionDetail", "Schedule", "TreeShape", "Verified")  # fmt: skip
_OF_VERSION = ("Derivative", "Link", "Opened", "PublicUrl", "Waiting")

EDGES: tuple[Edge, ...] = (
    *(Edge(model, "channel", "structure.get_channel", _CHANNEL) for model in _OF_CHANNEL),
    *(Edge(model, "unit", "structure.get_unit", {"unit": "{unit_id}"}) for model in
      ("Attachment", "Channel", "Record", "Staged", "Version")),
    *(Edge(model, "channel", "structure.get_channel", {"channel": "{channel_id}"}) for model in
      ("Attachment", "Grant", "Record", "Version")),
    *(Edge(model, "version", "attachments.get_version", {"version": "{version}"}) for model in _OF_VERSION),
    *(Edge(model, "attachment", "attachments.get_attachment", {"attachment": "{attachment}"}) for model in
      ("Hold", "Label", "Version")),
    Edge("Unit", "channels", "structure.list_channels", {"unit": "{id}"}),
    Edge("Unit", "attachments", "attachments.list_attachments", {"unit": "{id}"}),
    Edge("Channel", "tree", "structure.tree", {"channel": "{id}"}),
    Edge("Channel", "node", "structure.get_node", {"channel": "{id}"}),
    Edge("Channel", "revisions", "structure.log", {"channel": "{id}"}),
    Edge("Channel", "drafts", "structure.list_drafts", {"channel": "{id}"}),
    Edge("Channel", "schedules", "structure.list_schedules", {"channel": "{id}"}),
    Edge("Channel", "effectiveRules", "structure.effective_rules", {"channel": "{id}"}),
    Edge("Channel", "attachments", "attachments.list_attachments", {"owner": "channel:{id}"}),
    Edge("Channel", "records", "audit.list_records", {"channel": "{id}"}),
    Edge("TreeShape", "node", "structure.get_node", {"channel": "{channel}", "at": "{revision}"}),
    Edge("NodeView", "effectiveRules", "structure.effective_rules",
         {"channel": "{channel}", "node": "{id}", "at": "{revision}"}),
    Edge("NodeView", "attachments", "attachments.list_attachments", {"owner": "{kind}:{channel}/{path}"}),
    Edge("Revision", "detail", "structure.get_revision", {"channel": "{channel}", "number": "{number}"}),
    Edge("Revision", "tree", "structure.tree", {"channel": "{channel}", "at": "{number}"}),
    Edge("RevisionDetail", "tree", "structure.tree", {"channel": "{channel}", "at": "{number}"}),
    Edge("Draft", "preview", "structure.preview_draft", {"draft": "{id}"}),
    Edge("Draft", "tree", "structure.preview_tree", {"draft": "{id}"}),
    Edge("Preview", "draft", "structure.get_draft", {"draft": "{draft}"}),
    Edge("Schedule", "draft", "structure.get_draft", {"draft": "{draft}"}),
    Edge("Snapshot", "revisions", "structure.get_revision", {"channel": "{key}", "number": "{value}"}, "heads"),
    Edge("Attachment", "versions", "attachments.list_versions", {"attachment": "{id}"}),
    Edge("Attachment", "live", "attachments.get_version", {"version": "{id}"}),
    Edge("Attachment", "holds", "attachments.list_holds", {"attachment": "{id}"}),
    Edge("Version", "verdicts", "attachments.list_verdicts", {"version": "{ref}"}),
    Edge("Verdict", "unit", "structure.get_unit", {"unit": "{unit_id}"}),
    Edge("Role", "grants", "access.list_grants", {"role": "{name}"}),
    Edge("Record", "proof", "audit.prove", {"record": "{id}"}),
)  # fmt: skip
