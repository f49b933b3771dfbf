"""Contracts of versions: what is in them, that they are the same every time, and what differs between versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mallcore import structure
from mallcore.api.contracts import EventShapes, contract_of, differences, dumped
from mallcore.api.rules.differing.branches import references
from mallcore.api.versions import View
from mallcore.kernel.context import Context
from mallcore.kernel.operations import Rest, operation
from tests.api.contracts import shop
from tests.api.contracts.shop import VERSIONS, Order, catalogue, get_order

REPOSITORY = Path(__file__).resolve().parents[3]


def of(version: str) -> dict[str, Any]:
    return contract_of(VERSIONS.view(catalogue(), version))


def test_a_contract_holds_all_that_callers_rely_on() -> None:
    """Method, path, status, permission, errors, parameters and result of each operation, and the shapes they hold."""
    found = of("2026-05-01")
    assert found["version"] == "2026-05-01"
    assert found["operations"]["shop.place_order"] == {
        "kind": "command",
        "method": "POST",
        "path": "/orders",
        "status": 201,
        "permission": None,
        "errors": ["invalid-input"],
        "answers": "application/json",
        "deprecated": {},
        "input": {
            "type": "object",
            "additionalProperties": False,
            "required": ["customer", "lines"],
            "properties": {
                "customer": {"type": "string"},
                "lines": {"type": "array", "items": {"$ref": "#/schemas/Line"}},
                "note": {"type": "string", "default": ""},
            },
        },
        "output": {"$ref": "#/schemas/Order"},
    }
    assert sorted(found["schemas"]) == ["Line", "Order", "Price"]


def test_words_are_no_part_of_a_contract() -> None:
    """Another description or title is no difference; a field that is called ``title`` stays."""

    @operation(permission=None, rest=Rest("GET", "/orders/{order}"), name="shop.get_order")
    def other(ctx: Context, *, order: str) -> Order:
        """Something else entirely."""
        raise NotImplementedError

    @operation(permission=None, rest=Rest("GET", "/titles"), name="shop.titles")
    def titles(ctx: Context, *, title: str, description: str = "") -> str:
        """Titles."""
        raise NotImplementedError

    found = contract_of(View(catalogue(other, titles)))
    assert "Something else" not in dumped(found)
    assert sorted(found["operations"]["shop.titles"]["input"]["properties"]) == ["description", "title"]
    assert found["version"] == "head"


def test_a_contract_is_the_same_every_time() -> None:
    """The same API gives the same bytes, in another order of operations and in another process."""
    again = contract_of(VERSIONS.view(catalogue(*reversed((shop.place_order, get_order, shop.prices))), "2026-01-01"))
    assert dumped(again) == dumped(of("2026-01-01"))
    program = "from tests.api.contracts.test_contracts import of, dumped; print(dumped(of('2026-01-01')), end='')"
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == dumped(again)


def test_every_reference_leads_somewhere() -> None:
    """No shape is missing, and none is there that nothing refers to."""
    for version in VERSIONS.names:
        found = of(version)
        named = set(references([found["operations"], found["schemas"]]))
        assert named == set(found["schemas"])


def test_what_the_request_tells_by_itself_is_no_parameter() -> None:
    """Media types and the body's parameter are told; the content type is none of the caller's parameters."""

    @operation(permission=None, kind="command", rest=Rest("POST", "/files", raw="file", accepts=("text/csv",)))
    def upload(ctx: Context, *, file: bytes, content_type: str = "") -> None:
        """Upload."""

    (found,) = contract_of(View(catalogue(upload)))["operations"].values()
    assert (found["body"], found["accepts"], found["output"]) == ("file", ["text/csv"], None)
    assert list(found["input"]["properties"]) == ["file"]


def test_events_are_part_of_a_contract_in_the_versions_own_shape() -> None:
    """What a message tells is shown as the version has it, so that its subscribers are guarded, too."""
    shapes = EventShapes({structure.Revised: shop.Line})
    old, new = (contract_of(VERSIONS.view(catalogue(), version), shapes) for version in ("2026-01-01", "2026-05-01"))
    assert old["events"] == {"structure.revised": {"$ref": "#/schemas/Line"}}
    where = {(one.rule, one.where) for one in differences(old, new)}
    assert ("response-field-renamed", "structure.revised payload.sku") in where
    assert {one.rule for one in differences(old, {**old, "events": {}})} == {"event-removed"}


def test_only_what_is_picked_is_in_it() -> None:
    """A host guards its own operations: only they, and the shapes they need, are in its contract."""
    found = contract_of(VERSIONS.view(catalogue(), "2026-05-01"), which=lambda one: one.name == "shop.prices")
    assert (list(found["operations"]), list(found["schemas"])) == (["shop.prices"], ["Price"])


def test_versions_differ_in_what_was_declared() -> None:
    """What the differ finds between two versions is what their changes say, and nothing else that breaks."""
    found = differences(of("2026-01-01"), of("2026-05-01"))
    assert [(one.rule, one.where) for one in found if one.level == "breaking"] == [
        ("response-field-renamed", "shop.get_order output.lines[].sku"),
        ("path-changed", "shop.place_order"),
        ("request-parameter-renamed", "shop.place_order input.buyer"),
        ("request-parameter-renamed", "shop.place_order input.lines[].sku"),
        ("response-field-renamed", "shop.place_order output.lines[].sku"),
    ]
    assert {one.rule for one in found if one.level != "breaking"} == {
        "operation-added",
        "request-parameter-added",
        "response-field-added",
    }


def test_a_contract_survives_its_file() -> None:
    """What is read back from the text differs in nothing."""
    found = of("2026-03-01")
    assert differences(json.loads(dumped(found)), found) == []
    assert json.loads(dumped(found)) == found
