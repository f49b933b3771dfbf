"""Stories of a structure, typed: every command of it does what its operation promises."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mallcore.adapters.cli.faces import FACES
from tests.cli.typing_in import Typed

Cli = Callable[..., Typed]


def paths(tree: Any, before: str = "") -> list[str]:
    found = []
    for node in tree["nodes"] if "nodes" in tree else tree["children"]:
        found += [before + node["slug"], *paths(node, before + node["slug"] + "/")]
    return found


def shown(cli: Cli, *words: str) -> list[str]:
    return paths(cli("structure", "show", *words, "--json").json)


def test_a_node_is_made_with_all_it_can_have(books: Cli, tmp_path: Path) -> None:
    """Translations and attributes are typed as KEY=VALUE, rules come from a file."""
    rules = tmp_path / "rules.json"
    rules.write_text('{"rules": [{"kind": "sort", "by": "price"}]}')
    made = books(
        "structure", "create", "Sale", "--kind", "section", "--slug", "sale", "--index", "0", "--external-id", "S-1",
        "--translation", "de=Ausverkauf", "--translation", "fr=Soldes", "--attribute", "colour=red",
        "--attribute", "floor=3", "--attribute", 'tags=["a", "b"]', "--attribute", "sum=a=b",
        "--rules", str(rules), "-m", "Summer", "--json",
    ).json  # fmt: skip
    assert made["translations"] == {"de": "Ausverkauf", "fr": "Soldes"}
    assert made["attributes"] == {"colour": "red", "floor": 3, "tags": ["a", "b"], "sum": "a=b"}
    assert made["rules"] == [{"kind": "sort", "by": "price"}]
    assert (made["external_id"], made["kind"], made["path"]) == ("S-1", "section", "sale")
    assert shown(books)[0] == "sale"
    assert books("structure", "log", "--json").json["items"][0]["message"] == "Summer"
    changed = books("structure", "update", "sale", "--attribute", "floor=null", "--json").json
    assert "floor" not in changed["attributes"]
    assert "Ausverkauf" in books("structure", "show", "--locale", "de").out


def test_nodes_are_renamed_moved_ordered_removed_restored(books: Cli) -> None:
    """Each edit of a node has a command, and each is one revision."""
    assert (
        books("structure", "rename", "fiction/crime", "Noir", "--slug", "noir", "--json").json["path"] == "fiction/noir"
    )
    assert books("structure", "move", "fiction/noir", "/", "--index", "0", "--json").json["path"] == "noir"
    assert shown(books) == ["noir", "fiction", "fiction/poetry"]
    assert books("structure", "reorder", "fiction", "noir").code == 0
    assert shown(books) == ["fiction", "fiction/poetry", "noir"]
    node = books("structure", "node", "fiction", "--json").json["id"]
    assert books("structure", "remove", "fiction", "--json").error["code"] == "has-children"
    assert books("structure", "remove", "fiction", "--policy", "cascade").out == "Revision 7: 2 removed.\n"
    assert books("structure", "restore", node).out == "Revision 8: 2 added.\n"
    assert "fiction/poetry" in shown(books)


def test_a_move_says_where_to(books: Cli) -> None:
    """The parent is always typed: nothing moves to the top by being forgotten."""
    assert books("structure", "move", "fiction/crime").code == 2
    assert books("structure", "move", "fiction", "fiction/crime", "--json").error["code"] == "would-create-loop"


def test_many_edits_come_from_a_file(books: Cli, tmp_path: Path) -> None:
    """A batch is one revision; the file may hold a list or an object with one, and standard input does too."""
    edits = [{"op": "create", "name": "Toys"}, {"op": "create", "name": "Trains", "parent": "toys"}]
    file = tmp_path / "edits.json"
    file.write_text(json.dumps({"edits": edits}))
    assert books("structure", "edit", str(file)).out == "Revision 4: 2 added.\n"
    again = json.dumps([{"op": "remove", "node": "toys", "policy": "cascade"}]).encode()
    assert books("structure", "edit", "-", stdin=again).out == "Revision 5: 2 removed.\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[1,\n2", "line 2"),
        (b'{"a": 1}', "edits"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"7", "list"),
    ],
)
def test_a_file_that_holds_no_edits_is_refused(books: Cli, content: bytes, said: str) -> None:
    """The message says what is wrong with it, and the head stays."""
    error = books("structure", "edit", "-", "--json", stdin=content).error
    assert error["code"] == "invalid-input"
    assert said in error["message"]
    assert len(books("structure", "log", "--json").json["items"]) == 3


@pytest.mark.parametrize("word", ["colour", "=red"])
def test_a_pair_that_is_none_is_refused(books: Cli, word: str) -> None:
    """KEY=VALUE needs both."""
    error = books("structure", "create", "X", "--attribute", word, "--json").error
    assert (error["code"], error["field"]) == ("invalid-input", "attributes")


def test_history_is_listed_compared_and_gone_back_to(books: Cli) -> None:
    """log, revision, diff, rollback, undo, verify; at a number or a snapshot's name."""
    books("structure", "rename", "fiction/crime", "Noir", "-m", "Darker")
    assert '~ fiction/crime  "Crime" -> "Noir"' in books("structure", "diff").out
    assert books("structure", "diff", "1", "3", "--json").json["counts"] == {"added": 2}
    assert books("structure", "diff", "1", "--json").json["b"] == 4
    assert books("structure", "revision", "4", "--json").json["edits"] == [["rename", *_any(books), "Noir", None, None]]
    assert "Darker" in books("structure", "revision", "4").out
    assert books("structure", "undo", "4", "--json").json["revision"] == 5
    assert books("structure", "rollback", "--to", "1", "-m", "Begin again", "--json").json["counts"]["removed"] == 2
    assert shown(books) == ["fiction"]
    assert shown(books, "--at", "3") == ["fiction", "fiction/crime", "fiction/poetry"]
    assert shown(books, "--at", "3", "--depth", "1") == ["fiction"]
    assert shown(books, "--at", "3", "--node", "fiction/crime") == ["crime"]
    assert books("structure", "verify", "--json").json["revisions"] == 6
    for at, code in (("99", "unknown-revision"), ("never", "unknown-snapshot"), ("2026-13-01", "invalid-reference")):
        assert books("structure", "show", "--at", at, "--json").error["code"] == code
    future = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert shown(books, "--at", future) == ["fiction"]


