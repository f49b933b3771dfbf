"""Import and export: a taxonomy file in as one revision, or out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from mallcore.errors import ChannelRemoved, InvalidInput, LimitExceeded, MalformedTaxonomy, StaleRevision
from mallcore.kernel import progress
from mallcore.kernel.context import Context
from mallcore.kernel.ids import new_id
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.work import MemoryOnly, MemoryWork
from mallcore.structure.model.shapes import (
    At,
    ChannelRef,
    ExpectedRevision,
    IdempotencyKey,
    Imported,
    Message,
    plain,
    plain_rules,
)
from mallcore.structure.operations.history import difference
from mallcore.structure.operations.nodes import EDIT, applied_fields
from mallcore.structure.operations.revising import Outcome, counts, revise
from mallcore.structure.operations.scopes import of_channel, tree_at
from mallcore.structure.operations.trees import Known, head, known, refuse_removed
from mallcore.structure.rules.apply import evolve
from mallcore.structure.rules.edits import Edit
from mallcore.structure.rules.formats import Row, Taxonomy, parse, render
from mallcore.structure.rules.importing import plan as import_plan
from mallcore.structure.rules.tree import Tree

Format = Annotated[str | None, Field(max_length=20, description="Nothing: found out from the content.")]
ExportFormat = Literal["json", "csv", "paths"]
_TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8", "paths": "text/plain; charset=utf-8"}


@operation(permission=EDIT, kind="command", subject=of_channel,
           errors=(MalformedTaxonomy, ChannelRemoved, StaleRevision, InvalidInput, LimitExceeded),
           rest=Rest("POST", "/channels/{channel}/import", raw="data"))  # fmt: skip
def import_taxonomy(
    ctx: Context,
    *,
    channel: ChannelRef,
    data: Annotated[bytes, Field(max_length=256 << 20, description="The file's content.")],
    format: Format = None,
    dry_run: bool = False,
    keep_missing: bool = False,
    message: Message = "",
    expected_revision: ExpectedRevision = None,
    idempotency_key: IdempotencyKey = None,
) -> Imported:
    """Bring a channel to the state of a taxonomy file, as one revision of adds, removals, moves and renames.

    Nodes are matched by the source's ids. Those imported before and missing now are removed, unless ``keep_missing``.
    An import that finds nothing different is a revision too: the history says when the source was taken over.
    With ``dry_run`` nothing changes, and ``text`` shows the difference it would make.

    >>> import_taxonomy(ctx, channel="books", data=b"Music\\nMusic > Jazz", format="paths").counts
    {'added': 2, 'removed': 0, 'changed': 0}
    """
    found = known(ctx, channel)
    refuse_removed(ctx, found)
    progress.stage("parsing")
    taxonomy = parse(data, format)
    ids: dict[str, str] = {}

    def plan(tree: Tree) -> list[Edit]:
        progress.stage("comparing")
        return [import_plan(tree, taxonomy.entries, lambda kind, key: _id(ids, kind, key), keep_missing)]

    if dry_run:
        return _tried(found, taxonomy, head(ctx, found.id), plan(head(ctx, found.id)))
    text = message or f"Import {len(taxonomy.entries)} categories ({taxonomy.format})"
    outcome = revise(
        ctx, found, plan, permission=EDIT, message=text, expected_revision=expected_revision, even_if_empty=True
    )
    return _imported(found, taxonomy, outcome)


def _id(ids: dict[str, str], kind: str, key: str) -> str:
    return ids.setdefault(key, new_id("sec" if kind == "section" else "cat"))


def _imported(found: Known, taxonomy: Taxonomy, outcome: Outcome) -> Imported:
    fields = {**applied_fields(found, outcome), "created": []}
    return Imported(format=taxonomy.format, entries=len(taxonomy.entries), dry_run=False, **fields)


def _tried(found: Known, taxonomy: Taxonomy, tree: Tree, edits: list[Edit]) -> Imported:
    after, changes = evolve(tree, edits)
    return Imported(
        channel=found.id,
        revision=tree.revision,
        digest=tree.digest,
        changed=False,
        counts=counts(changes),
        format=taxonomy.format,
        entries=len(taxonomy.entries),
        dry_run=True,
        text=difference(found, tree, after).text,
    )


@dataclass(frozen=True, slots=True)
class Export:
    """A channel's tree as a file, in pieces or whole."""

    tree: Tree
    format: ExportFormat
    content_type: str

    @property
    def etag(self) -> str:
        """Names exactly this file."""
        return f"{self.tree.digest[:32]}.{self.format}"

    @property
    def revision(self) -> int:
        """The revision shown."""
        return self.tree.revision

    @property
    def body(self) -> bytes:
        """The whole file."""
        return "".join(self.pieces()).encode()

    def pieces(self) -> Iterator[str]:
        """The file in pieces, so that a large one need not be held whole."""
        root = self.tree.root
        return render(self.format, _rows(self.tree), channel=root.slug, revision=self.tree.revision)


@operation(permission="structure.read", subject=of_channel, output=bytes,
           rest=Rest("GET", "/channels/{channel}/export"))  # fmt: skip
def export(ctx: Context, *, channel: ChannelRef, format: ExportFormat = "json", at: At = None) -> Export:
    """A channel's tree as a file that `import_taxonomy` reads again: JSON, CSV, or paths in Google's form.

    >>> export(ctx, channel="books", format="csv").content_type
    'text/csv; charset=utf-8'
    """
    found = known(ctx, channel)
    if isinstance(ctx.work, MemoryWork):
        raise MemoryOnly()  # a file takes too long to write on an event loop
    return Export(tree_at(ctx, found, at), format, _TYPES[format])


def _rows(tree: Tree) -> Iterator[Row]:
    names: list[str] = []
    for level, node in tree.walk():
        if level == 0:
            continue
        del names[level - 1 :]
        names.append(node.name)
        yield Row(
            depth=level - 1,
            path=tuple(names),
            id=node.id,
            external_id=node.external_id,
            parent_id=None if node.parent_id == tree.channel_id else node.parent_id,
            kind=node.kind,
            slug=node.slug,
            name=node.name,
            translations=dict(node.translations),
            attributes=plain(node.attributes),
            rules=tuple(plain_rules(node.rules)),
        )
