"""What is wrong and asks for a person, until it is over.

Each owner says what is wrong with each subject, and touches nobody else's entries. `set` returns whether that is news,
so whoever logs a problem logs it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Protocol, TypeVar

import msgspec

from portfoliod.model import Key, Problem


class Owner(StrEnum):
    """Who finds problems."""

    INTAKE = "intake"
    WATCHER = "watcher"
    DECIDER = "decider"
    OPTIMIZER = "optimizer"
    WORKER = "worker"


class Subject(Protocol):
    """What a problem is one of: hashable."""

    @property
    def strategy(self) -> str:
        """The strategy that it concerns; empty where it concerns the whole."""


class Strategy(msgspec.Struct, frozen=True):
    """A strategy's folder, or the strategy itself."""

    strategy: str


class Target(msgspec.Struct, frozen=True):
    """What is to be held of a market. Why it is not decided, or not traded, stands in the market's own row."""

    key: Key
    strategy: str = ""


class Part(Enum):
    """What there is one of."""

    FOLDERS = "strategies/"
    CAPITAL = "account_value"
    OPTIMIZER = "optimizer"

    @property
    def strategy(self) -> str:
        """None: it concerns the whole."""
        return ""


SubjectType = TypeVar("SubjectType", bound=Subject)


class ProblemBoard:
    """All problems of the moment."""

    def __init__(self) -> None:
        self._found: dict[tuple[Owner, Subject], Problem] = {}

    def set(self, owner: Owner, subject: Subject, problem: Problem | None) -> bool:
        """Say what an owner finds wrong with a subject, None for nothing, and return whether that is news."""
        before = self._found.get((owner, subject))
        if problem is None:
            self._found.pop((owner, subject), None)
        else:
            self._found[owner, subject] = problem
        return problem != before

    def replace(
        self, owner: Owner, kind: type[SubjectType], problems: Mapping[SubjectType, Problem]
    ) -> list[SubjectType]:
        """Say everything that an owner finds wrong with subjects of a kind, and return those of which it is news."""
        for other, subject in list(self._found):
            if other is owner and isinstance(subject, kind) and subject not in problems:
                del self._found[other, subject]
        return [subject for subject, problem in problems.items() if self.set(owner, subject, problem)]

    def get(self, owner: Owner, subject: Subject) -> Problem | None:
        """Return what an owner finds wrong with a subject."""
        return self._found.get((owner, subject))

    def values(self) -> list[Problem]:
        """Return the problems that a person is shown, in the order in which they were found."""
        return [problem for (_, subject), problem in self._found.items() if not isinstance(subject, Target)]

    def of(self, strategy: str) -> list[Problem]:
        """Return what is wrong with a strategy and its files."""
        return [problem for (_, subject), problem in self._found.items() if subject.strategy == strategy]
