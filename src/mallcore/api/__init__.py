"""The mall over HTTP, without a framework: every operation of a catalogue as REST, and the OpenAPI document of it.

Adapters translate a server's request into a `Request`, give it to a `Dispatch`, and translate the `Response` back.
"""

from mallcore.api.bearers import bearer
from mallcore.api.bodies import Form
from mallcore.api.cookies import (
    SESSION,
    cookie,
    cookie_name,
    cookies_of,
    refuse_cross_site,
    session_cookie,
)
from mallcore.api.deliveries import Chunks, Delivery
from mallcore.api.dispatch import Dispatch
from mallcore.api.http import Authenticate, Mall, Options, Request, Response
from mallcore.api.openapi import openapi
from mallcore.api.rules.problems import Refused
from mallcore.api.streams import EventStream

__all__ = [
    "SESSION",
    "Authenticate",
    "Chunks",
    "Delivery",
    "Dispatch",
    "EventStream",
    "Form",
    "Mall",
    "Options",
    "Refused",
    "Request",
    "Response",
    "bearer",
    "cookie",
    "cookie_name",
    "cookies_of",
    "openapi",
    "refuse_cross_site",
    "session_cookie",
]
