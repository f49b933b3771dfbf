"""The stories every face must tell alike. Each takes a face of an empty mall; none knows which face it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.adapters.faces import Face, Json, Refusal

TAXONOMY = b"1 - Books\n2 - Books > Crime\n3 - Books > Poetry\n"


@contextmanager
def refused(code: str) -> Iterator[Json]:
    """What follows must be refused with this code; the details are there afterwards."""
    details: Json = {}
    with pytest.raises(Refusal) as caught:
        yield details
    assert caught.value.code == code, caught.value
    details.update(caught.value.details)


def paths(tree: Json) -> list[str]:
    """The paths of all nodes of a tree, depth first."""

    def below(nodes: list[Json], before: str) -> Iterator[str]:
        for node in nodes:
            yield before + node["slug"]
            yield from below(node["children"], before + node["slug"] + "/")

    return list(below(tree["nodes"], ""))


def bookshop(face: Face) -> None:
    """A channel with a section and two categories: revision 3."""
    face.create_channel("books", "Books")
    face.create_node("books", "Fiction", kind="section")
    face.create_node("books", "Crime", parent="fiction")
    face.create_node("books", "Poetry", parent="fiction")


def a_tree_grows(face: Face) -> None:
    """What is created is there at once, in order, and each change is one revision."""
    bookshop(face)
    tree = face.tree("books")
    assert (tree["revision"], tree["name"], paths(tree)) == (
        3,
        "Books",
        ["fiction", "fiction/crime", "fiction/poetry"],
    )
    node = face.get_node("books", "fiction/crime")
    assert (node["name"], node["kind"], [one["slug"] for one in node["breadcrumbs"]]) == (
        "Crime",
        "category",
        ["fiction"],
    )
    assert face.get_node("books", node["id"])["path"] == "fiction/crime"


def names_in_other_languages(face: Face) -> None:
    """A translated name is shown to who asks for its language; text of any script survives."""
    face.create_channel("books", "Bücher 書籍")
    face.create_node("books", "Crime", translations={"de": "Krimi 🔎"})
    assert face.tree("books")["name"] == "Bücher 書籍"
    assert face.tree("books", locale="de")["nodes"][0]["name"] == "Krimi 🔎"
    assert face.tree("books", locale="fr")["nodes"][0]["name"] == "Crime"


def a_node_changes(face: Face) -> None:
    """Renaming changes what is given and nothing else; moving takes along what is below."""
    bookshop(face)
    changed = face.update_node("books", "fiction/crime", name="Crime & mystery")
    assert (changed["name"], changed["slug"], changed["revision"]) == ("Crime & mystery", "crime", 4)
    moved = face.move("books", "fiction/crime", None)
    assert (moved["path"], moved["revision"]) == ("crime", 5)
    assert paths(face.tree("books")) == ["fiction", "fiction/poetry", "crime"]
    assert paths(face.tree("books", depth=1)) == ["fiction", "crime"]


def removal_asks_first(face: Face) -> None:
    """A node with children goes only when it is said what becomes of them; what was removed can come back."""
    bookshop(face)
    fiction = face.get_node("books", "fiction")["id"]
    with refused("has-children") as details:
        face.remove("books", "fiction")
    assert details["count"] == 2
    assert face.remove("books", "fiction", policy="cascade")["counts"]["removed"] == 3
    assert paths(face.tree("books")) == []
    face.restore("books", fiction)
    assert paths(face.tree("books")) == ["fiction", "fiction/crime", "fiction/poetry"]


def many_edits_are_one_revision(face: Face) -> None:
    """A batch is all or nothing, and later edits see what earlier ones made."""
    face.create_channel("books", "Books")
    wanted: list[Json] = [
        {"op": "create", "name": "Fiction", "kind": "section"},
        {"op": "create", "name": "Crime", "parent": "fiction"},
        {"op": "move", "node": "fiction/crime", "parent": None},
    ]
    assert face.edit("books", wanted, message="Begin")["revision"] == 1
    assert paths(face.tree("books")) == ["fiction", "crime"]
    with refused("unknown-node"):
        face.edit("books", [{"op": "create", "name": "Poetry"}, {"op": "remove", "node": "nowhere"}])
    assert face.tree("books")["revision"] == 1


def history_is_kept(face: Face) -> None:
    """Every revision can be listed, compared, read and returned to; returning is a revision too."""
    bookshop(face)
    face.update_node("books", "fiction/crime", name="Mystery", message="A better word")
    listed = face.log("books", limit=2)
    assert [one["number"] for one in listed["items"]] == [4, 3]
    assert listed["items"][0]["message"] == "A better word"
    assert [one["number"] for one in face.log("books", limit=2, cursor=listed["next"])["items"]] == [2, 1]
    difference = face.diff("books", 3, 4)
    assert [(one["kinds"], one["before"]["name"], one["after"]["name"]) for one in difference["changes"]] == [
        (["renamed"], "Crime", "Mystery")
    ]
    assert face.tree("books", at=1)["nodes"][0]["children"] == []
    assert face.rollback("books", 2)["revision"] == 5
    assert paths(face.tree("books")) == ["fiction", "fiction/crime"]
    assert face.get_node("books", "fiction/crime")["name"] == "Crime"


def a_stale_writer_is_stopped(face: Face) -> None:
    """Who expects a revision that is no more the head overwrites nothing, and learns what the head is."""
    bookshop(face)
    with refused("stale-revision") as details:
        face.update_node("books", "fiction/crime", name="Mystery", expected_revision=2)
    assert (details["expected"], details["actual"]) == (2, 3)
    face.update_node("books", "fiction/crime", name="Mystery", expected_revision=3)
    assert face.tree("books")["revision"] == 4


def a_call_is_repeated_safely(face: Face) -> None:
    """The same key answers the same, and changes nothing twice; another call must not use it."""
    face.create_channel("books", "Books")
    first = face.create_node("books", "Fiction", idempotency_key="k1")
    assert face.create_node("books", "Fiction", idempotency_key="k1") == first
    assert face.tree("books")["revision"] == 1
    with refused("idempotency-mismatch"):
        face.create_node("books", "Poetry", idempotency_key="k1")


def a_draft_is_published(face: Face) -> None:
    """Nobody sees a draft until it is published; what clashes with a later change is reported, never overwritten."""
    bookshop(face)
    draft = face.open_draft("books", "Autumn")["id"]
    face.edit_draft(draft, [{"op": "update", "node": "fiction/crime", "name": "Noir"}])
    assert face.get_node("books", "fiction/crime")["name"] == "Crime"
    face.update_node("books", "fiction/crime", name="Mystery")
    with refused("edit-conflict") as details:
        face.publish_draft(draft)
    assert [(one["ours"], one["theirs"]) for one in details["clashes"]] == [("Noir", "Mystery")]
    face.publish_draft(draft, settle={"*": "ours"})
    assert face.get_node("books", "fiction/crime")["name"] == "Noir"
    with refused("draft-closed"):
        face.publish_draft(draft)


def a_snapshot_is_read_by_name(face: Face) -> None:
    """A snapshot's name stands for the revision it was made at."""
    bookshop(face)
    face.create_snapshot("before-sale")
    face.remove("books", "fiction", policy="cascade")
    assert paths(face.tree("books", at="before-sale"))[0] == "fiction"
    with refused("already-exists"):
        face.create_snapshot("before-sale")
    with refused("unknown-snapshot"):
        face.tree("books", at="never-made")


