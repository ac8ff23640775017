"""What the log does with tracebacks: they are there, and no key is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from portfoliod.credentials import Credentials
from portfoliod.logs import LogFormat, conceal, redaction, start_log

SECRET = "vKq83nXtZpL0wQmY2rBd"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the log as it was."""
    yield
    redaction._redactions.clear()
    structlog.reset_defaults()


@pytest.mark.parametrize("log_format", ["console", "journal", "json"])
def test_a_traceback_is_logged_without_keys(log_format: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither local variables nor what an error quotes brings a key into the log; the place of the error does."""
    conceal(Credentials("a test", secret=SECRET).redact)
    start_log(log_format, verbose=False)
    try:
        _request(SECRET)
    except ValueError as error:
        structlog.get_logger().error("venue.failed", venue="main", exc_info=error)
    said = capsys.readouterr()
    assert said.out == ""
    assert "in _request" in said.err
    assert "the request was signed with ***" in said.err
    for start in range(len(SECRET) - 9):
        assert SECRET[start : start + 10] not in said.err


def _request(key: str) -> None:
    headers = {"X-KEY": key}
    raise ValueError(f"the request was signed with {headers['X-KEY']}")
