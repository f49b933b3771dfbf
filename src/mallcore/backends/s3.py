"""Objects in S3 and what speaks like it: s3fs as transport, and a lean way of our own for what is asked often.

``s3://bucket/prefix?endpoint=http://host:8333&region=eu-central-1&addressing=path&timeout=30&profile=name&lock=1``.
Without a profile, credentials come from where botocore finds them. They may stand in the URL, which is never shown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from mallcore.backends.fsspec import FsspecStore
from mallcore.backends.sigv4 import Credentials, Signer
from mallcore.errors import InvalidSettings, MissingExtra, StoreDenied
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.objects import ObjectStore

_OPTIONS = {"addressing", "anon", "endpoint", "lock", "profile", "region", "timeout", "transport"}


class Place(NamedTuple):
    """What the URL of a store says."""

    bucket: str
    prefix: str
    key: str | None
    secret: str | None
    endpoint: str | None
    region: str
    addressing: str
    timeout: float
    profile: str | None
    lock: bool
    anonymous: bool
    transport: str

    @classmethod
    def of(cls, url: str) -> Place:
        """The parts of a URL; `InvalidSettings` names what is wrong, and repeats nothing secret."""
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query))
        unknown = sorted(set(given) - _OPTIONS)
        if unknown or not parts.hostname:
            reason = f"it knows no option {unknown[0]!r}" if unknown else "it names no bucket: s3://bucket/prefix"
            raise InvalidSettings(setting="objects", reason=f"{reason} (options: {', '.join(sorted(_OPTIONS))})")
        try:
            timeout = float(given.get("timeout", 30))
        except ValueError:
            raise InvalidSettings(setting="objects", reason="its timeout is no number of seconds") from None
        endpoint = given.get("endpoint")
        netloc = parts.netloc.rpartition("@")[2]
        return cls(
            bucket=netloc,
            prefix=parts.path.strip("/"),
            key=unquote(parts.username) if parts.username else None,
            secret=unquote(parts.password) if parts.password else None,
            endpoint=endpoint,
            region=given.get("region", "us-east-1"),
            addressing=given.get("addressing", "path" if endpoint else "virtual"),
            timeout=timeout,
            profile=given.get("profile"),
            lock=given.get("lock") == "1",
            anonymous=given.get("anon") == "1",
            transport=given.get("transport", "auto"),
        )

    @property
    def url(self) -> str:
        """Without credentials."""
        more = f"?endpoint={self.endpoint}" if self.endpoint else ""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/") + more

    @property
    def lean(self) -> bool:
        """Whether we can sign what this bucket wants: not that of S3 Express, and nothing of the anonymous."""
        return self.transport == "auto" and not self.anonymous and not self.bucket.endswith("--x-s3")

    @property
    def address(self) -> str:
        """Where requests about objects go."""
        if self.addressing == "path":
            return f"{(self.endpoint or f'https://s3.{self.region}.amazonaws.com').rstrip('/')}/{quote(self.bucket)}"
        if self.endpoint is None:
            return f"https://{self.bucket}.s3.{self.region}.amazonaws.com"
        scheme, _, host = self.endpoint.rstrip("/").partition("://")
        return f"{scheme}://{self.bucket}.{host}"


def transport(place: Place) -> FsspecStore:
    """The store over s3fs."""

    def connect() -> Any:
        import s3fs

        config: dict[str, Any] = {"signature_version": "s3v4", "retries": {"total_max_attempts": 2, "mode": "standard"}}
        config |= {"connect_timeout": min(5.0, place.timeout), "read_timeout": place.timeout}
        more: dict[str, Any] = {"profile": place.profile} if place.profile else {}
        if place.addressing == "path":
            config["s3"] = {"addressing_style": "path"}
        fs = s3fs.S3FileSystem(
            anon=place.anonymous,
            key=place.key,
            secret=place.secret,
            endpoint_url=place.endpoint,
            client_kwargs={"region_name": place.region},
            config_kwargs=config,
            use_listings_cache=False,
            skip_instance_cache=True,
            **more,
        )
        fs.retries = 2  # times those of botocore
        return fs

    root = f"{place.bucket}/{place.prefix}".rstrip("/")
    return FsspecStore(
        connect,
        root,
        place.url,
        creating={"mode": "create"},
        durable=True,
        patience=place.timeout,
        labels=lambda kind, cache: _given(ContentType=kind, CacheControl=cache),
    )


def _given(**values: str | None) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def credentials(place: Place) -> Callable[[], Credentials]:
    """What gives the credentials each time they are asked for, for some are temporary; they are looked for at first."""
    if place.key and place.secret:
        fixed = Credentials(place.key, place.secret)
        return lambda: fixed
    found: list[Any] = []

    def current() -> Credentials:
        if not found:
            from botocore.session import Session

            found.append(Session(profile=place.profile).get_credentials())
        if found[0] is None:
            found.clear()
            raise StoreDenied(store=place.url, reason="no credentials were found")
        frozen = found[0].get_frozen_credentials()
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    return current


@hookimpl
def object_store_backend(url: str, folder: Path) -> ObjectStore | None:
    """Serve ``s3://``: by signed requests of our own, or all by s3fs where we can't sign."""
    if not url.startswith("s3://"):
        return None
    place = Place.of(url)
    if find_spec("s3fs") is None:
        raise MissingExtra(what="The object store s3://", extra="s3")
    if not place.lean:
        return transport(place)
    from mallcore.backends.s3_lean import LeanS3

    return LeanS3(
        place.address,
        place.bucket,
        place.prefix,
        Signer(credentials(place), place.region),
        place.url,
        timeout=place.timeout,
        lock=place.lock,
        clock=partial(datetime.now, UTC),
    )
