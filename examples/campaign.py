"""A Christmas campaign: a draft, published on 1 December and taken back on 27 December, on a clock of our own.

Run it in an empty folder: python campaign.py
"""

from datetime import UTC, datetime

from mallcore import Mall, Principal, structure
from mallcore.structure import CreateNode, MoveNode, UpdateNode

ME = Principal.system("marketing")
today = datetime(2026, 11, 1, tzinfo=UTC)


def prepare(mall: Mall) -> None:
    """A shop, and a campaign for it."""
    with mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
        for name in ("Fiction", "Cooking", "Children"):
            structure.create_section(ctx, channel="books", name=name)
        draft = structure.open_draft(ctx, channel="books", name="Christmas")
        structure.edit_draft(
            ctx,
            draft=draft.id,
            edits=[
                CreateNode(name="Gifts", kind="section"),
                CreateNode(name="For grandparents", parent="gifts"),
                MoveNode(node="gifts", index=0),
                UpdateNode(node="cooking", name="Baking", translations={"de": "Backen"}),
            ],
        )
        print(structure.preview_draft(ctx, draft=draft.id).difference.text)
        structure.schedule_draft(
            ctx, draft=draft.id, at=datetime(2026, 12, 1, tzinfo=UTC), undo_at=datetime(2026, 12, 27, tzinfo=UTC)
        )


def show(mall: Mall) -> list[str]:
    """The shop as a visitor sees it today."""
    with mall.begin(ME) as ctx:
        names = [node.name for node in structure.tree(ctx, channel="books").nodes]
    print(f"{today:%d %b}: {', '.join(names)}")
    return names


def main() -> None:
    """Live through the winter in a second."""
    global today
    with Mall.open("sqlite:///mall.db", clock=lambda: today) as mall:
        prepare(mall)
        assert show(mall) == ["Fiction", "Cooking", "Children"]

        today = datetime(2026, 12, 1, tzinfo=UTC)
        mall.run_due()  # a server calls mall.start_scheduler() instead
        assert show(mall) == ["Gifts", "Fiction", "Baking", "Children"]

        today = datetime(2026, 12, 10, tzinfo=UTC)
        with mall.begin(ME) as ctx:
            structure.rename(ctx, channel="books", node="fiction", name="Novels", message="Not part of the campaign")
        assert show(mall) == ["Gifts", "Novels", "Baking", "Children"]

        today = datetime(2026, 12, 27, tzinfo=UTC)
        mall.run_due()
        assert show(mall) == ["Novels", "Cooking", "Children"]

        with mall.begin(ME) as ctx:
            for one in structure.list_schedules(ctx, channel="books").items:
                print(f"{one.action} at {one.at:%d %b}: {one.state}, revision {one.result}")


if __name__ == "__main__":
    main()
