"""Objects in Azure Blob Storage: adlfs as transport, and shared access signatures for whoever has no credentials.

``az://container/prefix`` (also ``abfs://``), with ``?account=name`` or ``?connection_string=…``; else from the
environment (``AZURE_STORAGE_CONNECTION_STRING``, ``AZURE_STORAGE_ACCOUNT_NAME``, ``AZURE_STORAGE_ACCOUNT_KEY``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlsplit

from mallcore.backends.fsspec import FsspecStore
from mallcore.errors import InvalidSettings, MissingExtra, StoreDenied
from mallcore.kernel.hooks import hookimpl
from mallcore.kernel.objects import Capabilities, ObjectStore, Signed, checked_key

_BACK = timedelta(minutes=15)  # clocks differ; a signature that is not valid yet is refused
_OPTIONS = {"account", "connection_string", "timeout"}


class AzureStore(FsspecStore):
    """An `ObjectStore` in a container."""

    scheme: ClassVar[str] = "az"

    def __init__(self, container: str, prefix: str, account: Mapping[str, Any]) -> None:
        self._container = container
        self._prefix = f"{prefix}/" if prefix else ""
        self._account = account
        root = f"{container}/{prefix}".rstrip("/")
        super().__init__(self._filesystem, root, f"az://{root}", creating={"overwrite": False}, labels=_settings)
        signs = "account_key" in account
        self.capabilities = Capabilities(
            exclusive=True, durable=True, checksum=True, ranges=True, presign_get=signs, presign_put=signs
        )

    def _filesystem(self) -> Any:
        from adlfs import AzureBlobFileSystem
        from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

        account = self._account
        # Azure's own patience is a minute and more; who puts an object waits for us.
        patience = {"connection_timeout": min(5.0, account["timeout"]), "read_timeout": account["timeout"]}
        retry = ExponentialRetry(initial_backoff=0, increment_base=2, retry_total=2, random_jitter_range=1)

        class FileSystem(AzureBlobFileSystem):  # type: ignore[misc]
            """adlfs, with our patience."""

            def do_connect(self) -> None:
                credential = account.get("credential", self.credential)
                self.service_client = BlobServiceClient(
                    account["endpoint"], credential=credential, retry_policy=retry, **patience
                )

        known: dict[str, Any] = {name: account[name] for name in ("account_name", "account_key") if name in account}
        known |= {"anon": True} if "credential" in account else {}  # else adlfs looks for Azure's default credential
        return FileSystem(**known, use_listings_cache=False, skip_instance_cache=True)

    def sign_get(
        self,
        key: str,
        *,
        seconds: int,
        disposition: str | None = None,
        content_type: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Signed:
        """A GET; type and disposition are signed. ``query`` is sent along, but Azure doesn't sign it."""
        overrides = {"content_disposition": disposition, "content_type": content_type}
        url, expires = self._signed(key, seconds, {"read": True}, {name: one for name, one in overrides.items() if one})
        more = "".join(f"&{quote(name)}={quote(value)}" for name, value in (query or {}).items())
        return Signed(method="GET", url=url + more, expires=expires)

    def sign_put(
        self, key: str, *, seconds: int, size: int, sha256: str | None = None, content_type: str | None = None
    ) -> Signed:
        """A PUT good once, for it may create and not replace. Azure binds neither size nor type nor digest."""
        url, expires = self._signed(key, seconds, {"create": True}, {})
        headers = {"x-ms-blob-type": "BlockBlob", "content-length": str(size)}
        if content_type is not None:
            headers["content-type"] = content_type
        return Signed(method="PUT", url=url, headers=headers, expires=expires)

    def _signed(
        self, key: str, seconds: int, may: Mapping[str, bool], overrides: Mapping[str, Any]
    ) -> tuple[str, datetime]:
        if not self.capabilities.presign_get:
            raise StoreDenied(store=self.url, reason="it signs only with an account key")
        from azure.storage.blob import BlobSasPermissions, generate_blob_sas

        now = datetime.now(UTC)
        name, expires = self._prefix + checked_key(key), now + timedelta(seconds=seconds)
        token = generate_blob_sas(
            self._account["account_name"],
            self._container,
            name,
            account_key=self._account["account_key"],
            permission=BlobSasPermissions(**may),
            start=now - _BACK,
            expiry=expires,
            **overrides,
        )
        return f"{self._account['endpoint']}/{self._container}/{quote(name)}?{token}", expires


def _settings(content_type: str | None, cache_control: str | None) -> dict[str, Any]:
    from azure.storage.blob import ContentSettings

    return {"content_settings": ContentSettings(content_type=content_type, cache_control=cache_control)}


def account_of(given: Mapping[str, str]) -> dict[str, Any]:
    """Name, endpoint and credential of the account, from the URL, else from the environment."""
    text = given.get("connection_string") or os.environ.get("AZURE_STORAGE_CONNECTION_STRING") or ""
    parts = {name: value for name, _, value in (part.partition("=") for part in text.split(";"))}
    name = parts.get("AccountName") or given.get("account") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    endpoint = parts.get("BlobEndpoint") or f"https://{name}.blob.{parts.get('EndpointSuffix', 'core.windows.net')}"
    key = parts.get("AccountKey") or ("" if text else os.environ.get("AZURE_STORAGE_ACCOUNT_KEY", ""))
    signature = parts.get("SharedAccessSignature") or ("" if text else os.environ.get("AZURE_STORAGE_SAS_TOKEN", ""))
    if not name and not parts.get("BlobEndpoint"):
        raise InvalidSettings(setting="objects", reason="it names no account: ?account=… or a connection string")
    found: dict[str, Any] = {"account_name": name, "endpoint": endpoint.rstrip("/")}
    found["timeout"] = float(given.get("timeout", 30))
    if key:
        found |= {"account_key": key, "credential": {"account_name": name, "account_key": key}}
    elif signature:
        found["credential"] = signature
    return found


@hookimpl
def object_store_backend(url: str, folder: Path) -> ObjectStore | None:
    """Serve ``az://`` and ``abfs://``."""
    if not url.startswith(("az://", "abfs://", "abfss://")):
        return None
    if find_spec("adlfs") is None:
        raise MissingExtra(what="The object store az://", extra="azure")
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query))
    container, _, host = parts.netloc.partition("@")
    if host:  # abfs://container@account.dfs.core.windows.net/prefix
        given.setdefault("account", host.partition(".")[0])
    unknown = sorted(set(given) - _OPTIONS)
    if unknown or not container:
        reason = f"it knows no option {unknown[0]!r}" if unknown else "it names no container: az://container/prefix"
        raise InvalidSettings(setting="objects", reason=reason)
    return AzureStore(container, parts.path.strip("/"), account_of(given))
