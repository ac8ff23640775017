"""The unit files, as systemd itself judges them; nothing runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.service.machine import SOURCE

UNITS = SOURCE / "systemd"
SERVICES = ("portfoliod.service", "portfoliod@.service", "portfoliod-strategy@.service")
EXPOSURE = 15
"""Tenths; a bare unit has 96."""
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="NOT TESTED: no systemd-analyze")


def directives(unit: str) -> list[str]:
    """Return the lines of a unit that say something."""
    lines = (UNITS / unit).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@needs_systemd
def test_systemd_has_nothing_to_say_of_the_units(tmp_path: Path) -> None:
    """Any word of it is a mistake: an unknown key is no failure to it."""
    for name in ("portfoliod", "python"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    for unit in UNITS.glob("*.*"):
        if unit.suffix in {".service", ".timer"}:
            content = unit.read_text().replace("/opt/portfoliod/", f"{tmp_path}/")
            (tmp_path / unit.name.replace("@", "@x")).write_text(content)
    units = [str(path) for path in tmp_path.glob("portfoliod*.*")]
    assert len(units) == 4
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_is_exposed_as_little_as_one_that_needs_the_network_can_be(unit: str) -> None:
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        f"--threshold={EXPOSURE}",
        "--no-pager",
        str(UNITS / unit),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_service_for_several_accounts_differs_from_the_one_for_one_in_its_places_only() -> None:
    """Whatever is added to one is added to the other."""
    several = [line.replace("/%i", "").replace(" (%i)", "") for line in directives("portfoliod@.service")]
    assert several == directives("portfoliod.service")
