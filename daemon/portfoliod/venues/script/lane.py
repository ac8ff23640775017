"""One call at a time into code that is not ours, each with a time limit.

Plain functions run in one thread: a call that hangs blocks neither the loop nor the end of the process, and as long as
it hangs, others fail at once instead of piling up behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import inspect
import itertools
import queue
import threading
import time
from collections.abc import Callable

from portfoliod.logs import redacted

Function = Callable[..., object]
Outcome = tuple[object, BaseException | None]
"""What a function returned, or what it raised."""


class CallFailed(Exception):
    """A call came to nothing. The message says how; `cause` is what the function raised, if it did."""

    def __init__(self, what: str, cause: BaseException | None = None) -> None:
        super().__init__(what)
        self.cause = cause


class NotCalled(CallFailed):
    """The function was not called, because an earlier call still hangs."""


class Lane:
    """Calls functions, plain or async, one after the other.

    Attributes:
        late_until: when the last call that was given up came to its end after all (`time.monotonic`).
    """

    def __init__(self, name: str, seconds: float) -> None:
        self.late_until = float("-inf")
        self._name = name
        self._seconds = seconds
        self._busy = False
        self._hanging = ""
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._thread: queue.SimpleQueue[Callable[[], None] | None] | None = None

    @property
    def hangs(self) -> bool:
        """Whether a call was given up that has not come to its end."""
        return bool(self._hanging)

    async def call(self, name: str, function: Function, *arguments: object, urgent: bool = False) -> object:
        """Return what a function returns.

        Args:
            name: the function's, for errors.
            function: plain or async.
            arguments: its positional arguments.
            urgent: go before the calls that wait already.

        Raises:
            NotCalled: an earlier call hangs.
            CallFailed: the function raised, or did not return in time. It may still do what it does.
        """
        await self._turn(name, urgent=urgent)
        work = self._start(function, arguments)
        work.add_done_callback(self._ended)
        try:
            await asyncio.wait({work}, timeout=self._seconds)
        finally:
            if not work.done():
                self._give_up(name, work)
        if not work.done():
            raise CallFailed(f"{name} did not return within {self._seconds:g} s")
        if work.cancelled():
            raise CallFailed(f"{name} was cancelled from within")
        result, error = work.result()
        if error is not None:
            raise CallFailed(f"{name} raised {_shown(error)}", error) from error
        return result

    def close(self) -> None:
        """Let the thread end once its call returns."""
        if self._thread is not None:
            self._thread.put(None)
            self._thread = None

    async def _turn(self, name: str, *, urgent: bool) -> None:
        """Wait until nothing is called."""
        if self._hanging:
            raise self._not_called(name)
        if not self._busy:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (not urgent, next(self._numbers), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._next()
            raise

    def _next(self) -> None:
        """Let the next call begin."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False

    def _start(self, function: Function, arguments: tuple[object, ...]) -> asyncio.Future[Outcome]:
        if inspect.iscoroutinefunction(function):
            return asyncio.create_task(_awaited(function, arguments))
        loop = asyncio.get_running_loop()
        work: asyncio.Future[Outcome] = loop.create_future()

        def run() -> None:
            outcome = _called(function, arguments)
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(_settle, work, outcome)

        if self._thread is None:
            self._thread = queue.SimpleQueue()
            threading.Thread(target=_work, args=(self._thread,), name=self._name, daemon=True).start()
        self._thread.put(run)
        return work

    def _give_up(self, name: str, work: asyncio.Future[Outcome]) -> None:
        """Wait no longer for a call, and let those that wait behind it fail."""
        self._hanging = name
        if isinstance(work, asyncio.Task):
            work.cancel()
        for _, _, turn in self._waiting:
            if not turn.done():
                turn.set_exception(self._not_called("this"))
        self._waiting.clear()

    def _ended(self, _work: asyncio.Future[Outcome]) -> None:
        if self._hanging:
            self._hanging = ""
            self.late_until = time.monotonic()
        self._next()

    def _not_called(self, name: str) -> NotCalled:
        return NotCalled(f"{name} was not called: {self._hanging} was given up and has not returned yet")


def _work(calls: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (call := calls.get()) is not None:
        call()


def _called(function: Function, arguments: tuple[object, ...]) -> Outcome:
    try:
        return function(*arguments), None
    except BaseException as error:  # noqa: BLE001 - not even sys.exit() in a script may end this thread
        return None, error


async def _awaited(function: Callable[..., object], arguments: tuple[object, ...]) -> Outcome:
    try:
        return await function(*arguments), None  # type: ignore[misc]
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - not even sys.exit() in a script may end the loop
        return None, error


def _settle(work: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not work.done():
        work.set_result(outcome)


def _shown(error: BaseException) -> str:
    text = redacted(str(error))
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
