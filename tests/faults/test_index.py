"""Every fault on the list is injected by a test that is named after it."""

from __future__ import annotations

from collections import Counter

from tests.faults.__main__ import FAULTS, injections, table


def test_every_fault_has_a_test() -> None:
    """At least one, by its number; and no test is named after a number that is not on the list."""
    injected = {number for each in injections() for number in each.faults}
    assert injected == FAULTS.keys()


def test_no_two_tests_of_faults_have_one_name() -> None:
    """So that `pytest -k` finds the one that the table names."""
    names = Counter(each.name for each in injections())
    assert [name for name, times in names.items() if times > 1] == []


def test_the_table_names_every_test_once_for_each_of_its_faults() -> None:
    """A row for each fault, in their order."""
    text = table()
    rows = text.splitlines()[2:]
    assert [int(row.split("|")[1]) for row in rows] == list(FAULTS)
    for each in injections():
        assert text.count(f"`{each.name}`") == len(each.faults)
