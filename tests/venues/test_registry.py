"""From a driver's name to a venue: what is built in, what is installed, and what is neither."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from portfoliod.errors import SettingsError
from portfoliod.venues import VenueContext, open_venue

CONTEXT = VenueContext("main", Path("var"), Path("config/portfoliod.toml"), read_only=True)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that registers a venue's driver, as pip would have installed it; returns the driver's name."""
    package = "acme_brokerage"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{package}.py").write_text(
        textwrap.dedent("""
            class Acme:
                def __init__(self, context, table):
                    self.name, self.table = context.name, dict(table)


            def open_acme(context, table):
                return Acme(context, table)
        """)
    )
    metadata = tmp_path / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[portfoliod.venues]\nacme = {package}:open_acme\n")
    monkeypatch.delitem(sys.modules, package, raising=False)
    return "acme"


def test_an_unknown_driver_is_an_error_that_names_the_known_ones() -> None:
    """The error names the key, what was found there, and every driver that there is."""
    with pytest.raises(SettingsError) as caught:
        open_venue(CONTEXT, {"driver": "papper"})
    error = caught.value
    assert error.exit_code == 78
    assert "config/portfoliod.toml" in error.where
    assert "venues.main.driver" in error.where
    assert error.found == "papper"
    assert "paper" in error.mend.split("install")[0]


def test_a_table_without_a_driver_is_an_error() -> None:
    """A venue whose table names no driver is a SettingsError too."""
    with pytest.raises(SettingsError):
        open_venue(CONTEXT, {})


def test_an_installed_driver_is_found_by_its_entry_point(installed: str) -> None:
    """A package that registers a driver is all that a new venue needs; it gets its context and its table."""
    venue = open_venue(CONTEXT, {"driver": installed, "account": "7"})
    assert type(venue).__name__ == "Acme"
    assert venue.name == "main"
    assert getattr(venue, "table", None) == {"driver": "acme", "account": "7"}


def test_an_installed_driver_is_named_among_the_known_ones(installed: str) -> None:
    """A misspelled driver is told what is installed besides what is built in."""
    with pytest.raises(SettingsError) as caught:
        open_venue(CONTEXT, {"driver": "akme"})
    assert installed in caught.value.mend
    assert "paper" in caught.value.mend


def test_a_built_in_driver_cannot_be_replaced_by_an_installed_one(installed: str, tmp_path: Path) -> None:
    """`paper` is ours, whatever a package registers under that name: nothing turns a paper account into a real one."""
    registered = tmp_path / "acme_brokerage-1.0.dist-info/entry_points.txt"
    registered.write_text(registered.read_text().replace(installed, "paper", 1))
    venue = open_venue(CONTEXT, {"driver": "paper"})
    assert type(venue).__name__ == "PaperVenue"
