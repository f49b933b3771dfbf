"""Amazon CloudFront in front of the mall, or of its bucket: signed URLs and cookies.

A *canned* policy names one URL and its end; a *custom* one may have a beginning, an address range, and ``*`` in its
URL. Keys are RSA or ECDSA P-256. Nothing is asked of AWS: whoever has the private key signs.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, quote, urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mallcore.errors import InvalidInput, InvalidSettings

PROOF = "x-mall-edge"
"""The header that a distribution adds to its requests to the mall, with the secret that proves where they come from."""
_OURS = {"Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"}
_SAFE = str.maketrans("+=/", "-_~")
_HASHES = {"sha1": SHA1, "sha256": SHA256}


class CloudFront:
    """An edge of `Mall.open(edges=[…])` for private content: a distribution that restricts viewers to a key group.

    ``key_id`` names the public key in CloudFront's key group, ``private_key`` is its other half as PEM. ``store`` is
    the object store behind the distribution, if that is not the mall itself. In front of the mall, ``origin_secret`` is
    what the distribution sends as the header `PROOF`; without it the mall gives it nothing. ``overrides``: the
    bucket is behind an origin access control, and the cache policy passes ``response-content-*`` on.
    """

    serves: ClassVar[Literal["private"]] = "private"

    def __init__(
        self,
        base_url: str,
        *,
        key_id: str,
        private_key: str | bytes,
        name: str = "cloudfront",
        store: str | None = None,
        overrides: bool = False,
        algorithm: Literal["sha1", "sha256"] = "sha1",
        origin_secret: str | None = None,
        health_url: str | None = None,
    ) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        self.key_id = key_id
        self.store = store
        self.overrides = overrides and store is not None
        self.algorithm = algorithm
        self.health_url = health_url
        self._proof = None if origin_secret is None else origin_secret.encode()
        self._key = _loaded(private_key)

    def public_url(self, path: str) -> str:
        """The URL of a path, not signed."""
        return self.base_url + path

    def signed_url(
        self,
        path: str,
        *,
        expires: datetime,
        jti: str,
        disposition: str | None = None,
        content_type: str | None = None,
    ) -> str:
        """The URL of a path until a time, by a canned policy."""
        said = {"response-content-disposition": disposition, "response-content-type": content_type}
        query = [f"x-mall-jti={jti}"]
        if self.overrides:
            query += [f"{name}={quote(value, safe='')}" for name, value in said.items() if value is not None]
        return self.canned(f"{self.base_url}{path}?{'&'.join(query)}", expires)

    def canned(self, url: str, expires: datetime) -> str:
        """The URL, signed by a canned policy: good until a time, for this URL alone."""
        end = int(expires.timestamp())
        fields = {"Expires": str(end), "Signature": self._signature(_policy(_plain(url), {"DateLessThan": end}))}
        return _joined(url, fields | self._named())

    def custom(
        self,
        url: str,
        expires: datetime,
        *,
        not_before: datetime | None = None,
        address: str | None = None,
        resource: str | None = None,
    ) -> str:
        """The URL, signed by a custom policy: from a time on, for a range of addresses, for a URL with ``*`` in it."""
        return _joined(_plain(url), self._custom(resource or url, expires, not_before, address) | self._named())

    def cookies(
        self, resource: str, expires: datetime, *, not_before: datetime | None = None, address: str | None = None
    ) -> dict[str, str]:
        """Cookies that open everything below a URL, such as ``https://d111.cloudfront.net/files/*``.

        Send them with Secure, HttpOnly, and a path as narrow as the resource.
        """
        fields = self._custom(resource, expires, not_before, address) | self._named()
        return {f"CloudFront-{name}": value for name, value in fields.items()}

    def admits(self, target: str, headers: Mapping[str, str], now: datetime) -> bool:
        """Whether the request holds the distribution's secret: it took the signature off before it asked."""
        if self._proof is None:
            return False
        return hmac.compare_digest(headers.get(PROOF, "").encode(), self._proof)

    def _custom(
        self, resource: str, expires: datetime, not_before: datetime | None, address: str | None
    ) -> dict[str, str]:
        condition: dict[str, Any] = {"DateLessThan": int(expires.timestamp())}
        if address is not None:
            condition["IpAddress"] = address
        if not_before is not None:
            condition["DateGreaterThan"] = int(not_before.timestamp())
        policy = _policy(_plain(resource), condition)
        return {"Policy": _encoded(policy), "Signature": self._signature(policy)}

    def _named(self) -> dict[str, str]:
        more = {"Hash-Algorithm": "SHA256"} if self.algorithm == "sha256" else {}
        return {"Key-Pair-Id": self.key_id, **more}

    def _signature(self, policy: bytes) -> str:
        hashed = _HASHES[self.algorithm]()
        if isinstance(self._key, RSAPrivateKey):
            return _encoded(self._key.sign(policy, PKCS1v15(), hashed))
        return _encoded(self._key.sign(policy, ECDSA(hashed)))

    def __repr__(self) -> str:
        kind = "RSA" if isinstance(self._key, RSAPrivateKey) else "ECDSA"
        return f"<CloudFront {self.name!r} at {self.base_url}, {kind} with {self.algorithm}>"


def _loaded(pem: str | bytes) -> RSAPrivateKey | EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password=None)
    except (TypeError, ValueError):
        raise InvalidSettings(setting="edges", reason="the private key is no PEM without a passphrase") from None
    if isinstance(key, RSAPrivateKey) or (
        isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
    ):
        return key
    raise InvalidSettings(setting="edges", reason="CloudFront knows keys of RSA and ECDSA P-256")


def _policy(resource: str, condition: Mapping[str, Any]) -> bytes:
    """The policy as CloudFront spells it: of a canned one it makes the text itself, from the URL."""
    names = {"IpAddress": "AWS:SourceIp"}
    spelt = {name: {names.get(name, "AWS:EpochTime"): value} for name, value in condition.items()}
    statement = {"Statement": [{"Resource": resource, "Condition": spelt}]}
    return json.dumps(statement, separators=(",", ":")).encode()


def _plain(url: str) -> str:
    """The URL, if it has none of the parameters that a signature adds."""
    if _OURS & {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}:
        raise InvalidInput(field="url", reason=f"none of {', '.join(sorted(_OURS))} may stand in it")
    return url


def _joined(url: str, fields: Mapping[str, str]) -> str:
    sign = "&" if "?" in url else "?"
    return url + sign + "&".join(f"{name}={value}" for name, value in fields.items())


def _encoded(content: bytes) -> str:
    return b64encode(content).decode().translate(_SAFE)


__all__ = ["PROOF", "CloudFront"]
