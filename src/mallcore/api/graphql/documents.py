"""Documents: kept once they were found valid, trusted ones by name, and, if asked for, those that clients register."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from threading import Lock
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from cachetools import LRUCache
from graphql import ASTValidationRule, DocumentNode, GraphQLError, GraphQLSchema, validate

from mallcore.api.graphql.limits import Limits, parsed, refuse, refuse_values
from mallcore.api.graphql.measuring import number, sizing
from mallcore.errors import InvalidDocument

KEPT_BYTES = 500_000  # of the texts of a schema's documents; what is parsed takes some hundred times as much
_DECISIONS = 64  # about one document, for different sizes of its pages
_PREFIX = "sha256:"
_NOT_FOUND = "PersistedQueryNotFound"


class Texts(Protocol):
    """Where texts of documents are found by a name."""

    def find(self, name: str) -> str | None:
        """The text, if there is one."""
        ...


def digest(text: str) -> str:
    """What a document is called by its content: ``sha256:`` and 64 hexadecimal digits."""
    return _PREFIX + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Store:
    """Trusted documents, by the names they are given and by the digests of their texts.

    ``Store({"shelf": "{ channels { id } }"})``, or ``Store(["{ channels { id } }"])`` for digests alone.
    """

    def __init__(self, documents: Mapping[str, str] | Iterable[str] = ()) -> None:
        named = dict(documents) if isinstance(documents, Mapping) else {}
        texts = named.values() if isinstance(documents, Mapping) else documents
        self._texts = {digest(text): text for text in texts} | named

    def find(self, name: str) -> str | None:
        """The text of this name or digest."""
        return self._texts.get(name)

    def knows(self, text: str) -> bool:
        """Whether a text is one of them."""
        return digest(text) in self._texts

    def __len__(self) -> int:
        return len(set(self._texts.values()))


class Registered:
    """Documents that clients register by sending them once ("automatic persisted queries"): it saves bytes.

    It protects from nothing: whoever may send a document may register it.
    """

    def __init__(self, most_bytes: int = 1_000_000) -> None:
        self._texts: LRUCache[str, str] = LRUCache(most_bytes, getsizeof=len)
        self._lock = Lock()

    def find(self, name: str) -> str | None:
        """The text of this digest."""
        with self._lock:
            return self._texts.get(name)

    def keep(self, name: str, text: str) -> bool:
        """Keep a text by its digest; says no when it is another's."""
        if digest(text) != name:
            return False
        with self._lock:
            if len(text) <= self._texts.maxsize:
                self._texts[name] = text
        return True


class WrongDocument(Exception):
    """A document that is not executed, and all that is wrong with it."""

    def __init__(self, errors: Iterable[GraphQLError]) -> None:
        super().__init__()
        self.errors = list(errors)


class Documents:
    """Finds, parses, measures and validates documents, and remembers those that are valid.

    With ``only`` nothing is executed but what the store trusts. ``registered`` lets clients register documents. A
    trusted document is held to the limits as well: they are the server's, and its variables are the client's.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        trusted: Texts | None = None,
        only: bool = False,
        registered: Registered | None = None,
        rules: Collection[type[ASTValidationRule]] | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._trusted = trusted
        self._only = only
        self._registered = None if only else registered
        self._rules = rules
        self._schemas: WeakKeyDictionary[GraphQLSchema, LRUCache[str, _Known]] = WeakKeyDictionary()
        self._lock = Lock()

    def text(self, query: str | None, name: str | None = None, extensions: Mapping[str, Any] | None = None) -> str:
        """The text that a request asks for: by its name, by the digest it registered, or as it stands there."""
        if name is not None:
            found = None if self._trusted is None else self._trusted.find(name)
            if found is None:
                raise WrongDocument([wrong("no document with this documentId is known")])
            return found
        if self._only:
            if query is None or self._trusted is None or self._trusted.find(digest(query)) != query:
                raise WrongDocument([wrong("only documents that are known are executed: send a documentId")])
            return query
        asked = (extensions or {}).get("persistedQuery")
        return query or "" if asked is None else self._registration(query, asked)

    def _registration(self, query: str | None, asked: Any) -> str:
        said = asked.get("sha256Hash") if isinstance(asked, dict) else None
        if self._registered is None or not isinstance(said, str):
            raise WrongDocument([_unknown("PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")])
        if query is not None:
            if len(query) > self.limits.document_bytes or not self._registered.keep(_PREFIX + said, query):
                raise WrongDocument([wrong("its digest is not the one that is named")])
            return query
        found = self._registered.find(_PREFIX + said)
        if found is None:
            raise WrongDocument([_unknown("PERSISTED_QUERY_NOT_FOUND", _NOT_FOUND)])
        return found

    def prepared(
        self, schema: GraphQLSchema, text: str, variables: Mapping[str, Any] | None = None, name: str | None = None
    ) -> DocumentNode:
        """The document, valid and within the limits; `WrongDocument` for any other."""
        if found := refuse_values(variables, self.limits):
            raise WrongDocument(found)
        cache = self._cache(schema)
        key = digest(text) if len(text) <= self.limits.document_bytes else ""
        with self._lock:
            known = cache.get(key)
        if known is None:
            known = _Known(self._parsed(text))
        if found := known.refused(variables or {}, schema, self.limits, name):
            raise WrongDocument(found)
        if not known.valid:
            self._validate(schema, known)
            with self._lock:
                if len(text) <= cache.maxsize:
                    cache[key] = known
        return known.document

    def _parsed(self, text: str) -> DocumentNode:
        try:
            return parsed(text, self.limits)
        except GraphQLError as error:
            raise WrongDocument([error]) from None

    def _validate(self, schema: GraphQLSchema, known: _Known) -> None:
        if found := validate(schema, known.document, self._rules, max_errors=20):
            raise WrongDocument(found)
        known.valid = True

    def _cache(self, schema: GraphQLSchema) -> LRUCache[str, _Known]:
        with self._lock:
            found = self._schemas.get(schema)
            if found is None:
                found = self._schemas[schema] = LRUCache(KEPT_BYTES, getsizeof=_size)
            return found


class _Known:
    """A document that was parsed, whether it is valid, and what the limits say of it for the sizes it was given."""

    __slots__ = ("_decisions", "_lock", "_sizing", "document", "size", "valid")

    def __init__(self, document: DocumentNode) -> None:
        self.document = document
        self.valid = False
        self.size = len(document.loc.source.body) if document.loc is not None else KEPT_BYTES
        self._sizing = sorted(sizing(document))
        self._decisions: LRUCache[Any, list[GraphQLError]] = LRUCache(_DECISIONS)
        self._lock = Lock()

    def refused(
        self, variables: Mapping[str, Any], schema: GraphQLSchema, limits: Limits, name: str | None
    ) -> list[GraphQLError]:
        """The limits that it is beyond: of all variables, only those count that say how long a page is."""
        sizes = {one: size for one in self._sizing if (size := number(variables.get(one))) is not None}
        key = name, tuple(sizes.items())
        with self._lock:
            found = self._decisions.get(key)
        if found is None:
            found = refuse(self.document, sizes, schema, limits, name)
            with self._lock:
                self._decisions[key] = found
        return found


def _size(known: _Known) -> int:
    return known.size


def wrong(reason: str) -> GraphQLError:
    """The error of a document that can't be executed."""
    cause = InvalidDocument(reason=reason)
    return GraphQLError(str(cause), original_error=cause, extensions={"code": cause.code})


def _unknown(code: str, message: str) -> GraphQLError:
    """What clients that register documents wait for: they look at the code, or at the message."""
    return GraphQLError(message, extensions={"code": code})
