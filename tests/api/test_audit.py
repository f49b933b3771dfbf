"""The audit log over HTTP: every operation of it has its place there."""

from __future__ import annotations

import json
from typing import Any

from mallcore import audit
from mallcore.api import Response
from tests.api.conftest import Asking
from tests.audit.test_rules import CLOUDFRONT


def body(response: Response, status: int = 200) -> Any:
    """What a response holds."""
    assert response.status == status, response.body
    return json.loads(response.body)


def test_the_log_is_checked_from_outside(ask: Asking) -> None:
    """Whoever may read the log gets a checkpoint, keys, proofs and a verification over HTTP, and checks them alone."""
    made = body(ask("POST", "/audit/checkpoints"))
    keys = [one["key"] for one in body(ask("GET", "/audit/keys"))]
    record = body(ask("GET", "/audit", query="limit=1"))["items"][0]
    assert body(ask("GET", f"/audit/records/{record['id']}")) == record
    proof = body(ask("GET", f"/audit/records/{record['id']}/proof"))
    assert audit.check_proof(proof, keys=keys).size == made["size"]
    growth = body(ask("GET", "/audit/consistency", query=f"old={made['size']}"))
    assert audit.check_proof(growth, keys=keys).size == made["size"]
    held = body(ask("POST", "/audit/verification", {"checkpoint": made["note"]}))
    assert held["trusted"] == held["size"] == made["size"]
    assert body(ask("GET", "/audit/checkpoints"))["items"][0]["note"] == made["note"]
    assert body(ask("GET", "/audit/records/aud_0"), 404)["code"] == "unknown-record"


def test_a_log_of_an_edge_is_sent(ask: Asking) -> None:
    """The whole body is the log."""
    assert body(ask("POST", "/audit/edge-logs", CLOUDFRONT.encode(), content_type="text/plain"))["forged"] == 1
    assert body(ask("POST", "/audit/edge-logs", CLOUDFRONT.encode(), query="format=cloudfront"))["known"] == 1


def test_a_person_is_erased(ask: Asking) -> None:
    """An erasure says how many keys are gone."""
    assert body(ask("POST", "/audit/erasures", {"principal": "user:nobody"})) == {"subjects": 0, "records": 0}
    assert body(ask("POST", "/audit/erasures", {"principal": "system:x"}), 422)["code"] == "invalid-input"
