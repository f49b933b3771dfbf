"""Edits as callers give them: by name, with references to nodes by id or path."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mallcore.structure.model.shapes import (
    Attributes,
    Kind,
    Name,
    NodeRef,
    Policy,
    RuleShape,
    Slug,
    Text,
    Translations,
)

Index = Annotated[
    int | None, Field(ge=0, le=1_000_000, description="The place among its siblings from 0; nothing: last.")
]
Parent = Annotated[NodeRef | None, Field(description="The parent's id or path; nothing: the top of the channel.")]
Children = Annotated[list[NodeRef], Field(max_length=100_000)]
NodeRules = Annotated[list[RuleShape], Field(max_length=200)]
ExternalId = Annotated[Text | None, Field(description="What a source of yours calls the node; unique in the channel.")]


class _Edit(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CreateNode(_Edit):
    """Add a section or category."""

    op: Literal["create"] = "create"
    name: Name
    kind: Kind = "category"
    parent: Parent = None
    slug: Slug | None = None
    index: Index = None
    external_id: ExternalId = None
    translations: Translations = None
    attributes: Attributes = None
    rules: list[RuleShape] | None = None


class UpdateNode(_Edit):
    """Change a node's name, slug, translations or attributes; what is not given stays."""

    op: Literal["update"] = "update"
    node: NodeRef
    name: Name | None = None
    slug: Slug | None = None
    translations: Translations = None
    attributes: Attributes = None


class MoveNode(_Edit):
    """Move a node, with all below it."""

    op: Literal["move"] = "move"
    node: NodeRef
    parent: Parent = None
    index: Index = None


class ReorderChildren(_Edit):
    """Put children in this order; those not named follow."""

    op: Literal["reorder"] = "reorder"
    node: Parent = None
    children: Children


class SetNodeRules(_Edit):
    """Replace a node's merchandising rules."""

    op: Literal["set_rules"] = "set_rules"
    node: Parent = None
    rules: NodeRules


class RemoveNode(_Edit):
    """Remove a node; the policy says what becomes of its children."""

    op: Literal["remove"] = "remove"
    node: NodeRef
    policy: Policy = "restrict"


EditInput = Annotated[
    CreateNode | UpdateNode | MoveNode | ReorderChildren | SetNodeRules | RemoveNode, Field(discriminator="op")
]
Edits = Annotated[list[EditInput], Field(min_length=1, max_length=10_000)]
