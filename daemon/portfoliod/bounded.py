"""Memory that does not grow for ever."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Name = TypeVar("Name")
Value = TypeVar("Value")


class Bounded(OrderedDict[Name, Value]):
    """A dict of at most `most` entries: to add one more forgets the one that was added first."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, name: Name, value: Value) -> None:
        super().__setitem__(name, value)
        if len(self) > self._most:
            self.popitem(last=False)
