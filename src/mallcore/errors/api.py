"""Errors of the API's versions, and of its GraphQL."""

from __future__ import annotations

from mallcore.errors.roots import InvalidInput, MallError, NotFound


class UnknownApiVersion(NotFound):
    """There is no version {version!r} of the API: there are {known}."""

    code = "unknown-api-version"


class VersionSunset(MallError):
    """The version {version} of the API was shut down on {sunset}: use {successor}; {notes} says what is to change."""

    code = "version-sunset"


class VersionBrownOut(VersionSunset):
    """The version {version} of the API is switched off until {until}, to show who still uses it: it ends on {sunset}.

    Use {successor}; {notes} says what is to change.
    """

    code = "version-brown-out"


class InvalidChange(MallError):
    """The change {change} is wrong in `{attribute}`: {reason}."""

    code = "invalid-change"


class BrokenLaw(InvalidChange):
    """The change {change} breaks a law: {law}. The smallest counterexample: {example}."""

    code = "broken-law"


class InvalidRelease(MallError):
    """The release {release!r} of the API is wrong: {reason}."""

    code = "invalid-release"


class InvalidDocument(InvalidInput):
    """The GraphQL document is wrong: {reason}."""

    code = "invalid-document"
