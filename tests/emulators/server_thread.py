"""An event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine


class LoopThread:
    """Runs one coroutine, and what it starts, beside the caller's thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._ready = threading.Event()
        self._stopping = asyncio.Event()
        self._error: BaseException | None = None

    def run(self, main: Callable[[], Awaitable[None]]) -> None:
        """Start the thread and wait until `main` calls `ready`; raises what `main` raises before that."""
        self._thread = threading.Thread(target=self._main, args=(main,), name=self._name, daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError(f"{self._name} did not start")
        if self._error is not None:
            raise self._error

    def ready(self) -> None:
        """Let `run` return."""
        self._ready.set()

    def stop(self) -> None:
        """End `main` and wait for it."""
        if self._thread is not None and self._thread.is_alive():
            self.call(self._stopping.set)
            self._thread.join(10)

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Have a function called in the loop, in the order of the calls; from any thread. Without a loop: never."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it was closed meanwhile
                loop.call_soon_threadsafe(function, *arguments)

    def start(self, work: Coroutine[object, object, object]) -> None:
        """Begin work that ends with the loop at the latest. Only in the loop's thread."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stopped(self, seconds: float | None = None) -> bool:
        """Wait for the end, or so many seconds, and return whether it came."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    def _main(self, main: Callable[[], Awaitable[None]]) -> None:
        try:
            asyncio.run(self._supervise(main))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in `run`
            self._error = error
        finally:
            self._ready.set()

    async def _supervise(self, main: Callable[[], Awaitable[None]]) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await main()
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
