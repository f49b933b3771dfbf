"""The changes between our own versions keep every law, and reach everything they should."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from pydantic import TypeAdapter

from mallcore import access, attachments, audit, structure
from mallcore.api.releases import CHANGES, OURS
from mallcore.api.versions import Change, View
from mallcore.kernel.operations import Catalogue
from mallcore.testing import ChangeContract

CATALOGUE = Catalogue.of(structure, access, attachments, audit)
OLDER, OLD, HEAD = OURS.names[::-1]


class TestOurChanges(ChangeContract):
    """Each keeps every law, at its place among the others."""

    versions = OURS
    operations: ClassVar[tuple[Any, ...]] = tuple(CATALOGUE.values())

    @pytest.fixture(params=CHANGES, ids=lambda one: one.__name__)
    def change(self, request: pytest.FixtureRequest) -> type[Change]:
        found: type[Change] = request.param
        return found


def test_there_are_enough_to_exercise_coexistence() -> None:
    """Three versions, changes in each step, every one of them with an example of its data."""
    assert len(OURS.names) == 3
    assert {one.declared.version for one in CHANGES} == {OLD, HEAD}
    assert [one.__name__ for one in CHANGES if not one.declared.examples and not one.declared.calls] == []


@pytest.fixture(params=OURS.names)
def view(request: pytest.FixtureRequest) -> View:
    return OURS.view(CATALOGUE, request.param)


def test_every_version_has_a_shape_of_everything(view: View) -> None:
    """Every operation's parameters and result have a schema in every version, in both directions."""
    for name, face in view.faces.items():
        try:
            wanted = face.operation.output.json_schema(mode="serialization")
        except Exception:  # bytes and streams have none in the newest version either
            continue
        assert face.output.json_schema(mode="serialization").get("type") == wanted.get("type"), name
        assert face.input.model_json_schema().keys() == face.operation.input.model_json_schema().keys(), name


def test_the_newest_costs_nothing() -> None:
    """No operation is touched in the newest version."""
    assert all(face.untouched for face in OURS.view(CATALOGUE, HEAD).faces.values())


def test_a_tree_reaches_older_callers() -> None:
    """A tree that was rendered to bytes is taken down at every depth, and valid in the older shape."""
    tree = {
        "channel": "chn_1", "slug": "books", "name": "Books", "locale": "en", "currency": "EUR", "revision": 2,
        "digest": "0", "nodes": [{"id": "cat_1", "kind": "category", "slug": "a", "name": "A", "external_id": None,
            "children": [{"id": "cat_2", "kind": "category", "slug": "b", "name": "B", "external_id": None,
                          "children": []}]}],
    }  # fmt: skip
    face = OURS.view(CATALOGUE, OLDER).faces["structure.tree"]
    assert face.down is not None
    shown = face.down(tree)
    assert shown["nodes"][0]["children"][0] == {
        "id": "cat_2", "type": "category", "slug": "b", "name": "B", "external_id": None, "children": []}  # fmt: skip
    face.output.validate_python(shown)
    assert face.names == {"depth": "levels"}
    assert OURS.view(CATALOGUE, OLD).faces["structure.tree"].down is None


@pytest.mark.parametrize(
    ("operation", "older"),
    [
        ("access.list_grants", {"items": [{"author": "user:1", "at": "2026-05-01T00:00:00Z"}], "cursor": None}),
        ("structure.watch", {"number": 1, "message": ""}),
        ("structure.log", {"items": [{"number": 1, "message": ""}], "cursor": None}),
        ("structure.list_schedules", {"items": [{"state": "carried_out"}], "cursor": None}),
        ("attachments.list_versions", {"items": [{"dimensions": "640x480"}], "cursor": None}),
    ],
)
def test_a_change_is_seen_in_queries_pages_and_streams(operation: str, older: Mapping[str, Any]) -> None:
    """What a change says of a model is so wherever the model is shown."""
    newer: dict[str, Any] = {
        "access.list_grants": {"items": [{"granted_by": "user:1", "granted_at": "2026-05-01T00:00:00Z"}], "next": None},
        "structure.watch": {"number": 1, "message": None},
        "structure.log": {"items": [{"number": 1, "message": None}], "next": None},
        "structure.list_schedules": {"items": [{"state": "done"}], "next": None},
        "attachments.list_versions": {"items": [{"width": 640, "height": 480}], "next": None},
    }
    face = OURS.view(CATALOGUE, OLDER).faces[operation]
    assert face.down is not None
    assert face.down(newer[operation]) == older


def test_keys_were_elsewhere() -> None:
    """Older versions have the mall's keys at their older paths."""
    paths = {name: OURS.view(CATALOGUE, name).faces["access.rotate_key"].rest for name in OURS.names}
    assert {name: rest and rest.path for name, rest in paths.items()} == {
        OLDER: "/keys/{purpose}",
        OLD: "/keys/{purpose}",
        HEAD: "/signing-keys/{purpose}",
    }


def test_parameters_reach_the_newest() -> None:
    """What an older caller gives, or leaves out, means the same as it did."""
    faces = OURS.view(CATALOGUE, OLDER).faces
    remove, move = faces["structure.remove"].up, faces["structure.move"].up
    assert remove is not None
    assert move is not None
    assert remove({"channel": "books", "node": "a"}) == {"channel": "books", "node": "a", "policy": "reparent"}
    assert move({"channel": "books", "node": "a", "to": "b"}) == {"channel": "books", "node": "a", "parent": "b"}
    assert TypeAdapter(faces["structure.move"].input).json_schema()["required"] == ["channel", "node"]
