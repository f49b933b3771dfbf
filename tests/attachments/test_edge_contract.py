"""Every edge of ours keeps the contract; and the contract catches those that do not."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mallcore.attachments import Edge
from mallcore.backends.azure_cdn import AzureSas
from mallcore.backends.cloudfront import CloudFront
from mallcore.backends.plain_edge import PlainEdge
from mallcore.backends.secure_link import HmacEdge, SecureLink
from mallcore.testing import EdgeContract, check_edge

BASE = "https://cdn.example.com"
SECRET = "a-secret-of-the-edges-own"
FORM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(*FORM)
CURVE = ec.generate_private_key(ec.SECP256R1()).private_bytes(*FORM)


class TestPlainEdge(EdgeContract):
    @pytest.fixture
    def edge(self) -> Edge:
        return PlainEdge(BASE)


class TestHmacEdge(EdgeContract):
    secrets = (SECRET,)

    @pytest.fixture(params=[HmacEdge, SecureLink])
    def edge(self, request: pytest.FixtureRequest) -> Edge:
        made: Edge = request.param(BASE, secret=SECRET)
        return made


class TestCloudFront(EdgeContract):
    secrets = (SECRET, RSA.decode(), CURVE.decode())
    headers = {"x-mall-edge": SECRET}  # noqa: RUF012 - as the kit has it

    @pytest.fixture(params=[RSA, CURVE], ids=["rsa", "ecdsa"])
    def edge(self, request: pytest.FixtureRequest) -> Edge:
        return CloudFront(BASE, key_id="K1", private_key=request.param, origin_secret=SECRET)


class TestCloudFrontBeforeABucket(EdgeContract):
    @pytest.fixture(params=[True, False])
    def edge(self, request: pytest.FixtureRequest) -> Edge:
        return CloudFront(BASE, key_id="K1", private_key=RSA, store="main", overrides=request.param)


class TestAzureSas(EdgeContract):
    secrets = (SECRET,)

    @pytest.fixture
    def edge(self) -> Edge:
        return AzureSas(BASE, account="acc", container="box", key=base64.b64encode(SECRET.encode()).decode())


class Careless:
    """An edge that does everything wrong."""

    name: ClassVar[str] = "x" * 41
    serves: ClassVar[Any] = "all"
    store: ClassVar[str | None] = "main"
    overrides: ClassVar[bool] = True
    health_url: ClassVar[str | None] = None

    def public_url(self, path: str) -> str:
        return BASE

    def signed_url(self, path: str, *, expires: datetime, jti: str, **said: Any) -> str:
        return f"{BASE}{path}?x-mall-jti={jti}&x-mall-jti={jti}&as={said.get('disposition')}"

    def admits(self, target: str, headers: Mapping[str, str], now: datetime) -> bool:
        return True

    def __repr__(self) -> str:
        return self.signed_url(
            "/files/att_0192f0c1000070008000000000000001/3/Front-view.png",
            expires=datetime.max.replace(tzinfo=UTC),
            jti=JTI,
        )


JTI = "0123456789abcdef" * 2


def test_a_careless_edge_is_found_out() -> None:
    """Each promise that an edge breaks is named, with what happened."""
    broken = {promise for promise, kept, _ in check_edge(Careless()) if not kept}
    assert broken == {
        "it_says_what_it_is",
        "a_public_url_never_changes",
        "a_signed_url_has_its_jti_once",
        "a_signed_url_is_for_one_path_until_one_time",
        "a_signed_url_is_plain_ascii",
        "what_did_not_come_through_it_is_not_admitted",
        "it_tells_no_secret",
    }


def test_a_good_edge_has_nothing_to_excuse() -> None:
    """Without pytest, every promise is kept or skipped with a reason."""
    report = check_edge(HmacEdge(BASE, secret=SECRET))
    assert all(kept for _, kept, _ in report)
    assert len(report) == 9


def test_a_promise_can_not_be_muted() -> None:
    """A class that rewrites a promise is refused when it is made."""
    with pytest.raises(TypeError, match="excuse a promise with a reason"):

        class Muted(EdgeContract):
            def test_it_tells_no_secret(self, edge: Edge) -> None:
                """Nothing to see."""
