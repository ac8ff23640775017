"""Fixtures that every floor uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.workspace import Files

pytest.register_assert_rewrite("tests.venues.contract")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """An empty workspace."""
    return Files(tmp_path)
