"""The databases we ship keep the promises of a topology; so do both forms of the contract themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mallcore import Principal, structure
from mallcore.testing import TopologyContract, check_topology

ME = Principal.system("test")


class TestSqlite(TopologyContract):
    """One file."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        """A new file."""
        return f"sqlite:///{tmp_path / 'mall.db'}"


@pytest.mark.postgres
class TestPostgresByList(TopologyContract):
    """PostgreSQL with a partition for each channel."""

    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        """A new database."""
        return postgres_url

    def test_every_channel_has_partitions_of_its_own(self, url: str) -> None:
        """A channel's rows lie in tables named after it, which are there as soon as the channel is."""
        with self.open(url) as mall, mall.begin(ME) as ctx:
            channel = structure.create_channel(ctx, slug="books", name="Books").id
        query = "SELECT DISTINCT tableoid::regclass::text AS place FROM {} WHERE channel_id = :id"
        for table in ("mall_node", "mall_revision"):
            assert self.peek(url, query.format(table), id=channel) == [{"place": f"{table}_{channel}"}]


@pytest.mark.postgres
class TestPostgresByHash(TopologyContract):
    """PostgreSQL with 32 partitions for all channels."""

    settings = {"partitions": "hash"}  # noqa: RUF012

    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        """A new database."""
        return postgres_url

    def test_channels_share_partitions(self, url: str) -> None:
        """A new channel makes no table."""
        tables = "SELECT count(*) AS n FROM pg_class WHERE relkind IN ('r', 'p')"
        with self.open(url) as mall:
            before = self.peek(url, tables)
            with mall.begin(ME) as ctx:
                structure.create_channel(ctx, slug="books", name="Books")
        assert self.peek(url, tables) == before


def test_a_database_is_checked_without_pytest(tmp_path: Path) -> None:
    """`check_topology` tells of every promise by name, and where one is broken what happened."""
    url = f"sqlite:///{tmp_path / 'mall.db'}"
    kept = check_topology(url)
    assert [one for one in kept if not one[1]] == []
    assert len(kept) == sum(name.startswith("test_") for name in vars(TopologyContract))
    broken = [one for one in check_topology(url, follow=False) if not one[1]]
    assert [promise for promise, _, _ in broken] == ["announcements_wake_a_listener"]
    assert broken[0][2].startswith("AssertionError: assert")


def test_a_promise_cannot_be_muted() -> None:
    """Who replaces a promise, or excuses one that was never made, is refused when the class is made."""

    class Mixin:
        def test_a_refused_change_leaves_nothing(self) -> None: ...

    with pytest.raises(TypeError, match="Muted replaces"):
        type("Muted", (TopologyContract,), {"test_announcements_wake_a_listener": lambda self: None})
    with pytest.raises(TypeError, match="Mixed replaces"):
        type("Mixed", (Mixin, TopologyContract), {})
    with pytest.raises(TypeError, match="excuses unknown promises"):
        type("Lost", (TopologyContract,), {"excused": {"test_nothing": "because"}})


EXCUSED = """
import pytest
from mallcore.testing import TopologyContract

class TestExcused(TopologyContract):
    settings = {"follow": False}
    excused = {"test_announcements_wake_a_listener": "nobody follows here", "test_a_refused_change_leaves_nothing": "?"}

    @pytest.fixture
    def url(self, tmp_path):
        return f"sqlite:///{tmp_path / 'mall.db'}"
"""


def test_an_excuse_is_shown_with_its_reason(tmp_path: Path) -> None:
    """An excused promise is an expected failure with its reason; one that is kept after all fails the run."""
    script = tmp_path / "test_excused.py"
    script.write_text(EXCUSED)
    asked = "announcements or refused"
    command = [sys.executable, "-m", "pytest", "-rx", "-p", "no:cacheprovider", "-k", asked, str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "nobody follows here" in done.stdout
    assert "1 failed, 8 deselected, 1 xfailed" in done.stdout
    assert "XPASS(strict)" in done.stdout
