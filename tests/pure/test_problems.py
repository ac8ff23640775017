"""The board of problems: owners touch nothing of each other, and news is what is new."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portfoliod.intake import PORTFOLIO, Kind, Source
from portfoliod.model import Key, Problem
from portfoliod.problems import Owner, Part, ProblemBoard, Strategy, Subject, Target

NAMES = st.sampled_from(["one", "two"])
SUBJECTS: st.SearchStrategy[Subject] = st.one_of(
    NAMES.map(Strategy),
    NAMES.map(lambda name: Source(Kind.STATE, name)),
    NAMES.map(lambda name: Target(Key("paper", name))),
    st.sampled_from([PORTFOLIO, *Part]),
)
PROBLEMS = st.sampled_from([Problem("gone"), Problem("unknown"), Problem("gone", kept="all")])
SAID = st.tuples(st.sampled_from(Owner), SUBJECTS, PROBLEMS | st.none())


@given(st.lists(SAID))
def test_what_an_owner_says_of_a_subject_is_in_force_until_it_says_something_else(
    said: list[tuple[Owner, Subject, Problem | None]],
) -> None:
    """Whatever others say meanwhile, and it is news exactly where it differs."""
    board = ProblemBoard()
    expected: dict[tuple[Owner, Subject], Problem] = {}
    for owner, subject, problem in said:
        assert board.set(owner, subject, problem) == (expected.get((owner, subject)) != problem)
        if problem is None:
            expected.pop((owner, subject), None)
        else:
            expected[owner, subject] = problem
        assert all(board.get(*place) == found for place, found in expected.items())
    assert board.values() == [found for (_, subject), found in expected.items() if not isinstance(subject, Target)]
    for name in ("one", "two"):
        assert board.of(name) == [found for (_, subject), found in expected.items() if subject.strategy == name]


@given(st.lists(SAID), st.sampled_from(Owner), st.dictionaries(NAMES.map(Strategy), PROBLEMS))
def test_to_say_everything_of_a_kind_takes_back_the_rest_of_that_kind_and_owner_only(
    said: list[tuple[Owner, Subject, Problem | None]], owner: Owner, problems: dict[Strategy, Problem]
) -> None:
    board = ProblemBoard()
    for saying in said:
        board.set(*saying)
    places = {(other, subject) for other, subject, _ in said}
    before = {place: board.get(*place) for place in places}
    news = board.replace(owner, Strategy, problems)
    assert news == [subject for subject, problem in problems.items() if before.get((owner, subject)) != problem]
    for other, subject in places:
        if other is owner and isinstance(subject, Strategy):
            assert board.get(other, subject) == problems.get(subject)
        else:
            assert board.get(other, subject) == before[other, subject]