def a_taxonomy_goes_in_and_out(face: Face) -> None:
    """A file is one revision; trying it first changes nothing; a broken file imports nothing and names the line."""
    face.create_channel("books", "Books")
    tried = face.import_taxonomy("books", TAXONOMY, dry_run=True)
    assert (tried["changed"], tried["entries"], face.tree("books")["revision"]) == (False, 3, 0)
    assert face.import_taxonomy("books", TAXONOMY)["revision"] == 1
    assert sorted(paths(face.tree("books"))) == ["books", "books/crime", "books/poetry"]
    assert b"Books > Crime" in face.export("books", "paths")
    with refused("malformed-taxonomy") as details:
        face.import_taxonomy("books", b"1 - Books\n1 - Toys\n")
    assert _line(details["problems"][0]) == 2
    assert face.tree("books")["revision"] == 1


def _line(problem: Any) -> int:
    line: int = problem["line"] if isinstance(problem, dict) else problem[0]
    return line


def a_removed_channel_is_closed(face: Face) -> None:
    """A removed channel is gone for readers and writers; its history can still be read."""
    bookshop(face)
    face.remove_channel("books")
    with refused("channel-removed"):
        face.tree("books")
    assert paths(face.tree("books", at=3))[0] == "fiction"
    with refused("channel-removed"):
        face.create_node("books", "Late")


