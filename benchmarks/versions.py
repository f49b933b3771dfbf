"""Versions of the API: what a request costs in the newest version and five changes back, beside FastAPI and Cadwyn.

The three shops of `benchmarks.shops` are asked as ASGI applications, in turns, in one process. Then what converting a
page of 20 lines costs by itself; and, each in a process of its own, how long 300 operations in 10 versions take from
the start until every version has answered, and what memory they need.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks import shops
from benchmarks.measuring import Case, Finding, Times, interleaved, report

CHANGES = 5
NEWEST, OLDEST = shops.DATES[CHANGES], shops.DATES[0]
OURS_NEW, OURS_OLD = "mallcore, newest version", "mallcore, five changes back"
PLAIN, CADWYN_NEW, CADWYN_OLD = "FastAPI, no versions", "Cadwyn, newest version", "Cadwyn, five changes back"
REQUESTS = {"GET a page of 20": ("GET", "/lines"), "GET one": ("GET", "/lines/1"), "POST one": ("POST", "/lines")}
OPERATIONS, VERSIONS = 300, 10


def requests(rounds: int, inner: int) -> Iterator[Finding]:
    """A request through the whole application, without a server."""
    app, mall = shops.ours(CHANGES)
    asks = {
        "ours": shops.asking(app),
        "plain": shops.asking(shops.plain()),
        "cadwyn": shops.asking(shops.cadwyn(CHANGES)),
    }
    new, old = _bodies()
    for name, (method, path) in REQUESTS.items():
        bodies = (new, old) if method == "POST" else (b"", b"")
        found = Finding(f"versions: {name}", "no database", facts=_installed())
        found.times = interleaved(_cases(asks, method, path, *bodies), rounds, inner, warm=3)
        found.compare(OURS_NEW, PLAIN)
        found.compare(OURS_NEW, CADWYN_NEW)
        found.compare(OURS_OLD, CADWYN_OLD)
        _overhead(found)
        yield found
    mall.close()


def _cases(asks: dict[str, shops.Ask], method: str, path: str, new: bytes, old: bytes) -> dict[str, Case]:
    def case(who: str, prefix: str, aged: bool, headers: dict[str, str]) -> Case:
        ask, body = asks[who], old if aged else new
        status, answer = ask(method, prefix + path, body, headers)
        assert status == (201 if method == "POST" else 200), answer
        assert (b"old_title" in answer) == aged, answer
        return lambda: ask(method, prefix + path, body, headers)

    return {
        PLAIN: case("plain", "", False, {}),
        OURS_NEW: case("ours", f"/{NEWEST}", False, {}),
        OURS_OLD: case("ours", f"/{OLDEST}", True, {}),
        CADWYN_NEW: case("cadwyn", "", False, {"x-api-version": NEWEST}),
        CADWYN_OLD: case("cadwyn", "", True, {"x-api-version": OLDEST}),
    }


def _overhead(found: Finding) -> None:
    for old, new in ((OURS_OLD, OURS_NEW), (CADWYN_OLD, CADWYN_NEW)):
        found.facts[f"{old}: more than its newest version"] = (
            f"{(found.times[old].p50 - found.times[new].p50) * 1e6:.0f} µs"
        )


def _bodies() -> tuple[bytes, bytes]:
    """The same line in the newest version and in the oldest."""
    newest = shops.LINES[0].model_dump(mode="json")
    oldest = {shops.OLD.get(name, name): value for name, value in newest.items()}
    return json.dumps(newest).encode(), json.dumps(oldest).encode()


def conversions(rounds: int, inner: int) -> Iterator[Finding]:
    """The walk by itself, over plain data."""
    mall = shops.ours(CHANGES)[1]
    face = mall.versions.view(mall.catalogue, OLDEST).faces["shop.list_lines"]
    newest = mall.versions.view(mall.catalogue, NEWEST).faces["shop.list_lines"]
    data, down = shops.PAGE.model_dump(mode="json"), face.down
    assert down is not None
    assert newest.down is None
    assert down(data)["items"][0]["old_title"] == "Line 0"
    name = "five changes back, a page of 20"
    found = Finding("versions: converting", "no database", interleaved({name: lambda: down(data)}, rounds, inner))
    taken = found.times[name].p50 * 1e6
    found.facts["target ≤ 60 µs"] = f"{taken:.1f} µs, {'met' if taken <= 60 else 'MISSED'}"
    found.facts["newest version"] = "no plan: nothing is done"
    mall.close()
    yield found


def starts(rounds: int) -> Iterator[Finding]:
    """From the start of a process until every version has answered once; and the memory it has then."""
    found = Finding(
        f"versions: {OPERATIONS} operations x {VERSIONS} versions, from the start", "no database", facts=_installed()
    )
    for kind in ("ours", "plain", "cadwyn"):
        runs = [_started(kind) for _ in range(rounds)]
        found.times[_LABELS[kind]] = Times(tuple(one["seconds"] for one in runs))
        megabytes = sorted(one["rss"] - one["rss_before"] for one in runs)[len(runs) // 2] / 2**20
        found.facts[f"{_LABELS[kind]}: memory for it"] = f"{megabytes:.0f} MiB"
    found.compare(_LABELS["ours"], _LABELS["cadwyn"])
    yield found


_LABELS = {"ours": "mallcore, 10 versions", "plain": "FastAPI, no versions", "cadwyn": "Cadwyn, 10 versions"}


def _started(kind: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.versions", "--start", kind], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _start(kind: str) -> None:
    """One process of `starts`: prints what it took."""
    {"ours": _import_ours, "plain": _import_fastapi, "cadwyn": _import_cadwyn}[kind]()
    before, begin = _rss(), time.perf_counter()
    {"ours": _many_ours, "plain": _many_plain, "cadwyn": _many_cadwyn}[kind]()
    print(json.dumps({"seconds": time.perf_counter() - begin, "rss": _rss(), "rss_before": before}))


def _import_ours() -> None:
    import mallcore.adapters.asgi  # noqa: F401


def _import_fastapi() -> None:
    import fastapi  # noqa: F401


def _import_cadwyn() -> None:
    import cadwyn  # noqa: F401


def _many_ours() -> None:
    from mallcore import Context, Mall, Principal, hookimpl
    from mallcore.adapters.asgi import MallASGI
    from mallcore.api.versions import Change, Release, field
    from mallcore.kernel.operations import Rest, operation

    models = shops.many(OPERATIONS)

    def made(number: int, model: Any) -> Any:
        def read(ctx: Context, *, id: str) -> Any:
            return model(id=id)

        read.__annotations__ = {"ctx": Context, "id": str, "return": model}
        rest = Rest("GET", f"/things{number}/{{id}}")
        return operation(permission=None, name=f"shop.thing{number}", rest=rest)(read)

    class Many:
        @hookimpl
        def operations_extra(self) -> list[Any]:
            return [made(number, model) for number, model in enumerate(models)]

        @hookimpl
        def releases_extra(self) -> list[Release]:
            return [Release(date, stable=datetime(2025, 1, 1, tzinfo=UTC)) for date in shops.DATES]

        @hookimpl
        def changes_extra(self) -> list[type[Change]]:
            return [
                type(
                    f"Renames{n}",
                    (Change,),
                    {
                        "__doc__": "Renamed.",
                        "version": date,
                        "touches": models[n],
                        "was": [field("field_0").was_named("old")],
                    },
                )
                for n, date in reversed(list(enumerate(shops.DATES[1:])))
            ]

    mall = Mall.open("sqlite://", plugins=[Many()], follow=False)
    ask = shops.asking(MallASGI(mall, lambda request: Principal.anonymous()))
    for date in shops.DATES:
        assert ask("GET", f"/{date}/things0/1", b"", {})[0] == 200


def _endpoints(router: Any) -> list[Any]:
    models = shops.many(OPERATIONS)
    for number, model in enumerate(models):
        path = f"/things{number}/{{id}}"
        router.add_api_route(path, _reader(model), response_model=model, methods=["GET"])
    return models


def _reader(model: Any) -> Any:
    async def read(id: str) -> Any:
        return model(id=id)

    return read


def _many_plain() -> None:
    from fastapi import FastAPI

    app = FastAPI()
    _endpoints(app)
    assert shops.asking(app)("GET", "/things0/1", b"", {})[0] == 200


def _many_cadwyn() -> None:
    import cadwyn as c

    router = c.VersionedAPIRouter()
    models = _endpoints(router)
    dates = [datetime.fromisoformat(date).date() for date in shops.DATES]

    def change(number: int) -> Any:
        @c.convert_response_to_previous_version_for(models[number])
        def down(response: Any) -> None:
            response.body["old"] = response.body.pop("field_0")

        renamed = c.schema(models[number]).field("field_0").had(name="old")
        said = {"description": "Renamed.", "instructions_to_migrate_to_previous_version": (renamed,), "down": down}
        return type(f"Had{number}", (c.VersionChange,), said)

    newest_first = [c.Version(date, change(n)) for n, date in enumerate(dates[1:])][::-1]
    app = c.Cadwyn(versions=c.VersionBundle(c.HeadVersion(), *newest_first, c.Version(dates[0])))
    app.generate_and_include_versioned_routers(router)
    ask = shops.asking(app)
    for date in shops.DATES:
        assert ask("GET", "/things0/1", b"", {"x-api-version": date})[0] == 200


def _rss() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _installed() -> dict[str, Any]:
    def of(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "absent"

    return {"versions": ", ".join(f"{name} {of(name)}" for name in ("fastapi", "cadwyn", "pydantic"))}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--start", choices=list(_LABELS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.start:
        _start(given.start)
        return
    rounds, inner, processes = (10, 20, 1) if given.quick else (60, 40, 5)

    def run() -> Iterator[Finding]:
        yield from requests(rounds, inner)
        yield from conversions(rounds, inner * 10)
        yield from starts(processes)

    report(run(), given.json)


if __name__ == "__main__":
    main()
