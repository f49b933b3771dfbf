"""How long URLs are good: short ones for a store, and rounded ones for an edge, so that they repeat."""

from __future__ import annotations

import hmac

REDIRECT = 60  # seconds; whoever gets the URL of a store follows it at once
BUCKET = 15 * 60  # seconds; all URLs of one content made in a bucket end together, and so are the same


def bucketed(now: float, seconds: int, bucket: int = BUCKET) -> int:
    """When a URL made now ends: after so many seconds, rounded up to the end of a bucket.

    >>> bucketed(1000, 300), bucketed(1200, 300), bucketed(1500, 300)
    (1800, 1800, 1800)
    """
    return -int(-(now + seconds) // bucket) * bucket


def repeated_jti(key: bytes, version: str, recipe: str, principal: str, expires: int) -> str:
    """The jti of a URL at an edge: the same for the same content, caller and bucket, and nobody can foretell it."""
    about = f"edge\n{version}\n{recipe}\n{expires}\n{principal}"
    return hmac.digest(key, about.encode(), "sha256").hex()[:32]