def refusals_name_the_reason(face: Face) -> None:
    """What can't be done is refused by a code of its own, and changes nothing."""
    bookshop(face)
    with refused("already-exists"):
        face.create_channel("books", "Again")
    with refused("unknown-channel"):
        face.tree("toys")
    with refused("unknown-node"):
        face.get_node("books", "fiction/nowhere")
    with refused("unknown-revision"):
        face.tree("books", at=99)
    with refused("duplicate-slug"):
        face.create_node("books", "Crime", parent="fiction")
    with refused("would-create-loop"):
        face.move("books", "fiction", "fiction/crime")
    with refused("misplaced-section"):
        face.create_node("books", "Deep", kind="section", parent="fiction")
    with refused("invalid-input"):
        face.create_node("books", "bell\x07")
    assert face.tree("books")["revision"] == 3


def a_file_keeps_all_its_versions(face: Face) -> None:
    """What is uploaded is a version for ever: its bytes, and each part of them; the label tells which is live."""
    face.create_channel("books", "Books")
    first = face.upload("channel:books", b"first \x00\xff bytes", "Käse.txt", meta={"by": "us"})
    assert (first["n"], first["size"], first["file_name"], first["meta"]) == (1, 14, "Käse.txt", {"by": "us"})
    id = first["attachment"]
    second = face.upload("channel:books", b"second", "b.txt", attachment=id)
    assert second["ref"] == f"{id}@2"
    assert [one["ref"] for one in face.versions(id)["items"]] == [second["ref"], first["ref"]]
    assert face.content(first["ref"]) == b"first \x00\xff bytes"
    assert face.content(f"{id}@live") == b"second"
    assert face.content(second["ref"], 1, 4) == b"eco"
    assert face.set_label(id, "live", 1, expect=2)["ref"] == first["ref"]
    assert face.content(id, 6) == b"\x00\xff bytes"
    assert face.get_attachment(id)["labels"] == {"live": 1}


def files_are_refused_for_a_reason(face: Face) -> None:
    """What is not what was announced, too large or for nobody is refused, and nothing is kept of it."""
    face.create_channel("books", "Books")
    with refused("content-mismatch"):
        face.upload("channel:books", b"abc", "a.txt", size=4)
    with refused("content-mismatch"):
        face.upload("channel:books", b"abc", "a.txt", sha256="0" * 64)
    with refused("unknown-channel"):
        face.upload("channel:toys", b"abc", "a.txt")
    with refused("invalid-reference"):
        face.upload("books", b"abc", "a.txt")
    with refused("unknown-slot"):
        face.upload("channel:books", b"abc", "a.txt", slot="shelf")
    kept = face.upload("channel:books", b"abc", "a.txt", idempotency_key="k1")
    assert face.upload("channel:books", b"abc", "a.txt", idempotency_key="k1") == kept
    with refused("idempotency-mismatch"):
        face.upload("channel:books", b"abd", "a.txt", idempotency_key="k1")
    with refused("label-moved") as details:
        face.upload("channel:books", b"abd", "a.txt", attachment=kept["attachment"], expect=7)
    assert details["actual"] == 1
    with refused("unknown-version"):
        face.content(f"{kept['attachment']}@2")
    assert len(face.versions(kept["attachment"])["items"]) == 1


