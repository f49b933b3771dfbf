"""Scalars beside GraphQL's own. Values go through as plain JSON: operations check them, and say what is wrong."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLScalarType,
    ValueNode,
    value_from_ast_untyped,
)

_DECIMAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_LONGEST = 1 << 63


def _plain(value: Any) -> Any:
    return value


def _text(kind: str) -> Any:
    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise GraphQLError(f"{kind} is given as a string.")
        return value

    return parse


def _long(value: Any) -> int:
    whole = isinstance(value, float) and value.is_integer()
    if (isinstance(value, int) and not isinstance(value, bool)) or whole:
        number = int(value)
        if -_LONGEST <= number < _LONGEST:
            return number
    raise GraphQLError("Long is a whole number of up to 64 bits.")


def _decimal(value: Any) -> Any:
    if isinstance(value, bool) or not (
        isinstance(value, int | float) or (isinstance(value, str) and _DECIMAL.fullmatch(value))
    ):
        raise GraphQLError("Decimal is given as a string of digits.")
    return str(value)


def _number_or_text(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise GraphQLError("A whole number or a string is given here.")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise GraphQLError("Base64 is given as a string.")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise GraphQLError("This is not base64 (RFC 4648, with padding).") from None


def _from_literal(parse: Any) -> Any:
    def parse_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
        try:
            return parse(value_from_ast_untyped(node, variables))
        except GraphQLError as error:
            raise GraphQLError(error.message, node) from None

    return parse_literal


def _scalar(name: str, description: str, parse: Any, url: str | None = None) -> GraphQLScalarType:
    return GraphQLScalarType(
        name,
        serialize=_plain,
        parse_value=parse,
        parse_literal=_from_literal(parse),
        description=description,
        specified_by_url=url,
    )


DATE_TIME = _scalar(
    "DateTime",
    "A moment, as RFC 3339 writes it: `2026-11-01T12:00:00Z`.",
    _text("DateTime"),
    "https://www.rfc-editor.org/rfc/rfc3339",
)
DATE = _scalar("Date", "A day: `2026-11-01`.", _text("Date"), "https://www.rfc-editor.org/rfc/rfc3339")
DECIMAL = _scalar("Decimal", "An exact number, as a string: `12.50`.", _decimal)
LONG = _scalar("Long", "A whole number of up to 64 bits.", _long)
JSON = _scalar("JSON", "Any JSON value.", _plain, "https://www.rfc-editor.org/rfc/rfc8259")
INT_OR_STRING = _scalar("IntOrString", "A whole number or a string.", _number_or_text)
BASE64 = _scalar("Base64", "Bytes, as RFC 4648 writes them, with padding.", _bytes)
