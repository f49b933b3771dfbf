"""A host's own operation changes its shape, and whoever calls the older version does not notice.

Run it in an empty folder: python two_versions.py
"""

import asyncio
from dataclasses import replace
from typing import Annotated

import httpx
from fastapi import FastAPI
from pydantic import BaseModel, Field

from mallcore import Context, Mall, Principal, hookimpl
from mallcore.adapters.fastapi import install
from mallcore.api.contracts import notes, rendered
from mallcore.api.versions import Change, field, fields
from mallcore.kernel.operations import Rest, operation

OLDER, NEWER = "2026-08-01", "2026-11-01"
CLOCK = "[0-2][0-9]:[0-5][0-9]"
Clock = Annotated[str, Field(pattern=f"^{CLOCK}$")]
Span = Annotated[str, Field(pattern=f"^{CLOCK}-{CLOCK}$")]


class Hours(BaseModel):
    """When a shop is open."""

    shop: str
    opens: Clock
    closes: Clock


KNOWN = {"books": Hours(shop="books", opens="09:00", closes="18:30")}


@operation(permission=None, name="hours.list_hours", rest=Rest("GET", "/hours"))
def list_hours(ctx: Context) -> list[Hours]:
    """When the shops are open."""
    return list(KNOWN.values())


@operation(permission=None, name="hours.set_hours", kind="command", rest=Rest("PUT", "/hours"))
def set_hours(ctx: Context, *, hours: Hours, announce: bool = True) -> Hours:
    """Say when a shop is open."""
    KNOWN[hours.shop] = hours
    return hours


def as_two(text: str) -> tuple[str, str]:
    """Opening and closing of ``09:00-18:30``."""
    opens, _, closes = text.partition("-")
    return opens, closes


class HoursAreTwoTimes(Change):
    """When a shop `opens` and `closes` can be sorted and compared. It was one text, `open`: `09:00-18:30`."""

    version = NEWER
    touches = Hours
    was = (fields("opens", "closes").were_one("open", Span, split=as_two, join="{}-{}".format),)
    examples = ({"shop": "books", "open": "09:00-18:30"},)


class HoursAreAnnounced(Change):
    """Whether new hours are announced is said by `announce`. It was called `loud`."""

    version = NEWER
    touches = set_hours
    was = (field("announce").was_named("loud"),)
    examples = ({"hours": {"shop": "books", "open": "09:00-18:30"}, "loud": False},)


class OpeningHours:
    """The plug-in: what the host adds to the mall's API."""

    @hookimpl
    def operations_extra(self) -> list[object]:
        """The operations, as they are now."""
        return [list_hours, set_hours]

    @hookimpl
    def changes_extra(self) -> list[type[Change]]:
        """What they were."""
        return [HoursAreTwoTimes, HoursAreAnnounced]


async def play(app: FastAPI) -> None:
    """The same shop, asked and told in two versions."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop/mall") as client:
        told = {"hours": {"shop": "toys", "open": "10:00-20:00"}, "loud": True}
        made = await client.put("/hours", json=told, headers={"mall-version": OLDER})
        print(made.headers["mall-version"], made.json())
        for version in (OLDER, NEWER):
            shown = await client.get(f"/{version}/hours")
            print(shown.headers["mall-version"], shown.json()[1])
        wrong = await client.put(f"/{OLDER}/hours", json={"hours": {"shop": "toys", "open": "all day"}})
        print(OLDER, wrong.status_code, wrong.json()["field"])
    assert KNOWN["toys"] == Hours(shop="toys", opens="10:00", closes="20:00")
    assert (made.status_code, wrong.status_code) == (200, 422)


def main() -> None:
    """Serve both versions, then print what callers of the older one are told."""
    with Mall.open("sqlite:///mall.db", plugins=[OpeningHours()]) as mall:
        app = FastAPI(title="Opening hours")
        install(app, mall, lambda request: Principal.user("ada"), prefix="/mall")
        asyncio.run(play(app))
        found = notes(mall.versions, mall.catalogue, OLDER, NEWER)
        ours = replace(found, notes=tuple(one for one in found.notes if one.change.startswith("Hours")))
        print(rendered(ours, "markdown"))


if __name__ == "__main__":
    main()
