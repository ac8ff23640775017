"""The machine that the service runs on, once for all of its tests; where there is none, that is said loudly."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.service.machine import Machine, NoMachine, boot, fetch_promtool

WANTED = "PORTFOLIOD_TEST_SERVICE"
"""Set by `make test-service`."""
_why_not: list[str] = []


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """A booted machine with everything installed, and nothing started."""
    if not os.environ.get(WANTED):
        pytest.skip("make test-service runs it")
    fetch_promtool()
    try:
        machine = boot()
    except NoMachine as error:
        _why_not.append(str(error))
        pytest.skip(str(error))
    yield machine
    machine.power_off()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it where nobody overlooks it."""
    for reason in _why_not:
        terminalreporter.section("THE SERVICE WAS NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.write_line(reason, red=True)