def _any(books: Cli) -> list[str]:
    return [books("structure", "node", "fiction/crime", "--json").json["id"]]


def test_a_subtree_is_rolled_back_alone(books: Cli) -> None:
    """--node leaves the rest as it is."""
    books("structure", "create", "Toys")
    books("structure", "remove", "fiction", "--policy", "cascade")
    node = books("structure", "show", "--at", "3", "--json").json["nodes"][0]["id"]
    assert books("structure", "rollback", "--to", "3", "--node", node).code == 0
    assert sorted(shown(books)) == ["fiction", "fiction/crime", "fiction/poetry", "toys"]


def test_a_draft_lives_from_opening_to_publishing(books: Cli) -> None:
    """Edits are kept one by one with --draft or many from a file; preview, tree, publishing, the clash settled."""
    draft = books("structure", "draft", "open", "Winter", "--json").json["id"]
    assert books("structure", "create", "Winter Market", "--draft", draft, "--json").json["edits"] == 1
    assert books("structure", "move", "fiction/poetry", "winter-market", "--draft", draft, "--json").json["edits"] == 2
    assert books("structure", "rename", "fiction/crime", "Noir", "--draft", draft).code == 0
    more = b'[{"op": "remove", "node": "winter-market/poetry"}]'
    assert books("structure", "draft", "edit", draft, "-", stdin=more).out.startswith(draft)
    assert "winter-market" not in shown(books)
    assert "winter-market" in paths(books("structure", "draft", "tree", draft, "--json").json)
    preview = books("structure", "draft", "diff", draft)
    assert '+ winter-market  "Winter Market"' in preview.out
    books("structure", "rename", "fiction/crime", "Mystery")
    assert "ours Noir | theirs Mystery" in books("structure", "draft", "diff", draft).out
    refused = books("structure", "draft", "publish", draft)
    assert (refused.code, "ours 'Noir'" in refused.err) == (1, True)
    assert books("structure", "draft", "publish", draft, "--json").error["clashes"][0]["theirs"] == "Mystery"
    assert books("structure", "draft", "publish", draft, "--settle", "*=ours", "--json").json["revision"] == 5
    assert books("structure", "draft", "show", draft, "--json").json["state"] == "published"
    assert books("structure", "draft", "discard", draft, "--json").error["code"] == "draft-closed"
    assert books("structure", "draft", "list", "--state", "published", "--json").json["items"][0]["id"] == draft


