"""Fixtures of signing in: a provider and two sites for the whole run, a mall for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mallcore import Mall, Principal, access, audit
from mallcore.access.model.logins import IdentityInfo, SessionInfo
from mallcore.testing.servers import ServerUnavailable
from tests.access.login.stage import Browser, Site, Stage, staged

ME = Principal.system("test")


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Real servers; who asks for them is skipped, with the reason, where there is no Node.js."""
    try:
        opened = staged()
        found = opened.__enter__()
    except ServerUnavailable as error:
        pytest.skip(f"oidc-provider: {error}")
    try:
        yield found
    finally:
        opened.__exit__(None, None, None)


class World:
    """A site with a mall of its own, and the browsers that visit it."""

    def __init__(self, stage: Stage, site: Site, mall: Mall) -> None:
        self.stage = stage
        self.site = site
        self.mall = mall
        self.browsers: list[Browser] = []

    def browser(self) -> Browser:
        """Another person's."""
        self.browsers.append(Browser(self.site))
        return self.browsers[-1]

    def records(self, event: str) -> list[Any]:
        """What is on record, newest first."""
        with self.mall.begin(ME) as ctx:
            return audit.list_records(ctx, event=event, limit=200).items

    def denied(self) -> list[str]:
        """Why sign-ins and sessions were refused, newest first."""
        return [one.after["reason"] for one in self.records("access.denied")]

    def identities(self) -> list[IdentityInfo]:
        """All there are."""
        with self.mall.begin(ME) as ctx:
            return access.list_identities(ctx).items

    def sessions(self, over: bool = False) -> list[SessionInfo]:
        """All there are."""
        with self.mall.begin(ME) as ctx:
            return access.list_sessions(ctx, over=over).items


def opened(stage: Stage, site: Site, folder: Path, logins: Any = None, **more: Any) -> Iterator[World]:
    """A world on one of the sites."""
    database = f"sqlite:///{folder / 'mall.db'}"
    with Mall.open(database, logins=logins or [stage.login(site)], **more) as mall:
        site.place.app = site.build(mall, site.url)
        world = World(stage, site, mall)
        yield world
        for one in world.browsers:
            one.close()


@pytest.fixture(params=["fastapi", "flask"])
def world(stage: Stage, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A site, once with FastAPI on uvicorn and once with Flask on werkzeug."""
    yield from opened(stage, stage.sites[request.param], tmp_path)


@pytest.fixture
def site(stage: Stage, tmp_path: Path) -> Iterator[World]:
    """A site with FastAPI: for what does not depend on the adapter."""
    yield from opened(stage, stage.sites["fastapi"], tmp_path)
