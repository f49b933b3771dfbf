"""Webhooks tell events in the version each subscriber is pinned to, by the same changes as REST and GraphQL."""

from __future__ import annotations

import pytest

from mallcore import Mall, Principal, hookimpl, structure, webhooks
from mallcore.api.versions import Change, Release, field
from mallcore.errors import UnknownApiVersion

ME = Principal.system("test")


class SubjectsAreNamedSo(Change):
    """What a message is about is its `subject`: `about` said less."""

    version = "2026-10-01"
    touches = webhooks.EventData
    was = [field("subject").was_named("about")]  # noqa: RUF012 - it is a declaration
    examples = [{"about": "chn_1"}]  # noqa: RUF012


class Changed:
    """A plug-in with a version of its own, and a change."""

    @hookimpl
    def releases_extra(self) -> list[Release]:
        return [Release("2026-10-01")]

    @hookimpl
    def changes_extra(self) -> list[type[Change]]:
        return [SubjectsAreNamedSo]


def test_a_message_has_the_shape_of_its_version() -> None:
    """Pinned to an older version, the message is in its words; pinned to the newest, as it is."""
    with Mall.open("sqlite://", plugins=[Changed()]) as mall:
        with mall.begin(ME) as ctx:
            payloads = ctx.port(webhooks.Payloads)
            old, new = payloads.version("2026-08-01"), payloads.version(None)
        told = {"subject": "chn_1", "changed": 2}
        assert payloads.payload("structure.revised", told, old) == {"about": "chn_1", "changed": 2}
        assert payloads.payload("structure.revised", told, new) == told
        assert new == "2026-11-01"


def test_a_pin_is_a_version_there_is() -> None:
    """Nobody can be pinned to what is not there."""
    with Mall.open("sqlite://") as mall, mall.begin(ME) as ctx:
        structure.create_channel(ctx, slug="books", name="Books")
        with pytest.raises(UnknownApiVersion):
            webhooks.create_webhook(ctx, url="https://shop.example/hook", events=["*"], version="2001-01-01")