def test_an_edit_kept_in_a_draft_takes_no_message(books: Cli) -> None:
    """What belongs to publishing is refused, not forgotten."""
    draft = books("structure", "draft", "open", "Winter", "--json").json["id"]
    for words in (["-m", "why"], ["--channel", "books"]):
        error = books("structure", "remove", "fiction/crime", "--draft", draft, *words, "--json").error
        assert (error["code"], error["field"]) == ("invalid-input", "--message" if words[0] == "-m" else "--channel")


def test_schedules_are_made_listed_cancelled_and_run(books: Cli) -> None:
    """A campaign that is due is carried out by `schedule run`, once; one that waits can be cancelled."""
    draft = books("structure", "draft", "open", "Sale", "--json").json["id"]
    books("structure", "rename", "fiction", "Sale!", "--draft", draft)
    past, later = "2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    made = books("structure", "draft", "schedule", draft, "--at", past, "--undo-at", later, "--json").json["items"]
    assert [one["action"] for one in made] == ["publish", "undo"]
    assert books("structure", "schedule", "run", "--json").json == {"done": 1}
    assert books("structure", "schedule", "run", "--json").json == {"done": 0}
    assert books("structure", "node", "fiction", "--json").json["name"] == "Sale!"
    states = {one["action"]: one["state"] for one in books("structure", "schedule", "list", "--json").json["items"]}
    assert states == {"publish": "done", "undo": "waiting"}
    assert books("structure", "schedule", "cancel", made[1]["id"], "--json").json["state"] == "cancelled"
    assert books("structure", "schedule", "cancel", made[1]["id"], "--json").error["code"] == "schedule-closed"
    assert books("structure", "schedule", "undo", "1", "--at", later, "--json").json["state"] == "waiting"
    assert "waiting" in books("structure", "schedule", "list", "--state", "waiting").out


@pytest.mark.parametrize("time", ["tomorrow", "2026-01-01T00:00:00"])
def test_a_time_without_its_zone_is_refused(books: Cli, time: str) -> None:
    """Times are whole: date, time and zone."""
    draft = books("structure", "draft", "open", "Sale", "--json").json["id"]
    error = books("structure", "draft", "schedule", draft, "--at", time, "--json").error
    assert (error["code"], error["field"]) == ("invalid-input", "at")


def test_snapshots_name_moments(books: Cli) -> None:
    """Of one channel or all; read by name, listed, shown."""
    books("channels", "create", "toys", "--name", "Toys")
    assert len(books("structure", "snapshot", "create", "all-of-it", "-m", "Both", "--json").json["heads"]) == 2
    assert len(books("structure", "snapshot", "create", "one", "--channel", "books", "--json").json["heads"]) == 1
    assert books("structure", "snapshot", "show", "one", "--json").json["name"] == "one"
    assert "all-of-it" in books("structure", "snapshot", "list").out
    books("structure", "remove", "fiction", "--policy", "cascade", "--channel", "books")
    assert len(shown(books, "--channel", "books", "--at", "one")) == 3
    assert books("structure", "snapshot", "create", "one", "--json").error["code"] == "already-exists"


def test_rules_are_set_and_inherited(books: Cli) -> None:
    """`rules` shows what is in force at a node, and where it comes from."""
    rule = b'[{"kind": "pin", "product": "prd_1"}]'
    assert books("structure", "set-rules", "-", stdin=rule).code == 0
    found = books("structure", "rules", "fiction/crime", "--json").json
    assert found["rules"][0]["rule"]["product"] == "prd_1"
    assert "prd_1" in books("structure", "rules", "fiction/crime").out
    assert "No rule" in books("structure", "set-rules", "-", stdin=b"[]").err + books("structure", "rules").err


