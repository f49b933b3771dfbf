"""Clients of OAuth2: how each shows who it is, where it gets its answers, and what it may ask for."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from sqlalchemy import delete, select, update

from mallcore.access.model.clients import client as clients
from mallcore.access.model.oauth import OAuthClient, OAuthSecret, oauth_client, oauth_consent
from mallcore.access.operations.clients import client_row
from mallcore.access.operations.grants import known_permissions
from mallcore.access.operations.oauth_denials import deny_tokens
from mallcore.access.operations.oauth_tokens import end_tokens_of
from mallcore.access.operations.widening import refuse_wider
from mallcore.access.rules.oauth import checked_grant_types, checked_redirect_uri, checked_scopes, digest, same
from mallcore.errors import AlreadyExists, InvalidInput, StaleRevision, UnknownClient
from mallcore.kernel.context import Context
from mallcore.kernel.events import Event
from mallcore.kernel.operations import Rest, operation
from mallcore.kernel.paging import Cursor, Limit, Page, decode, page

AuthMethod = Annotated[
    Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
    Field(description="How it shows who it is when it asks for tokens."),
]
GrantType = Literal["client_credentials", "authorization_code", "refresh_token"]
ClientId = Annotated[str, Field(max_length=200, description="Its id, or `client:` and its id.")]
Uris = Annotated[
    list[Annotated[str, Field(max_length=600)]],
    Field(max_length=20, description="Where answers go, to the letter; of a loopback address the port is free."),
]
Scopes = Annotated[
    list[Annotated[str, Field(max_length=101)]],
    Field(max_length=100, description="What it may ask for at most: permissions, or patterns such as `structure.*`."),
]
Grants = Annotated[
    list[GrantType],
    Field(min_length=1, max_length=3, description="In which ways it gets tokens: in its own name, or in somebody's."),
]
Trusted = Annotated[bool, Field(description="Whether it is the host's own, so that nobody is asked for consent.")]
Introspects = Annotated[bool, Field(description="Whether it may ask about any token, as an API elsewhere does.")]
Keys = Annotated[dict[str, Any] | None, Field(description="The public keys of `private_key_jwt`, as a JWK Set.")]
IdempotencyKey = Annotated[str | None, Field(min_length=1, max_length=200)]
_KNOWN = select(oauth_client, clients.c.name).join(clients, clients.c.id == oauth_client.c.client)
_WHAT = "a client of OAuth2"
_KEY_TYPES = {"OKP", "EC", "RSA"}
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthClientSet(Event):
    """What OAuth2 knows of a client was set, changed or removed, or it got a new secret."""

    name: ClassVar[str] = "access.oauth_client_set"


@operation(permission="access.manage", kind="command", errors=(AlreadyExists, InvalidInput, UnknownClient),
           rest=Rest("POST", "/oauth-clients", 201))  # fmt: skip
def register_oauth_client(
    ctx: Context,
    *,
    client: ClientId,
    scopes: Scopes,
    auth_method: AuthMethod = "client_secret_basic",
    grant_types: Grants = ["client_credentials"],  # noqa: B006 - pydantic copies it
    redirect_uris: Uris = [],  # noqa: B006
    jwks: Keys = None,
    trusted: Trusted = False,
    introspects: Introspects = False,
) -> OAuthSecret:
    """Let a client get tokens. Its secret, if it is to have one, is in the answer, and nowhere else ever.

    A client that can't keep a secret (an app, a page) has the method `none`. Scopes are permissions or patterns; what
    the client or a user does not hold is not in a token, whatever is allowed here. There is no idempotency key: its
    record would hold the secret.
    """
    client = client_row(ctx, client).id
    refuse_wider(ctx, scopes, _WHAT)
    secret = secrets.token_urlsafe(32) if auth_method.startswith("client_secret") else None
    row = {
        "client": client,
        "auth_method": auth_method,
        **_checked(ctx, auth_method, grant_types, redirect_uris, scopes, jwks),
        "secret": None if secret is None else digest(secret),
        "trusted": trusted,
        "introspects": _introspecting(auth_method, introspects),
        "version": 1,
        "created_at": ctx.now(),
    }
    if not ctx.add_new(oauth_client, row):
        raise AlreadyExists(what="OAuth client", name=client)
    ctx.record(OAuthClientSet(subject=client, after=_plain(row)))
    return OAuthSecret(client=_shown(_row(ctx, client)), secret=secret)


@operation(permission="access.read", rest=Rest("GET", "/oauth-clients"))
def list_oauth_clients(ctx: Context, *, limit: Limit = 50, cursor: Cursor = None) -> Page[OAuthClient]:
    """The clients of OAuth2 by id, without their secrets."""
    query = _KNOWN.order_by(oauth_client.c.client).limit(limit + 1)
    if cursor is not None:
        query = query.where(oauth_client.c.client > decode(cursor, str)[0])
    return page(ctx.execute(query).all(), limit, _shown, lambda row: (row.client,))


@operation(permission="access.read", errors=(UnknownClient,), rest=Rest("GET", "/oauth-clients/{client}"))
def get_oauth_client(ctx: Context, *, client: ClientId) -> OAuthClient:
    """What OAuth2 knows of a client."""
    return _shown(_row(ctx, client))


@operation(permission="access.manage", kind="command", errors=(InvalidInput, StaleRevision, UnknownClient),
           rest=Rest("PATCH", "/oauth-clients/{client}"))  # fmt: skip
def update_oauth_client(
    ctx: Context,
    *,
    client: ClientId,
    scopes: Scopes | None = None,
    grant_types: Grants | None = None,
    redirect_uris: Uris | None = None,
    jwks: Keys = None,
    trusted: Trusted | None = None,
    introspects: Introspects | None = None,
    expected_revision: Annotated[int | None, Field(ge=1)] = None,
    idempotency_key: IdempotencyKey = None,
) -> OAuthClient:
    """Change what is given. Tokens that are out keep what they say; the next ones follow the change."""
    row = _row(ctx, client)
    if expected_revision is not None and expected_revision != row.version:
        raise StaleRevision(expected=expected_revision, actual=row.version)
    given: dict[str, Any] = {"scopes": scopes, "grant_types": grant_types, "redirect_uris": redirect_uris, "jwks": jwks}
    whole = {key: getattr(row, key) if value is None else value for key, value in given.items()}
    values = _checked(ctx, row.auth_method, **whole)
    refuse_wider(ctx, values["scopes"], _WHAT)
    refuse_wider(ctx, row.scopes, _WHAT)  # who says where its codes go gets what it may ask for
    if trusted is not None:
        values["trusted"] = trusted
    if introspects is not None:
        values["introspects"] = _introspecting(row.auth_method, introspects)
    mine = (oauth_client.c.client == row.client, oauth_client.c.version == row.version)
    if ctx.execute(update(oauth_client).where(*mine).values(**values, version=row.version + 1)).rowcount != 1:
        raise StaleRevision(expected=row.version, actual=row.version + 1)
    found = _row(ctx, client)
    ctx.record(OAuthClientSet(subject=row.client, before=_plain(row._mapping), after=_plain(found._mapping)))
    return _shown(found)


@operation(permission="access.manage", kind="command", errors=(InvalidInput, UnknownClient),
           rest=Rest("POST", "/oauth-clients/{client}/secret"))  # fmt: skip
def rotate_oauth_secret(
    ctx: Context,
    *,
    client: ClientId,
    overlap_seconds: Annotated[int, Field(ge=0, le=90 * 24 * 3600)] = 24 * 3600,
) -> OAuthSecret:
    """Give a client a new secret, shown this once. The old one is good until the overlap ends (0: no more at once)."""
    row = _row(ctx, client)
    if row.secret is None:
        raise InvalidInput(field="client", reason=f"its method is {row.auth_method}: it has no secret")
    refuse_wider(ctx, row.scopes, _WHAT)
    secret = secrets.token_urlsafe(32)
    until = ctx.now() + timedelta(seconds=overlap_seconds)
    values = {"secret": digest(secret), "old_secret": row.secret, "old_secret_until": until}
    ctx.execute(update(oauth_client).where(oauth_client.c.client == row.client).values(**values))
    ctx.record(OAuthClientSet(subject=row.client, after={"secret": "new", "old_secret_until": until.isoformat()}))
    return OAuthSecret(client=_shown(_row(ctx, client)), secret=secret)


@operation(permission="access.manage", kind="command", errors=(UnknownClient,),
           rest=Rest("DELETE", "/oauth-clients/{client}"))  # fmt: skip
def remove_oauth_client(ctx: Context, *, client: ClientId, idempotency_key: IdempotencyKey = None) -> OAuthClient:
    """Let a client get no more tokens. All it has got, and what people consented to, ends with this commit."""
    row = _row(ctx, client)
    ctx.execute(delete(oauth_client).where(oauth_client.c.client == row.client))
    ctx.execute(delete(oauth_consent).where(oauth_consent.c.client == row.client))
    end_tokens_of(ctx, "the client was removed", client=row.client)
    deny_tokens(ctx, f"client:{row.client}")
    ctx.record(OAuthClientSet(subject=row.client, before=_plain(row._mapping)))
    return _shown(row)


def find_oauth_client(ctx: Context, client: str) -> OAuthClient | None:
    """What OAuth2 knows of a client that is not shut out: for the authorization server."""
    mine = (oauth_client.c.client == client, clients.c.disabled_at.is_(None))
    row = ctx.execute(_KNOWN.where(*mine)).one_or_none()
    return None if row is None else _shown(row)


def opens_with(ctx: Context, client: str, secret: str) -> bool:
    """Whether this is the secret of the client, or the one before it, while that is good."""
    row = ctx.execute(select(oauth_client).where(oauth_client.c.client == client)).one_or_none()
    if row is None:
        return same(secret, None)
    until = row.old_secret_until
    new, old = same(secret, row.secret), same(secret, row.old_secret)
    return new or (old and until is not None and until > ctx.now())


def asked_permissions(ctx: Context) -> frozenset[str]:
    """The permissions that this mall's operations, and its host's own routes, ask for: what scopes are made of."""
    return frozenset(known_permissions(ctx))


def _checked(
    ctx: Context,
    auth_method: str,
    grant_types: Iterable[str],
    redirect_uris: Iterable[str],
    scopes: Iterable[str],
    jwks: dict[str, Any] | None,
) -> dict[str, Any]:
    uris = sorted({checked_redirect_uri(uri) for uri in redirect_uris})
    return {
        "grant_types": checked_grant_types(grant_types, auth_method, uris),
        "redirect_uris": uris,
        "scopes": checked_scopes(scopes, asked_permissions(ctx)),
        "jwks": _checked_keys(auth_method, jwks),
    }


def _checked_keys(auth_method: str, jwks: dict[str, Any] | None) -> dict[str, Any] | None:
    if (jwks is not None) != (auth_method == "private_key_jwt"):
        raise InvalidInput(field="jwks", reason="private_key_jwt needs public keys, and nothing else does")
    if jwks is None:
        return None
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not 0 < len(keys) <= 10 or not all(isinstance(one, dict) for one in keys):
        raise InvalidInput(field="jwks", reason="it is a JWK Set of one to ten keys")
    if any(one.get("kty") not in _KEY_TYPES or _PRIVATE & one.keys() for one in keys):
        raise InvalidInput(field="jwks", reason="it holds public keys of kind OKP, EC or RSA only")
    return {"keys": keys}


def _introspecting(auth_method: str, wanted: bool) -> bool:
    if wanted and auth_method == "none":
        raise InvalidInput(field="introspects", reason="a client without credentials may ask about no token")
    return wanted


def _row(ctx: Context, client: str) -> Any:
    row = ctx.execute(_KNOWN.where(oauth_client.c.client == client.removeprefix("client:"))).one_or_none()
    if row is None:
        raise UnknownClient(client=client)
    return row


def _shown(row: Any) -> OAuthClient:
    return OAuthClient(**{name: row._mapping[name] for name in OAuthClient.model_fields})


def _plain(row: Any) -> dict[str, Any]:
    names = ("auth_method", "grant_types", "redirect_uris", "scopes", "trusted", "introspects")
    return {name: row[name] for name in names}
