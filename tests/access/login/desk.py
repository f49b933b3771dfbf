"""A login provider without a network, and a user who came by it."""

from __future__ import annotations

from datetime import UTC, datetime

from mallcore import Mall, Principal
from mallcore.access import (
    Caller,
    Identity,
    LoginAnswer,
    LoginRedirect,
    LoginRequest,
    LogoutNotice,
    Returned,
    SignedIn,
    SigningIn,
    list_identities,
)


class Desk:
    """A login provider that knows everybody by name: the code is the person. No other backend has so little in it."""

    name = "desk"
    trusted = True

    def authorization(self, request: LoginRequest) -> LoginRedirect:
        return LoginRedirect(f"https://desk.example/?state={request.state}", {"to": request.redirect_uri})

    def callback(self, answer: LoginAnswer) -> Identity:
        code = answer.parameters["code"]
        email = f"{code}@desk.example" if "@" in code else "a\0b"
        return Identity("https://desk.example", code, email, True, "x" * 1000, session=f"at-{code}", proof="p")

    def refresh(self, identity: Identity) -> Identity:
        return identity

    def logout(self, proof: str | None, return_to: str | None) -> str | None:
        return f"https://desk.example/out?{proof}&{return_to}"

    def notice(self, token: str) -> LogoutNotice:
        subject, _, session = token.partition("/")
        until = datetime(2040, 1, 1, tzinfo=UTC)
        return LogoutNotice("https://desk.example", token, until, subject or None, session or None)


def signed_in(mall: Mall, code: str, session: str | None = None, link: Principal | None = None) -> SignedIn:
    """Whoever has just signed in at the desk, in one browser."""
    steps = SigningIn(mall.begin)
    begun = steps.start("desk", "https://shop.example/callback", link=link)
    parameters = {"state": begun.url.partition("state=")[2], "code": code}
    return steps.finish("desk", Returned(parameters, {begun.slot: begun.kept}, session), Caller())


def of_ada(mall: Mall) -> dict[str, str]:
    """A session and an identity of `user:ada`, and a ticket for another identity of hers."""
    session = signed_in(mall, "ada").session
    assert session is not None
    linking = signed_in(mall, "ada@work", session.token, Principal.user("ada", session.id))
    with mall.begin(Principal.system("test")) as ctx:
        identity = list_identities(ctx, principal="user:ada").items[0].id
    return {"session": session.id, "identity": identity, "link_ticket": str(linking.ticket)}
