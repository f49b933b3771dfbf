"""What changed with 2026-08-01: names that say the same thing the same way everywhere."""

from mallcore import access, structure
from mallcore.api.versions import Change, field
from mallcore.kernel.paging import Page


class GrantsSayWhoAndWhen(Change):
    """A grant tells who gave it in `granted_by` and when in `granted_at`.

    They were called `author` and `at`, which were taken for those of the role.
    """

    version = "2026-08-01"
    touches = access.Grant
    was = (field("granted_by").was_named("author"), field("granted_at").was_named("at"))
    examples = (
        {
            "id": "grt_01990000000070008000000000000001",
            "principal": "user:ada",
            "role": "editor",
            "scope": "channel",
            "scope_id": "chn_01990000000070008000000000000001",
            "channel_id": "chn_01990000000070008000000000000001",
            "author": "user:root",
            "at": "2026-05-04T09:30:00Z",
        },
    )


class NodesHaveAKind(Change):
    """Whether a node is a section or a category is its `kind` where it is shown, as it is where it is made.

    It was shown as `type`, in trees, bread crumbs and single nodes.
    """

    version = "2026-08-01"
    touches = (structure.NodeShape, structure.Crumb)
    was = (field("kind").was_named("type"),)
    examples = ({"id": "cat_01990000000070008000000000000001", "type": "category", "slug": "crime", "name": "Crime"},)


class PagesSayWhatIsNext(Change):
    """A page's `next` is the cursor of the page behind it.

    It was called `cursor`, like the parameter, and was taken for the cursor of the page itself.
    """

    version = "2026-08-01"
    touches = Page
    was = (field("next").was_named("cursor"),)
    examples = ({"items": [], "cursor": "WzcsImNhdF8xIl0"},)


class TreesHaveADepth(Change):
    """How many levels of a tree are shown is its `depth`, as everywhere. It was called `levels`."""

    version = "2026-08-01"
    touches = ("structure.tree", "structure.preview_tree")
    was = (field("depth").was_named("levels"),)
    examples = ({"channel": "books", "levels": 2}, {"draft": "drf_01990000000070008000000000000001", "levels": 1})


class NothingIsRemovedByTheWay(Change):
    """A node with children is not removed unless it is said what becomes of them.

    What was not said meant `reparent`: the children moved up, which often nobody had wanted.
    """

    version = "2026-08-01"
    touches = "structure.remove"
    was = (field("policy").had_default("reparent"),)
    examples = ({"channel": "books", "node": "fiction/crime"},)


CHANGES = (GrantsSayWhoAndWhen, NodesHaveAKind, PagesSayWhatIsNext, TreesHaveADepth, NothingIsRemovedByTheWay)