def test_channels_and_units_have_their_commands(cli: Cli) -> None:
    """Created, listed, shown, changed, removed and restored."""
    assert cli("units", "create", "north", "--name", "North", "--json").json["slug"] == "north"
    assert cli("units", "rename", "north", "Far North", "--json").json["name"] == "Far North"
    assert cli("units", "show", "north", "--json").json["version"] == 2
    made = cli(
        "channels", "create", "shop", "--name", "Shop", "--unit", "north", "--locale", "sv", "--currency", "SEK",
        "--translation", "de=Laden", "--setting", "theme=dark", "--json",
    ).json  # fmt: skip
    assert (made["locale"], made["currency"], made["settings"]) == ("sv", "SEK", {"theme": "dark"})
    assert cli("channels", "create", "x", "--name", "X", "--currency", "sek", "--json").error["field"] == "currency"
    assert (
        cli("channels", "update", "shop", "--name", "Store", "--setting", "theme=null", "--json").json["settings"] == {}
    )
    assert cli("channels", "show", "north:shop", "--json").json["name"] == "Store"
    assert cli("channels", "remove", "shop", "--json").json["removed_at"] is not None
    assert cli("channels", "list", "--json").json["items"] == []
    assert [one["slug"] for one in cli("channels", "list", "--removed", "--json").json["items"]] == ["shop"]
    assert cli("structure", "create", "X", "--channel", "shop", "--json").error["code"] == "channel-removed"
    assert cli("channels", "restore", "shop", "--json").json["removed_at"] is None


def test_access_and_audit_have_their_commands(books: Cli) -> None:
    """Roles and grants are set and taken; a grant's scope is told by what it names; the audit shows all of it."""
    assert books("access", "set-role", "stocker", "structure.read", "structure.edit", "--json").json["version"] == 1
    grants = {}
    for scope, words in (
        ("mall", []),
        ("unit", ["--unit", "main"]),
        ("channel", ["--channel", "books"]),
        ("subtree", ["--channel", "books", "--node", "fiction"]),
    ):
        grants[scope] = books("access", "grant", f"user:{scope}", "stocker", *words, "--json").json
        assert grants[scope]["scope"] == scope
    assert books("access", "grant", "user:x", "stocker", "--scope", "unit", "--json").error["code"] == "invalid-input"
    assert books("access", "revoke", grants["mall"]["id"], "--json").json["principal"] == "user:mall"
    assert len(books("access", "grants", "--role", "stocker", "--json").json["items"]) == 3
    assert "stocker" in books("access", "roles").out
    assert books("access", "remove-role", "stocker", "--json").error["code"] == "conflict"
    records = books("audit", "show", "--event", "access.grant_given", "--json").json["items"]
    assert len(records) == 4
    channel = books("channels", "show", "books", "--json").json["id"]
    assert {one["channel_id"] for one in books("audit", "show", "--channel", "books", "--json").json["items"]} == {
        channel
    }
    assert "structure.create_node" in books("audit", "show").out
    assert "name Crime" in books("audit", "show", "--operation", "structure.create_node").out


def test_a_repeated_command_does_nothing_twice(books: Cli) -> None:
    """--idempotency-key answers the same; another command with it is refused."""
    words = ["structure", "create", "Toys", "--idempotency-key", "k", "--json"]
    assert books(*words).json == books(*words).json
    assert books("structure", "create", "Games", *words[3:]).error["code"] == "idempotency-mismatch"


def test_every_command_has_its_operation_and_a_form() -> None:
    """No command is listed without what it calls and how its result looks; no two share a name."""
    assert len({face.path for face in FACES}) == len(FACES)
    for face in FACES:
        assert face.show is not None
        assert set(face.places.split() + face.without.split() + face.required.split()) <= set(face.known), face.path
        assert face.operation.description


def test_large_trees_are_drawn_to_two_levels(cli: Cli) -> None:
    """More than a thousand nodes are not poured over a terminal unasked; programs get all."""
    cli("channels", "create", "big", "--name", "Big")
    taxonomy = "".join(f"{top}-{leaf} - T{top} > M > L{leaf}\n" for top in range(2) for leaf in range(600))
    parents = "".join(f"t{top} - T{top}\nm{top} - T{top} > M\n" for top in range(2))
    assert cli("structure", "import", "-", stdin=(parents + taxonomy).encode()).code == 0
    shown_ = cli("structure", "show")
    assert len(shown_.out.splitlines()) == 5
    assert "1,204 nodes" in shown_.err
    assert len(cli("structure", "show", "--depth", "3").out.splitlines()) == 1205
    assert len(paths(cli("structure", "show", "--json").json)) == 1204
