"""Access logs of what stands before a mall: CloudFront standard logs, and Amazon S3 server access logs."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal
from urllib.parse import parse_qsl, unquote

from mallcore.errors import InvalidInput, LimitExceeded

Format = Literal["cloudfront", "s3"]
JTI = "x-mall-jti"
_LONGEST = 100_000
_S3 = re.compile(
    r'\S+ (?P<bucket>\S+) \[(?P<time>[^\]]+)\] (?P<address>\S+) \S+ (?P<request>\S+) (?P<operation>\S+) '
    r'(?P<key>\S+) "(?P<line>(?:[^"\\]|\\.)*)" (?P<status>\S+) \S+ (?P<sent>\S+) \S+ \S+ \S+ '
    r'"(?:[^"\\]|\\.)*" "(?P<agent>(?:[^"\\]|\\.)*)"(?: .*)?'
)  # fmt: skip
_NEEDED = {"date", "time", "cs-method", "cs-uri-stem", "sc-status"}


@dataclass(frozen=True, slots=True)
class Access:
    """One request that was answered at the edge. ``address`` and ``agent`` are a person's."""

    digest: str
    at: datetime
    method: str
    path: str
    status: int
    sent: int
    request: str
    jti: str | None
    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is none of the format."""

    number: int
    reason: str


def lines(data: bytes, limit: int) -> Iterator[bytes]:
    """The lines of a file, packed by gzip or not; `LimitExceeded` when it unpacks to more than the limit."""
    rest, total = b"", 0
    for part in _unpacked(data):
        total += len(part)
        if total > limit:
            raise LimitExceeded(what="the unpacked log", actual=total, limit=limit)
        *whole, rest = (rest + part).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _unpacked(data: bytes) -> Iterator[bytes]:
    """In pieces of up to a megabyte: a small file may be a huge one."""
    if not data.startswith(b"\x1f\x8b"):
        yield data
        return
    try:
        while data:
            unpacking = zlib.decompressobj(wbits=31)
            while not unpacking.eof:
                part = unpacking.decompress(data, 1 << 20)
                data = unpacking.unconsumed_tail
                if not part and not data and not unpacking.eof:
                    raise InvalidInput(field="data", reason="the gzip file is cut short")
                yield part
            data = unpacking.unused_data.lstrip(b"\x00")
    except zlib.error as error:
        raise InvalidInput(field="data", reason=f"it is no gzip file ({error})") from None


def read(whole: Iterable[bytes], given: Format | None = None) -> Iterator[Access | BadLine]:
    """Each line as what it tells, or as a bad one with its number; the format is told by the first line."""
    fields: list[str] = []
    for number, raw in enumerate(whole, 1):
        line = raw.rstrip(b"\r")
        if line.startswith(b"#"):
            fields = _named(line, fields)
        elif line.strip(b" "):
            yield _read(number, line, fields if given != "s3" else [], given)


def _named(line: bytes, fields: list[str]) -> list[str]:
    name, _, rest = line.decode("utf-8", "replace").partition(":")
    return rest.split() if name == "#Fields" else fields


def _read(number: int, line: bytes, fields: list[str], given: Format | None) -> Access | BadLine:
    if len(line) > _LONGEST:
        return BadLine(number, f"it is longer than {_LONGEST} bytes")
    digest = sha256(line).hexdigest()
    try:
        text = line.decode()
        if "\0" in text:
            return BadLine(number, "it holds a null byte")
        if fields or given == "cloudfront":
            return _cloudfront(digest, text, fields)
        return _s3(digest, text)
    except (ValueError, KeyError, OverflowError) as error:
        return BadLine(number, str(error)[:200] or type(error).__name__)


def _cloudfront(digest: str, text: str, fields: list[str]) -> Access:
    if not set(fields) >= _NEEDED:
        raise ValueError("no #Fields line before it names its columns")
    values = text.split("\t")
    if len(values) != len(fields):
        raise ValueError(f"it has {len(values)} columns instead of {len(fields)}")
    found = dict(zip(fields, values, strict=True))
    return Access(
        digest=digest,
        at=datetime.fromisoformat(f"{found['date']}T{found['time']}").replace(tzinfo=UTC),
        method=found["cs-method"][:20],
        path=_path(found["cs-uri-stem"]),
        status=int(found["sc-status"]),
        sent=_number(found.get("sc-bytes", "-")),
        request=_given(found, "x-edge-request-id")[:200],
        jti=_jti(_given(found, "cs-uri-query")),
        address=_given(found, "c-ip")[:100],
        agent=unquote(unquote(_given(found, "cs(User-Agent)")))[:500],  # CloudFront encodes its percent signs again
    )


def _s3(digest: str, text: str) -> Access:
    match = _S3.fullmatch(text)
    if match is None:
        raise ValueError("it has not the form of an S3 server access log")
    method, _, target = match["line"].partition(" ")
    path, _, query = target.partition(" ")[0].partition("?")
    return Access(
        digest=digest,
        at=datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC),
        method=method[:20] if method != "-" else match["operation"][:20],
        path=_path(path or match["key"]),
        status=int(match["status"]) if match["status"] != "-" else 0,
        sent=_number(match["sent"]),
        request=match["request"][:200],
        jti=_jti(query),
        address=match["address"].replace("-", "")[:100],
        agent=match["agent"][:500] if match["agent"] != "-" else "",
    )


def _path(text: str) -> str:
    return text[:1000]


def _given(found: Mapping[str, str], name: str) -> str:
    value = found.get(name, "-")
    return "" if value == "-" else value


def _number(text: str) -> int:
    return int(text) if text != "-" else 0


def _jti(query: str) -> str | None:
    """The link's id in a query; one given twice is none, for nobody of ours wrote that."""
    found = [value for name, value in parse_qsl(query, keep_blank_values=True) if name.lower() == JTI]
    return found[0][:64] if len(found) == 1 and found[0] else None
