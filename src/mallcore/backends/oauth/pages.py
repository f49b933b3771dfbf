"""Minimal pages: the question whether a client may act in somebody's name, and what is said where nobody can be sent
back. A host shows pages of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from mallcore.access import OAuthClient
from mallcore.api import Request, Response
from mallcore.kernel.context import Principal

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("content-security-policy", _POLICY),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whether a client may act in somebody's name.

    A page answers by a form that posts ``ticket`` and ``decision`` (`allow` or `deny`) to the very URL that was asked
    for, query and all. ``sent_to`` is where the browser goes then.
    """

    client: OAuthClient
    user: Principal
    scopes: tuple[str, ...]
    sent_to: str
    ticket: str = field(repr=False)


def consent_page(request: Request, question: Question) -> Response:
    """The question as a page without a script."""
    listed = "".join(f"<li><code>{escape(scope)}</code></li>" for scope in question.scopes)
    name, sent_to = escape(question.client.name), escape(question.sent_to.partition("?")[0])
    action = escape(f"{request.instance}?{request.query}")
    return page(
        200,
        f"Allow {name}?",
        f"<p><strong>{name}</strong> asks to act in the name of <code>{escape(question.user.ref)}</code>, as far as:"
        f"</p><ul>{listed}</ul><p>You will be sent to <code>{sent_to}</code>.</p>"
        f'<form method="post" action="{action}">'
        f'<input type="hidden" name="ticket" value="{escape(question.ticket)}">'
        '<button name="decision" value="allow">Allow</button> '
        '<button name="decision" value="deny">Deny</button></form>',
    )


def page(status: int, title: str, body: str) -> Response:
    """A page; title and body are HTML."""
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>{body}</html>\n'
    return Response(status, list(_HEADERS), text.encode())


def problem_page(status: int, reason: str) -> Response:
    """What is wrong with a request, when its browser can't safely be sent back to anybody."""
    return page(status, "This request can't be answered", f"<p>{escape(reason)}</p>")