def an_old_version_comes_back(face: Face) -> None:
    """Restoring gives the same bytes a new number; where a label has stood is told; what was removed can come back."""
    face.create_channel("books", "Books")
    first = face.upload("channel:books", b"spring", "a.txt")
    id = first["attachment"]
    face.upload("channel:books", b"autumn", "b.txt", attachment=id)
    again = face.restore_version(first["ref"])
    assert (again["ref"], again["digest"], again["file_name"]) == (f"{id}@3", first["digest"], "a.txt")
    assert face.content(id) == b"spring"
    assert [one["n"] for one in face.label_history(id, "live")["items"]] == [3, 2, 1]
    face.set_label(id, "autumn", 2)
    face.remove_label(id, "autumn")
    with refused("unknown-label"):
        face.content(f"{id}@autumn")
    face.remove_attachment(id)
    assert face.attachments_of("channel:books")["items"] == []
    assert face.content(f"{id}@2") == b"autumn"
    face.upload("channel:books", b"winter", "c.txt", attachment=id)
    assert [one["id"] for one in face.attachments_of("channel:books")["items"]] == [id]


def a_link_is_for_whoever_has_it(face: Face) -> None:
    """A link opens its version without credentials, as often as was said, until it is taken back."""
    face.create_channel("books", "Books")
    made = face.upload("channel:books", b"invoice", "a.txt")
    link = face.link(made["ref"])
    face.upload("channel:books", b"other", "b.txt", attachment=made["attachment"])
    assert face.follow(link) == face.follow(link) == b"invoice"
    with refused("link-refused"):
        face.follow({"token": link["token"][:-2] + ("AA" if link["token"][-2:] != "AA" else "BB")})
    face.revoke_link(link["token"])
    with refused("link-refused") as details:
        face.follow(link)
    assert details["reason"] == "revoked"
    once = face.link(made["ref"], once=True)
    assert face.follow(once) == b"invoice"
    with refused("link-refused") as details:
        face.follow(once)
    assert details["reason"] == "used"


def nothing_is_deleted_by_chance(face: Face) -> None:
    """What is shown or held can't be given up; what was given up is collected only when that is meant."""
    face.create_channel("books", "Books")
    made = face.upload("channel:books", b"kept", "a.txt")
    id, ref = made["attachment"], made["ref"]
    with refused("in-use"):
        face.drop_version(ref, "old")
    face.remove_label(id, "live")
    hold = face.place_hold(id, "a court asks")["id"]
    with refused("on-hold"):
        face.drop_version(ref, "old")
    face.release_hold(hold)
    assert face.collect(dry_run=True)["blobs"] == 0
    face.drop_version(ref, "old")
    assert face.collect(dry_run=True)["blobs"] == 1
    assert face.collect(dry_run=True)["dry_run"] is True
    assert (face.collect(dry_run=False)["blobs"], face.collect(dry_run=False)["blobs"]) == (1, 0)
    with refused("content-erased"):
        face.content(ref)
    assert face.versions(id)["items"][0]["dropped_for"] == "old"


SCENARIOS: list[Callable[[Face], None]] = [
    a_tree_grows,
    names_in_other_languages,
    a_node_changes,
    removal_asks_first,
    many_edits_are_one_revision,
    history_is_kept,
    a_stale_writer_is_stopped,
    a_call_is_repeated_safely,
    a_draft_is_published,
    a_snapshot_is_read_by_name,
    a_taxonomy_goes_in_and_out,
    a_removed_channel_is_closed,
    refusals_name_the_reason,
    a_file_keeps_all_its_versions,
    files_are_refused_for_a_reason,
    an_old_version_comes_back,
    a_link_is_for_whoever_has_it,
    nothing_is_deleted_by_chance,
]
