"""Owners: whatever attachments belong to, and who may see and change them by it."""

from __future__ import annotations

from typing import Any

import pytest

from mallcore import Principal, access, attachments, structure
from mallcore.errors import (
    Denied,
    InvalidReference,
    MallError,
    Unauthenticated,
    UnknownAttachment,
    UnknownChannel,
    UnknownNode,
    UnknownUnit,
)
from tests.attachments.storehouse import ME, Storehouse

ADA = Principal.user("ada")
CRIME = "category:books/fiction/crime"


@pytest.fixture
def town(house: Storehouse) -> Storehouse:
    """Two units: `main` with the channel `books`, `north` with `games`."""
    with house.mall.begin(ME) as ctx:
        structure.create_unit(ctx, slug="north", name="North")
        structure.create_channel(ctx, slug="games", name="Games", unit="north")
        structure.create_section(ctx, channel="books", name="Fiction")
        structure.create_section(ctx, channel="books", name="Travel")
        structure.create_category(ctx, channel="books", name="Crime", parent="fiction")
        structure.create_category(ctx, channel="books", name="Noir", parent="fiction/crime")
    return house


def may(house: Storehouse, role: str = "editor", principal: Principal = ADA, **where: Any) -> None:
    """Grant a role."""
    with house.mall.begin(ME) as ctx:
        access.grant(ctx, principal=principal.ref, role=role, **where)


def seen(house: Storehouse, principal: Principal = ADA, **given: Any) -> set[str]:
    """The ids of the attachments that a principal is shown, page by page."""
    found: set[str] = set()
    cursor = None
    while True:
        with house.mall.begin(principal) as ctx:
            page = attachments.list_attachments(ctx, limit=2, cursor=cursor, **given)
        assert 0 < len(page.items) <= 2 or not found
        found |= {one.id for one in page.items}
        cursor = page.next
        if cursor is None:
            return found


SPELT: dict[str, tuple[dict[str, Any], str]] = {
    "a channel": ({"owner": "channel:books"}, "channel:chn_"),
    "a channel with its unit": ({"owner": "channel:main:books"}, "channel:chn_"),
    "a category": ({"owner": CRIME}, "node:chn_"),
    "a section": ({"owner": "section:books/fiction"}, "node:chn_"),
    "a unit": ({"owner": "unit:main"}, "unit:unt_"),
    "a user": ({"owner": "user:ada", "unit": "main"}, "user:ada"),
    "a product": ({"owner": "product:42", "unit": "main"}, "product:42"),
    "anything": ({"owner": "shelf:3/ä", "unit": "north"}, "shelf:3/ä"),
}


@pytest.mark.parametrize("case", SPELT)
def test_anything_can_own(town: Storehouse, case: str) -> None:
    """Channels, nodes, units, and whatever a host knows by a kind and an id; each has one spelling."""
    given, spelling = SPELT[case]
    made = town.put(b"x", **given)
    assert made.owner.startswith(spelling)
    assert seen(town, ME, **given) == {made.attachment}
    again = town.put(b"y", **{**given, "owner": made.owner}, attachment=made.attachment)
    assert (again.n, again.owner) == (2, made.owner)


