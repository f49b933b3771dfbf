"""Azure Front Door or CDN in front of a container: URLs with a shared access signature (SAS) of the account's key.

The signature names one blob, reading alone, HTTPS, an end, and as what the blob is served. A SAS of an account's key is
revoked only by rotating that key: so it is short.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal
from urllib.parse import quote, urlencode

from mallcore.errors import InvalidSettings

VERSION = "2022-11-02"
BEFORE = timedelta(minutes=15)
"""How far back a signature begins: clocks of the service differ."""
LONGEST = timedelta(hours=25)


class AzureSas:
    """An edge of `Mall.open(edges=[…])`, in front of the object store with the name ``store``.

    ``base_url`` is the endpoint's address, ``container`` what it shows (with the store's prefix behind a slash, if it
    has one); ``account`` and ``key`` are the storage account's. Everything it delivers is signed, so that it is not for
    public slots.
    """

    serves: ClassVar[Literal["private"]] = "private"
    overrides: ClassVar[bool] = True

    def __init__(
        self,
        base_url: str,
        *,
        account: str,
        container: str,
        key: str,
        store: str = "main",
        name: str = "azure",
        health_url: str | None = None,
        https: bool = True,
        version: str = VERSION,
    ) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        self.account = account
        self.container = container.strip("/")
        self.store = store
        self.health_url = health_url
        self.version = version
        self._protocol = "https" if https else "https,http"
        try:
            self._key = b64decode(key, validate=True)
        except NotBase64:
            raise InvalidSettings(setting="edges", reason="the account's key is no base64") from None

    def public_url(self, path: str) -> str:
        """The URL of a path, not signed: it answers only if the container is public."""
        return f"{self.base_url}/{self.container}{path}"

    def signed_url(
        self,
        path: str,
        *,
        expires: datetime,
        jti: str,
        disposition: str | None = None,
        content_type: str | None = None,
    ) -> str:
        """The URL of a blob until a time. ``x-mall-jti`` is not signed: nobody but the log looks at it."""
        fields = {
            "sv": self.version,
            "st": _time(expires - LONGEST - BEFORE),
            "se": _time(expires),
            "sr": "b",
            "sp": "r",
            "spr": self._protocol,
            "rscd": disposition or "",
            "rsct": content_type or "",
        }
        given = {name: value for name, value in fields.items() if value}
        query = urlencode({**given, "sig": self._signature(path, fields), "x-mall-jti": jti}, quote_via=quote)
        return f"{self.public_url(path)}?{query}"

    def admits(self, target: str, headers: Mapping[str, str], now: datetime) -> bool:
        """Never: it asks the container, not the mall."""
        return False

    def _signature(self, path: str, fields: Mapping[str, str]) -> str:
        """HMAC-SHA-256 over the fields in the order that Azure has for a service SAS; most of them are empty."""
        blob = f"/blob/{self.account}/{self.container}{path}"
        lines = [
            fields["sp"], fields["st"], fields["se"], blob, "", "", fields["spr"], fields["sv"], fields["sr"], "", "",
            "", fields["rscd"], "", "", fields["rsct"],
        ]  # fmt: skip
        return b64encode(hmac.digest(self._key, "\n".join(lines).encode(), "sha256")).decode()

    def __repr__(self) -> str:
        return f"<AzureSas {self.name!r} at {self.base_url}>"


def _time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


__all__ = ["AzureSas"]
