"""Settings of a mall: arguments before environment (``MALLCORE_*``) before ``mall.toml``."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_serializer, field_validator

from mallcore.errors import InvalidSettings

FILE = "mall.toml"
_PREFIX = "MALLCORE_"


class MallSettings(BaseModel):
    """What can be set, and what it is when nobody does."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database: SecretStr = Field(SecretStr("sqlite:///mall.db"), description="SQLAlchemy URL of the control database.")
    objects: SecretStr = Field(SecretStr("file:objects"), description="URL of the object store.")
    stores: dict[str, SecretStr] = Field(
        default_factory=dict, description="URLs of further object stores, by name; `objects` is the store `main`."
    )
    checkpoints: SecretStr = Field(
        SecretStr("file:checkpoints"),
        description="URL of the object store that keeps the audit log's signed checkpoints: not the one of `objects`.",
    )
    checkpoint_records: int = Field(1000, ge=1, description="After how many records the audit log gets a checkpoint.")
    checkpoint_seconds: float = Field(
        60.0, gt=0, le=86400, description="After how long it gets one, if there is any new record."
    )
    secret: SecretStr | None = Field(
        None, min_length=16, description="Seals the keys in the database; without it they stand there as they are."
    )
    old_secret: SecretStr | None = Field(None, description="The secret before this one: keys it sealed can be opened.")
    content_url: str = Field(
        "", description="Where the mall's content routes are reached from outside; links and public URLs begin with it."
    )
    issuer: str = Field(
        "",
        description="URL of the mall's own authorization server (OAuth2); with it, the mall takes its access tokens.",
    )
    audience: str = Field("", description="Whom those access tokens are for; nothing: the `issuer`.")
    token_algorithm: Literal["EdDSA", "ES256"] = Field(
        "EdDSA", description="What those access tokens are signed with; rotate the keys for tokens when you change it."
    )
    migrate: Literal["auto", "always", "never"] = Field(
        "auto", description="Bring the schema up to date on opening: `auto` does so for SQLite only."
    )
    partitions: Literal["list", "hash"] = Field(
        "list",
        description="PostgreSQL: a partition for each channel, or (`hash`, for thousands of channels) 32 for all.",
    )
    follow: bool = Field(True, description="Keep trees in memory and follow other processes in a background thread.")
    poll_seconds: float = Field(1.0, gt=0, le=3600, description="How often to look for changes while the bus is gone.")
    busy_seconds: float = Field(10.0, gt=0, le=600, description="How long to wait for a locked database.")
    collect: Literal["auto", "never"] = Field(
        "auto",
        description="Keep the object stores in order every hour: expire, mirror, collect; `never`: only by hand.",
    )
    collect_grace: float = Field(
        86_400.0, ge=0, description="Seconds after which content that nothing refers to may be collected."
    )
    idempotency_days: int = Field(7, ge=1, le=3650, description="How long idempotency keys are kept.")
    pool_size: int = Field(10, ge=1, le=1000, description="Database connections kept open.")
    webhook_networks: list[str] = Field(
        default_factory=list, description="Networks that webhooks may reach although they are private: `10.0.0.0/8`."
    )
    webhook_insecure: bool = Field(False, description="Send webhooks over plain http, too; for tests.")
    webhook_ports: list[int] = Field(
        [443, 8443], description="Ports that webhooks may be sent to; an empty list allows all."
    )
    webhook_threads: int = Field(8, ge=1, le=100, description="How many webhooks a process sends at once.")
    webhook_days: int = Field(7, ge=2, le=365, description="How long events are kept for replay.")
    webhook_failing_days: int = Field(
        3, ge=1, le=30, description="After how many days without success a webhook is disabled."
    )
    plans: dict[str, str] = Field(
        default_factory=dict,
        description="How often clients may ask, by name, as `100/minute;10000/day`; `default` and `anonymous` are for"
        " whoever has no other.",
    )
    rates: SecretStr = Field(
        SecretStr("memory://"), description="Where it is counted: `memory://` in each process, or a `redis://` URL."
    )
    permissions: list[str] = Field(
        default_factory=list, description="Permissions that the host's own routes ask for, as `orders.refund`."
    )

    @field_serializer("database", "objects", "stores", "checkpoints", "secret", "old_secret", "rates")
    def _hidden(self, value: SecretStr | dict[str, SecretStr] | None) -> Any:
        return {name: str(one) for name, one in value.items()} if isinstance(value, dict) else value and str(value)

    @field_validator("stores", "plans", "permissions", "webhook_networks", "webhook_ports", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """The environment has only text: there it is JSON."""
        return json.loads(value) if isinstance(value, str) else value

    @classmethod
    def load(
        cls, folder: Path | None = None, environment: Mapping[str, str] | None = None, **arguments: Any
    ) -> MallSettings:
        """The settings from all three places; ``None`` among the arguments means: not given.

        Raises `InvalidSettings`, which names the setting.
        """
        found = {**_from_file(folder), **_from_environment(os.environ if environment is None else environment)}
        found.update({name: value for name, value in arguments.items() if value is not None})
        try:
            return cls(**found)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise InvalidSettings(setting=".".join(map(str, first["loc"])), reason=first["msg"]) from None


def _from_file(folder: Path | None) -> dict[str, Any]:
    path = (folder or Path()) / FILE
    if folder is None or not path.is_file():
        return {}
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InvalidSettings(setting=str(path), reason=str(error)) from None
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    names = (
        (name.removeprefix(_PREFIX).lower(), value) for name, value in environment.items() if name.startswith(_PREFIX)
    )
    return {name: value for name, value in names if name in MallSettings.model_fields}