WRONG: dict[str, tuple[dict[str, Any], type[MallError]]] = {
    "no kind": ({"owner": "books"}, InvalidReference),
    "no id": ({"owner": "channel:"}, InvalidReference),
    "a kind in capitals": ({"owner": "Channel:books"}, InvalidReference),
    "a line break": ({"owner": "product:4\n2"}, InvalidReference),
    "an unknown channel": ({"owner": "channel:nowhere"}, UnknownChannel),
    "a node without a channel": ({"owner": "node:crime"}, UnknownNode),
    "an unknown node": ({"owner": "category:books/poetry"}, UnknownNode),
    "an unknown unit": ({"owner": "unit:nowhere"}, UnknownUnit),
    "a thing in an unknown unit": ({"owner": "product:42", "unit": "nowhere"}, UnknownUnit),
    "a thing in no unit of two": ({"owner": "product:42"}, UnknownUnit),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_owner_that_can_not_be_is_refused(town: Storehouse, case: str) -> None:
    """What names no owner is refused by its name, before a byte is read."""
    given, error = WRONG[case]
    stream = Unread()
    for name in ("upload_file", "stage"):
        with pytest.raises(error):
            town.do(name, file=stream, file_name="a.txt", **given)
    with pytest.raises(error):
        town.do("list_attachments", **given)
    assert town.keys() == []


class Unread:
    """A stream that must not be touched."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("it was read")


def test_attachments_of_a_removed_node_stay(town: Storehouse) -> None:
    """Its versions are still readable and listed for those of the channel; who had only the node has nothing left."""
    made = town.put(b"x", owner=CRIME)
    may(town, scope="subtree", channel="books", node="fiction/crime")
    assert seen(town) == {made.attachment}
    with town.mall.begin(ME) as ctx:
        structure.remove(ctx, channel="books", node="fiction/crime", policy="cascade")
    assert town.read(made.ref) == b"x"
    assert seen(town, ME) == {made.attachment}
    assert seen(town) == set()
    with town.mall.begin(ADA) as ctx, pytest.raises(Denied):
        attachments.get_attachment(ctx, attachment=made.attachment)
    with town.mall.begin(ME) as ctx:
        structure.restore(ctx, channel="books", node=made.owner.rpartition("/")[2])
    assert seen(town) == {made.attachment}


def test_a_subtree_is_what_lies_below_now(town: Storehouse) -> None:
    """Who may see a subtree sees the attachments of its nodes, wherever they were moved; nothing of the channel's."""
    crime, noir = town.put(b"1", owner=CRIME), town.put(b"2", owner=f"{CRIME}/noir")
    travel = town.put(b"3", owner="section:books/travel")
    for beside in ("channel:books", "section:books/fiction", "unit:main"):
        town.put(b"4", owner=beside)
    may(town, scope="subtree", channel="books", node="fiction/crime")
    assert seen(town) == {crime.attachment, noir.attachment}
    assert seen(town, owner=CRIME) == {crime.attachment}
    with town.mall.begin(ME) as ctx:
        structure.move(ctx, channel="books", node="fiction/crime/noir", parent="travel")
    assert seen(town) == {crime.attachment}
    may(town, scope="subtree", channel="books", node="travel")
    assert seen(town) == {crime.attachment, noir.attachment, travel.attachment}


def test_who_may_edit_a_subtree_hangs_pictures_there_and_nowhere_else(town: Storehouse) -> None:
    """An editor of a subtree uploads for its nodes; for others it is refused, whatever attachment is named."""
    may(town, scope="subtree", channel="books", node="fiction")
    mine = town.put(b"mine", ADA, owner=CRIME)
    assert town.put(b"again", ADA, owner=CRIME, attachment=mine.attachment).n == 2
    theirs = town.put(b"theirs", owner="section:books/travel")
    for owner in ("section:books/travel", "channel:books", "unit:main", "product:42"):
        with pytest.raises(Denied):
            town.put(b"x", ADA, owner=owner, unit="main")
    for unknown in (theirs.attachment, f"att_{0:032x}"):
        with pytest.raises(UnknownAttachment) as refused:
            town.put(b"x", ADA, owner=CRIME, attachment=unknown)
        assert str(refused.value) == str(UnknownAttachment(attachment=unknown))


def test_a_foreign_attachment_looks_like_an_unknown_one(town: Storehouse) -> None:
    """Whoever knows an id, a reference or a digest of another unit learns no more than whoever makes one up."""
    foreign = town.put(b"secret", owner="channel:games")
    may(town, "owner", scope="unit", unit="main")
    for name in ("get_attachment", "list_versions", "remove_attachment"):
        assert refusal(town, name, attachment=foreign.attachment) == refusal(town, name, attachment=f"att_{0:032x}")
    for text in ("@1", "@9", "@live", "@nothing", "", f"@sha256:{foreign.digest}"):
        answers = [
            refusal(town, name, version=f"{id}{text}")
            for name in ("get_version", "open_version", "restore_version")
            for id in (foreign.attachment, f"att_{0:032x}")
        ]
        assert answers[0::2] == answers[1::2]
    assert seen(town) == set()


def refusal(town: Storehouse, name: str, **given: Any) -> tuple[str, str]:
    """How a call of Ada's is refused."""
    with pytest.raises(MallError) as refused, town.mall.begin(ADA) as ctx:
        getattr(attachments, name)(ctx, **given)
    return type(refused.value).__name__, str(refused.value)


def test_lists_do_not_tell_what_owners_there_are(town: Storehouse) -> None:
    """Who asks for a foreign owner's attachments gets none, and so does who asks for one there is not."""
    town.put(b"secret", owner="channel:games")
    may(town, "owner", scope="unit", unit="main")
    for owner in ("channel:games", "channel:nowhere", "category:games/x", "unit:north", "unit:nowhere"):
        assert seen(town, owner=owner) == set()
    assert seen(town, owner="product:42", unit="north") == seen(town, owner="product:42", unit="nowhere") == set()


ROLES: dict[str, tuple[bool, bool]] = {
    "owner": (True, True),
    "editor": (True, True),
    "author": (True, False),
    "visitor": (False, False),
    "auditor": (False, False),
}


@pytest.mark.parametrize("role", ROLES)
def test_what_the_built_in_roles_may(town: Storehouse, role: str) -> None:
    """Editors upload, authors look, visitors and auditors do neither."""
    reads, writes = ROLES[role]
    made = town.put(b"x")
    may(town, role, scope="channel", channel="books")
    assert seen_or_refused(town, made.ref) is reads
    if writes:
        town.put(b"y", ADA)
    else:
        with pytest.raises(Denied):
            town.put(b"y", ADA)


def seen_or_refused(town: Storehouse, ref: str) -> bool:
    """Whether Ada may read a version."""
    try:
        with town.mall.begin(ADA) as ctx, attachments.open_version(ctx, version=ref) as stream:
            return bool(stream.read())
    except Denied:
        return False


def test_nobody_in_particular_may_nothing(town: Storehouse) -> None:
    """Without a grant there is neither a look nor an upload, whatever the slot."""
    made = town.put(b"x")
    for call in (
        lambda ctx: attachments.get_version(ctx, version=made.ref),
        lambda ctx: attachments.list_attachments(ctx),
        lambda ctx: attachments.stage(ctx, file=b"", file_name="a", owner="channel:books"),
    ):
        with town.mall.begin(Principal.anonymous()) as ctx, pytest.raises(Unauthenticated):
            call(ctx)
