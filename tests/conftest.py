"""Fixtures that every floor uses, and the check of every test for secrets that it told."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads that wait for each other, in each of several workers

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.harness.canaries import traces
from tests.harness.daemon import Starts
from tests.harness.leaks import assert_untold, written
from tests.harness.workspace import Files

pytest.register_assert_rewrite("tests.venues.contract")
Starts.fork = True


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """An empty workspace."""
    return Files(tmp_path)


@pytest.fixture(autouse=True)
def started_anew(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes by exec where a test is about what a start does."""
    if request.node.get_closest_marker("started_anew"):
        monkeypatch.setattr(Starts, "fork", False)


@pytest.fixture(autouse=True)
def no_secret_is_left_in_a_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """Search the folder of a test, if it has one, when everything else of it has ended."""
    folder: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        assert_untold(written(folder))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test fail that printed or logged a secret; of one that fails anyway, say it too."""
    report = yield
    fresh = [(name, text) for name, text in report.sections if name.endswith(report.when or "")]
    found = [f"{name} holds {secret}" for name, text in fresh for secret in traces(text.encode())]
    if found and report.passed:
        report.outcome = "failed"
        report.longrepr = "\n".join(found)
    elif found:
        report.sections.append(("secrets told", "\n".join(found)))
    return report
