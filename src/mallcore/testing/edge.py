"""The contract of an edge: what mallcore relies on, whoever delivers the content.

`EdgeContract` is for authors of edges, as a pytest class; `check_edge` asks the same without pytest. Whether the edge
itself refuses a wrong signature only that edge can tell: ask it, as mallcore's tests ask nginx.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from unittest import SkipTest
from urllib.parse import parse_qsl, urlsplit

from mallcore.attachments import Edge
from mallcore.testing.promises import Report, excuses, kept, refuse_muting

_PATH = "/files/att_0192f0c1000070008000000000000001/3/Front-view.png"
_OTHER = _PATH.replace("/3/", "/4/")
_END = datetime(2040, 1, 1, 12, 15, tzinfo=UTC)
_BEFORE = _END - timedelta(minutes=10)
_JTI = "0123456789abcdef" * 2


class EdgeContract:
    """Inherit, and supply the fixture ``edge``; every promise of an edge is a test here.

    ::

        class TestMyEdge(EdgeContract):
            secrets = ("what it was given",)

            @pytest.fixture
            def edge(self) -> Edge:
                return MyEdge(…)
    """

    excused: ClassVar[dict[str, str]] = {}
    """Names of promises that are not kept, each with the reason."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """What the edge was given and must never tell."""
    headers: ClassVar[Mapping[str, str]] = {}
    """What the edge adds to a request for the mall, names in lower case."""
    _excuses: ClassVar[Any] = None

    def __init_subclass__(cls) -> None:
        refuse_muting(EdgeContract, cls)
        cls._excuses = excuses()

    def test_it_says_what_it_is(self, edge: Edge) -> None:
        """It has a name of up to 40 characters, and says what it serves; one before a store serves nothing public."""
        assert isinstance(edge, Edge)
        assert 0 < len(edge.name) <= 40
        assert edge.serves in ("all", "public", "private")
        assert edge.store is None or edge.serves == "private"

    def test_a_public_url_never_changes(self, edge: Edge) -> None:
        """One path has one URL, without a query, and another path another one."""
        if edge.serves == "private":
            raise SkipTest("it serves nothing public")
        url = edge.public_url(_PATH)
        assert url == edge.public_url(_PATH) != edge.public_url(_OTHER)
        assert urlsplit(url).path.endswith(_PATH)
        assert urlsplit(url).query == ""

    def test_a_signed_url_has_its_jti_once(self, edge: Edge) -> None:
        """``x-mall-jti`` stands in the query, once: the edge's access log is matched by it."""
        found = parse_qsl(urlsplit(self._signed(edge)).query, strict_parsing=True)
        assert [value for name, value in found if name == "x-mall-jti"] == [_JTI]
        assert len({name for name, _ in found}) == len(found)

    def test_a_signed_url_is_for_one_path_until_one_time(self, edge: Edge) -> None:
        """Another path, end or jti gives another URL, with another signature."""
        urls = [
            self._signed(edge),
            self._signed(edge, path=_OTHER),
            self._signed(edge, expires=_END + timedelta(minutes=15)),
        ]
        assert len({urlsplit(url).query for url in urls}) == 3
        assert self._signed(edge, jti="f" * 32) != urls[0]

    def test_a_signed_url_is_plain_ascii(self, edge: Edge) -> None:
        """Names in other scripts are escaped, and nothing ends the header that a URL is sent in."""
        said = {
            "disposition": "attachment; filename=\"K.png\"; filename*=UTF-8''K%C3%A4.png",
            "content_type": "image/png",
        }
        url = self._signed(edge, **said)
        assert url.isascii()
        assert not set(url) & set(' \r\n"<>\\')

    def test_what_it_overrides_it_names(self, edge: Edge) -> None:
        """If it overrides, another type or disposition gives another signature; else they change nothing."""
        plain = self._signed(edge, disposition="inline", content_type="image/png")
        other = self._signed(edge, disposition="attachment", content_type="image/png")
        if edge.serves == "private" and not _repeats(edge):
            raise SkipTest("its signatures differ each time")
        assert (plain != other) is edge.overrides

    def test_what_did_not_come_through_it_is_not_admitted(self, edge: Edge) -> None:
        """A request without signature or proof, with half a one, or with another's is not the edge's."""
        signed = _target(self._signed(edge)) if edge.serves != "public" else _PATH
        path, _, query = signed.partition("?")
        for target in (_PATH, "", "/", f"{path}?", f"{path}?{query[: len(query) // 2]}", "?" + query, "\x00"):
            assert not edge.admits(target, {}, _BEFORE)

    def test_what_came_through_it_is_admitted(self, edge: Edge) -> None:
        """What it lets through to the mall is known again (unless nothing private comes to the mall that way)."""
        if edge.store is not None or edge.serves == "public":
            raise SkipTest("nothing private comes to the mall through it")
        if not (admitted := edge.admits(_target(self._signed(edge)), self.headers, _BEFORE)) and not self.headers:
            raise SkipTest("it is known by a header: say which in `headers`")
        assert admitted

    def test_it_tells_no_secret(self, edge: Edge) -> None:
        """Neither its repr nor its URLs hold what it was given; its repr holds no signature either."""
        urls = [edge.public_url(_PATH)] + ([] if edge.serves == "public" else [self._signed(edge)])
        for secret in self.secrets:
            assert all(secret not in shown for shown in (repr(edge), str(edge), *urls))
        for url in urls:
            query = urlsplit(url).query
            assert not query or query not in repr(edge)

    def _signed(self, edge: Edge, path: str = _PATH, **given: Any) -> str:
        if edge.serves == "public":
            raise SkipTest("it signs nothing")
        return edge.signed_url(path, **{"expires": _END, "jti": _JTI, **given})


def check_edge(edge: Edge) -> Report:
    """Every promise, whether it is kept, and if not what happened; without pytest.

    >>> from mallcore.backends.plain_edge import PlainEdge
    >>> [promise for promise, kept, _ in check_edge(PlainEdge("https://cdn.example.com")) if not kept]
    []
    """
    return kept(EdgeContract(), edge)


def _target(url: str) -> str:
    """The URL as the mall is asked for it: without the edge's address."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def _repeats(edge: Edge) -> bool:
    """Whether the same arguments give the same URL: a signature by an elliptic curve does not."""
    return edge.signed_url(_PATH, expires=_END, jti=_JTI) == edge.signed_url(_PATH, expires=_END, jti=_JTI)


__all__ = ["EdgeContract", "check_edge"]
