"""What operations take and give, as pydantic models: the edges of the structure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from mallcore.structure.rules.merchandising import (
    Boost,
    Bury,
    Hide,
    Member,
    Pin,
    Sort,
    Stop,
    rule_to_json,
)
from mallcore.structure.rules.nodes import Node, thaw

Kind = Literal["section", "category"]
Policy = Literal["restrict", "reparent", "cascade"]
ScheduleState = Literal["waiting", "done", "failed", "cancelled"]

# Generous outer limits: the rules say precisely what is wrong, these only bound what they have to look at.
Text = Annotated[str, Field(max_length=100_000)]
Name = Annotated[Text, Field(description="What people read; up to 200 characters.")]
Slug = Annotated[Text, Field(description="The node's part of a path: a-z, 0-9 and single - _ . between them.")]
Message = Annotated[str, Field(max_length=1000, description="Why this was done; kept with the revision.")]
ChannelRef = Annotated[str, Field(max_length=250, description="A channel's id, its slug, or `unit:slug`.")]
NodeRef = Annotated[str, Field(max_length=7000, description="A node's id, or its path of slugs: `fiction/crime`.")]
At = Annotated[
    int | AwareDatetime | str | None,
    Field(
        union_mode="left_to_right",
        description="A revision's number, a time, or a snapshot's name; nothing for the head.",
    ),
]
Depth = Annotated[int | None, Field(ge=1, le=64, description="How many levels to show; nothing for all.")]
Locale = Annotated[
    str | None,
    Field(
        max_length=35,
        pattern=r"^[a-zA-Z]{2,8}([-_][a-zA-Z0-9]{1,8})*$",
        description="Show names in this language where they are translated.",
    ),
]
ExpectedRevision = Annotated[
    int | None, Field(ge=0, description="Refuse the change unless this is the head: nothing is overwritten unseen.")
]
IdempotencyKey = Annotated[
    str | None,
    Field(min_length=1, max_length=200, description="Repeating a call with its key answers, and changes nothing."),
]
MinRevision = Annotated[
    int | None, Field(ge=0, description="Answer from this revision or a later one: read your writes.")
]
Translations = Annotated[dict[str, str] | None, Field(description="Names by language tag.")]
Attributes = Annotated[dict[str, Any] | None, Field(description="Any JSON of your own; `null` removes one.")]
RuleShape = Annotated[Sort | Pin | Boost | Bury | Hide | Member | Stop, Field(discriminator="kind")]
Rules = Annotated[list[RuleShape] | None, Field(max_length=200, description="Merchandising rules.")]


class Shape(BaseModel):
    """A result: immutable, and nothing but its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Unit(Shape):
    """A business unit or tenant."""

    id: str
    slug: str
    name: str
    version: int
    created_at: datetime


class Channel(Shape):
    """A storefront of a unit. ``revision`` is its head."""

    id: str
    unit_id: str
    slug: str
    name: str
    locale: str
    currency: str
    translations: dict[str, str] = {}
    settings: dict[str, Any] = {}
    revision: int
    digest: str
    created_at: datetime
    revised_at: datetime
    removed_at: datetime | None = None


class NodeShape(Shape):
    """A section or category as it is in one revision."""

    id: str
    kind: str
    parent_id: str | None
    slug: str
    path: str
    name: str
    external_id: str | None = None
    translations: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    rules: list[dict[str, Any]] = []


class Changed(NodeShape):
    """A node after a change, and the revision that holds it."""

    revision: int


class Crumb(Shape):
    """A node on the way to another."""

    id: str
    kind: str
    slug: str
    name: str


class TreeNode(Crumb):
    """A node and what is below it."""

    external_id: str | None = None
    children: list[TreeNode] = []


class TreeShape(Shape):
    """A channel's tree in one revision; ``digest`` names its content."""

    channel: str
    slug: str
    name: str
    locale: str
    currency: str
    revision: int
    digest: str
    nodes: list[TreeNode]


class NodeView(NodeShape):
    """One node with the way to it and its children."""

    channel: str
    revision: int
    breadcrumbs: list[Crumb]
    children: list[Crumb]


class Revision(Shape):
    """One immutable, numbered change of a channel."""

    channel: str
    number: int
    author: str
    at: datetime
    message: str | None
    digest: str


class RevisionDetail(Revision):
    """A revision with its edits as they were given."""

    edits: list[Any]


class NodeDifference(Shape):
    """What became of one node: ``kinds`` are added, removed, moved, renamed, reordered, changed."""

    id: str
    kinds: list[str]
    before_path: str | None
    after_path: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Difference(Shape):
    """What is different between two states of a channel, node by node, and as text."""

    channel: str
    a: int
    b: int
    counts: dict[str, int]
    changes: list[NodeDifference]
    text: str


class Applied(Shape):
    """What one change did: the revision it made (or the head, when there was nothing to do), and how many nodes."""

    channel: str
    revision: int
    digest: str
    changed: bool
    counts: dict[str, int]
    created: list[str] = []


class Verified(Shape):
    """A history that holds: every digest covers its edits and its parent, and the rows say the same."""

    channel: str
    revisions: int
    digest: str
    nodes: int


class Draft(Shape):
    """Edits kept aside on a base revision. ``version`` rises with every change of the draft."""

    id: str
    channel: str
    name: str
    author: str
    base: int
    state: str
    version: int
    edits: int
    created_at: datetime
    changed_at: datetime
    revision: int | None = None


class Clash(Shape):
    """Something the draft and the head disagree on."""

    node: str
    field: str
    base: Any = None
    ours: Any = None
    theirs: Any = None
    reason: str


class Preview(Shape):
    """What publishing would do now: the difference to the head, or what stands in its way."""

    draft: str
    onto: int
    clashes: list[Clash]
    difference: Difference


class Schedule(Shape):
    """Something to be done at a time, once. ``result`` is the revision it made."""

    id: str
    channel: str
    action: str
    draft: str | None
    revision: int | None
    author: str
    at: datetime
    state: ScheduleState
    done_at: datetime | None = None
    result: int | None = None
    error: str | None = None


class Snapshot(Shape):
    """A named, immutable picture: the revision of each channel it covers, by the channel's id."""

    name: str
    author: str
    message: str
    at: datetime
    heads: dict[str, int]


class Imported(Applied):
    """What an import did, or with ``dry_run`` would do."""

    format: str
    entries: int
    dry_run: bool
    text: str = ""


class EffectiveRule(Shape):
    """A merchandising rule in force at a node, and the node it comes from."""

    rule: dict[str, Any]
    source: str


class EffectiveRules(Shape):
    """All rules in force at a node at a time, its own and inherited ones."""

    channel: str
    node: str
    revision: int
    at: datetime
    rules: list[EffectiveRule]


def plain_rules(rules: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Rules as JSON values."""
    return [rule_to_json(rule) for rule in rules]


def node_fields(node: Node, path: str) -> dict[str, Any]:
    """The fields of a `NodeShape`."""
    return {
        "id": node.id,
        "kind": node.kind,
        "parent_id": node.parent_id,
        "slug": node.slug,
        "path": path,
        "name": node.name,
        "external_id": node.external_id,
        "translations": dict(node.translations),
        "attributes": plain(node.attributes),
        "rules": plain_rules(node.rules),
    }


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """A frozen mapping as a plain one."""
    thawed: dict[str, Any] = thaw(value)
    return thawed
