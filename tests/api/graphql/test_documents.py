"""Documents are found by what they are, kept once they are valid, and refused in one way."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest
from graphql import GraphQLSchema, NoSchemaIntrospectionCustomRule, build_schema, specified_rules

from mallcore.api.graphql.documents import Documents, Registered, Store, WrongDocument, digest
from mallcore.api.graphql.limits import Limits

TEXT = "query ($n: Int) { page(first: $n) { id } }"


def schema() -> GraphQLSchema:
    return build_schema("type Query { id: ID page(first: Int): [Query] }")


def refused(call: Callable[[], Any]) -> list[tuple[str, Any]]:
    """The messages and codes of what is wrong."""
    with pytest.raises(WrongDocument) as caught:
        call()
    return [(error.message, (error.extensions or {}).get("code")) for error in caught.value.errors]


def test_a_valid_document_is_parsed_once() -> None:
    """The same text of the same schema is the same tree; another schema has its own."""
    documents, mine, other = Documents(), schema(), schema()
    first = documents.prepared(mine, TEXT)
    assert documents.prepared(mine, TEXT, {"n": 3}) is first
    assert documents.prepared(other, TEXT) is not first


def test_a_schema_takes_its_documents_along() -> None:
    """What is kept for a schema goes when the schema does."""
    documents, mine = Documents(), schema()
    gone, kept = ref(mine), documents.prepared(mine, TEXT)
    del mine
    gc.collect()
    assert gone() is None
    assert kept.definitions


def test_what_is_kept_is_bounded() -> None:
    """The documents used last are kept; a flood of others takes no more memory than there is for all."""
    documents, mine = Documents(), schema()
    first = documents.prepared(mine, TEXT)
    for number in range(12):
        documents.prepared(mine, "{ id }" + " " * 50_000 + f"# {number}")
    assert documents.prepared(mine, TEXT) is not first


def test_an_invalid_document_is_refused_each_time() -> None:
    """It is not kept: it is wrong again, with all that is wrong."""
    documents, mine = Documents(), schema()
    for _ in range(2):
        (message, _code), *more = refused(lambda: documents.prepared(mine, "{ nope other }"))
        assert "nope" in message
        assert len(more) == 1
        assert refused(lambda: documents.prepared(mine, "{ id"))[0][0].startswith("Syntax Error")


def test_limits_hold_for_documents_that_are_known() -> None:
    """A document that was valid with small pages is refused with large ones, and remains good for small ones."""
    documents, mine = Documents(), schema()
    documents.prepared(mine, TEXT, {"n": 3})
    for _ in range(2):
        assert refused(lambda: documents.prepared(mine, TEXT, {"n": 100_000}))[0][1] == "limit-exceeded"
        assert documents.prepared(mine, TEXT, {"n": 3})
    assert refused(lambda: documents.prepared(mine, TEXT, {"n": 3, "x": [0] * 10_000}))[0][1] == "limit-exceeded"
    assert refused(lambda: documents.prepared(mine, "#" * 100_001))[0][1] == "limit-exceeded"


def test_limits_come_before_validation() -> None:
    """What is too much is not validated: an error of validation would show that it was."""
    ((_, code),) = refused(lambda: Documents(Limits(aliases=1)).prepared(schema(), "{ a: nope b: nope }"))
    assert code == "limit-exceeded"


def test_rules_of_validation_can_be_added() -> None:
    """So a server keeps its schema to itself."""
    closed = Documents(rules=[*specified_rules, NoSchemaIntrospectionCustomRule])
    assert "introspection" in refused(lambda: closed.prepared(schema(), "{ __schema { types { name } } }"))[0][0]


def test_trusted_documents_have_names() -> None:
    """By the name the host gave, or by the digest of the text."""
    documents = Documents(trusted=Store({"page": TEXT}))
    assert documents.text(None, "page") == TEXT
    assert documents.text(None, digest(TEXT)) == TEXT
    assert documents.text("{ id }") == "{ id }"
    assert refused(lambda: documents.text("{ id }", "sha256:" + "0" * 64))[0][1] == "invalid-document"
    assert refused(lambda: Documents().text(None, "page"))[0][1] == "invalid-document"
    store = Store([TEXT, TEXT, "{ id }"])
    assert (len(store), store.knows("{ id }"), store.knows("{ id  }"), store.find("page")) == (2, True, False, None)


def test_only_trusted_documents_are_executed_if_so_wished() -> None:
    """Whatever else is sent is refused, down to a blank; a trusted text may be sent as it is."""
    documents = Documents(trusted=Store([TEXT]), only=True, registered=Registered())
    assert documents.text(TEXT) == TEXT
    sha = digest("{ id }").removeprefix("sha256:")
    for given in (
        ("{ id }", None, None),
        (TEXT + " ", None, None),
        (None, None, None),
        ("{ id }", None, {"persistedQuery": {"version": 1, "sha256Hash": sha}}),
        (None, None, {"persistedQuery": {"version": 1, "sha256Hash": sha}}),
    ):
        assert refused(lambda given=given: documents.text(*given))[0][1] == "invalid-document"  # type: ignore[misc]


def test_clients_register_documents_where_they_may() -> None:
    """First by digest alone, then with the text, then by digest alone; with another's digest never."""
    documents, sha = Documents(registered=Registered()), hashlib.sha256(TEXT.encode()).hexdigest()
    asked = {"persistedQuery": {"version": 1, "sha256Hash": sha}}
    assert refused(lambda: documents.text(None, None, asked)) == [
        ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
    ]
    assert refused(lambda: documents.text("{ id }", None, asked))[0][1] == "invalid-document"
    assert documents.text(TEXT, None, asked) == TEXT
    assert documents.text(None, None, asked) == TEXT
    for odd in ({"persistedQuery": 1}, {"persistedQuery": {}}, {"persistedQuery": {"sha256Hash": [sha]}}):
        assert refused(lambda odd=odd: documents.text(TEXT, None, odd))[0][1] == "PERSISTED_QUERY_NOT_SUPPORTED"  # type: ignore[misc]


def test_clients_register_nothing_unless_they_may() -> None:
    """It is off until a host asks for it; clients then send their documents as ever."""
    asked = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(TEXT.encode()).hexdigest()}}
    assert refused(lambda: Documents().text(TEXT, None, asked)) == [
        ("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED")
    ]


def test_what_clients_register_is_bounded() -> None:
    """The oldest go; what is larger than all there is for them is executed and not kept."""
    registered = Registered(most_bytes=100)
    for number in range(30):
        text = f"{{ id }} # {number}"
        assert registered.keep(digest(text), text)
    assert registered.find(digest("{ id } # 0")) is None
    assert registered.find(digest("{ id } # 29")) is not None
    assert registered.keep(digest("#" * 200), "#" * 200)
    assert registered.find(digest("#" * 200)) is None
