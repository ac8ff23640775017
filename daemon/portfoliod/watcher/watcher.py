"""Following the workspace.

watchfiles tells of most changes within milliseconds; a scan that only looks at names, sizes and times finds the rest:
lost events, full queues, folders that arrived whole, links.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
import watchfiles
from watchfiles import Change

from portfoliod.backoff import Backoff
from portfoliod.errors import JournalFailed
from portfoliod.intake import Intake, Kind, Source, misnamed, unreadable
from portfoliod.journal import Journal, Retirement
from portfoliod.model import Problem
from portfoliod.problems import Owner, Part, Strategy
from portfoliod.watcher.reader import Reader, told
from portfoliod.watcher.survey import Survey, survey
from portfoliod.workspace import Signature, Workspace, signature

log: structlog.stdlib.BoundLogger = structlog.get_logger()

DEBOUNCE_MS = 40
BUSY_STEP_MS, QUIET_STEP_MS = 3, 5
"""watchfiles looks every step and reports when a step brought nothing new: one to two steps after a change.

Each look wakes the processor, so steps are short only while changes come.
"""
QUIET_SECONDS = 5.0
SCAN_SECONDS = 5.0
GRACE_SECONDS = 10.0
"""How long a strategy may be gone before `on_removed = "close"` retires it."""
FIRST_PAUSE = 2.0
"""Before watchfiles is started again."""


class Watcher:
    """Keeps an `Intake` up to date, and calls `changed` and `switched` with what others have to look at."""

    def __init__(
        self,
        intake: Intake,
        journal: Journal,
        *,
        changed: Callable[[Source], None],
        switched: Callable[[], None],
        retire_removed: bool,
    ) -> None:
        self._intake = intake
        self._workspace: Workspace = intake.workspace
        self._journal = journal
        self._changed = changed
        self._switched = switched
        self.retire_removed = retire_removed
        self._reader = Reader(intake, changed)
        self._last = Survey()
        self._seen: dict[Path, Signature | None] = {}
        self._gone: dict[str, float] = {}
        self._stop_watching = asyncio.Event()
        self._changed_at = time.monotonic()
        self._busy = True
        self._scanning = asyncio.Lock()
        self._tasks: asyncio.TaskGroup
        self.scanned_at = 0.0
        """When the last scan was over, well or not, on the monotonic clock: a sign of life."""

    async def first_look(self) -> None:
        """Read everything once, before anything is traded on it."""
        async with asyncio.TaskGroup() as self._tasks:
            await self.scan()

    async def run(self) -> None:
        """Follow the workspace until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._follow(), name="watchfiles")
            while True:
                await asyncio.sleep(SCAN_SECONDS)
                if self._busy and time.monotonic() - self._changed_at > QUIET_SECONDS:
                    self._stop_watching.set()
                await self._scan_in_spite_of_all()

    async def _follow(self) -> None:
        """Supervise watchfiles: it dies on names that are not UTF-8 and on folders that it may not read."""
        backoff, failing = Backoff(FIRST_PAUSE), False
        while True:
            started = time.monotonic()
            try:
                await self._watch()
                continue
            except (OSError, RuntimeError) as error:
                reason = str(error)
            except ExceptionGroup as group:
                reason = str(group.exceptions[0])
            worked_for = time.monotonic() - started
            if not failing or worked_for > backoff.longest:
                log.warning("watch.failed", reason=reason, kept=f"a scan every {SCAN_SECONDS:g} s finds what changes")
            failing = True
            await asyncio.sleep(backoff.after_failure(worked_for))

    async def _watch(self) -> None:
        """Pass on what watchfiles tells, until a folder that it watches is another one, or its step does not suit."""
        self._stop_watching = stop = asyncio.Event()
        self._busy = time.monotonic() - self._changed_at <= QUIET_SECONDS
        workspace = self._workspace
        workspace.create()
        folders = (workspace.strategies, workspace.config, workspace.var, *sorted(self._last.links))
        changes = watchfiles.awatch(
            *folders,
            watch_filter=_Names(workspace),
            debounce=DEBOUNCE_MS,
            step=BUSY_STEP_MS if self._busy else QUIET_STEP_MS,
            rust_timeout=0,  # with a timeout it now and then clears what it has just been told
            stop_event=stop,
        )
        # It runs once this task waits for the first change, when the watch exists: what changed before is found.
        self._tasks.create_task(self._scan_in_spite_of_all(), name="scan beside a new watch")
        async with contextlib.aclosing(changes):
            async for batch in changes:
                self._changed_at = time.monotonic()
                with contextlib.suppress(JournalFailed):
                    await self._notice_deleted({Path(path) for change, path in batch if change is Change.deleted})
                    await self._notice({Path(path) for _, path in batch})
                if not self._busy:
                    return

    async def _notice_deleted(self, paths: set[Path]) -> None:
        """Let the name of a retired folder that is gone be new, even if another one has its inode at once."""
        for path in paths:
            if path.parent == self._workspace.strategies and path.name in self._intake.retired:
                await self._journal.forget_retirement(path.name)
                self._intake.retired.pop(path.name, None)

    async def _notice(self, paths: set[Path]) -> None:
        scan = False
        for path in paths:
            source = self._intake.source_of(path)
            if path in {self._workspace.halt_file, self._workspace.wake_file}:
                self._seen[path] = signature(path)
                await self._look_at_switches()
            elif source is None or (source.strategy and source.strategy not in self._last.strategies):
                scan = True
            else:
                self._seen[path] = signature(path)
                self._reader.read_soon(source, self._tasks)
        if scan:
            await self._scan_in_spite_of_all()

    async def _scan_in_spite_of_all(self) -> None:
        """Scan; a journal that fails halts the daemon elsewhere, and files are followed all the same."""
        with contextlib.suppress(JournalFailed):
            await self.scan()

    async def _scan_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._scan_in_spite_of_all()

    async def scan(self) -> None:
        """Find what changed since the last scan, by names and signatures, and read it."""
        async with self._scanning:
            try:
                await self._scan()
            finally:
                self.scanned_at = time.monotonic()

    async def _scan(self) -> None:
        now = await self._survey()
        self._show_blindness(now.unreadable)
        if now.links != self._last.links or now.roots != self._last.roots:
            self._stop_watching.set()
        if not now.unreadable:
            await self._note_folders(now)
        self._last = now
        switched = False
        for path, found in now.files.items():
            if path in self._seen and self._seen[path] == found:
                continue
            self._seen[path] = found
            source = self._intake.source_of(path)
            if source is None:
                switched = True
            elif source.strategy not in self._gone and (found is not None or self._intake.holds(source)):
                self._reader.read_soon(source, self._tasks)
        if switched or self._journal.switches_due:
            await self._look_at_switches()

    def _show_blindness(self, reason: str) -> None:
        """Say once that strategies/ cannot be read, and that it can be again."""
        problem = unreadable(reason) if reason else None
        if self._intake.problems.set(Owner.WATCHER, Part.FOLDERS, problem) and problem is not None:
            log.error("watch.failed", reason=reason, **told(problem))

    async def _survey(self) -> Survey:
        """Look around, once more where a strategy was retired meanwhile: it would seem to be there anew."""
        while True:
            retired = dict(self._intake.retired)
            known = frozenset(self._intake.strategies())
            now = await asyncio.to_thread(survey, self._workspace, retired, known, self._last)
            if self._intake.retired == retired:
                return now

    async def _note_folders(self, now: Survey) -> None:
        for name in sorted(self._intake.retired.keys() - now.retired):
            await self._journal.forget_retirement(name)
            self._intake.retired.pop(name, None)
        known = self._intake.strategies()
        for name in sorted(now.strategies - self._last.strategies - self._intake.retired.keys()):
            if self._gone.pop(name, None) is not None:
                log.info("strategy.added", strategy=name, back="its folder is there again")
            elif name not in known:
                log.info("strategy.added", strategy=name)
        for name in sorted(known - now.strategies - self._gone.keys()):
            self._gone[name] = time.monotonic()
            if self.retire_removed:
                self._tasks.create_task(self._scan_after(GRACE_SECONDS), name=f"grace of {name}")
        self._show(now)
        await self._retire_after_grace()

    async def _retire_after_grace(self) -> None:
        for name, since in list(self._gone.items()):
            if self.retire_removed and time.monotonic() - since >= GRACE_SECONDS:
                retirement = Retirement(name, None)
                await self._journal.retire(retirement, time.time())
                self._forget(retirement)

    def _show(self, now: Survey) -> None:
        """Say which folders are gone, and which bear names that no strategy can have."""
        problems = {Strategy(name): misnamed(name) for name in sorted(now.misnamed)}
        problems |= {Strategy(name): _gone(name) for name in self._gone}
        for subject in self._intake.problems.replace(Owner.WATCHER, Strategy, problems):
            problem, name = problems[subject], subject.strategy
            if name in self._gone:
                log.warning("strategy.removed", strategy=name, kept=problem.kept, mend=problem.mend)
            else:
                log.warning("strategy.rejected", **told(problem))

    async def _look_at_switches(self) -> None:
        """Take in what commands changed: HALT, locks, retirements."""
        for retirement in await self._journal.reread_switches():
            if retirement.strategy not in self._intake.retired:
                self._forget(retirement)
        self._switched()

    def _forget(self, retirement: Retirement) -> None:
        name = retirement.strategy
        self._intake.retire(name, retirement.inode)
        self._gone.pop(name, None)
        self._intake.problems.set(Owner.WATCHER, Strategy(name), None)
        self._last = msgspec.structs.replace(self._last, strategies=self._last.strategies - {name})
        for path in (self._workspace.state_file(name), self._workspace.stats_file(name)):
            self._seen.pop(path, None)
        log.info("strategy.retired", strategy=name, cycle=self._intake.cycles.of(Source(Kind.STATE, name)))
        self._changed(Source(Kind.STATS, name))
        self._changed(Source(Kind.STATE, name))


class _Names(watchfiles.BaseFilter):
    """Lets pass the files that the daemon reads, and what may be a strategy's folder."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._strategies = str(workspace.strategies)
        self._config = str(workspace.config)
        self._var = str(workspace.var)

    def __call__(self, change: Change, path: str) -> bool:  # noqa: ARG002 - the path is enough
        folder, _, name = path.rpartition("/")
        if folder == self._var:
            return name in {"HALT", "wake"}
        if folder == self._config:
            return name == "portfolio_config.json"
        if folder == self._strategies:
            return not name.startswith((".", "_"))
        return name in {"state.json", "stats.json"}


def _gone(name: str) -> Problem:
    return Problem(
        "the folder disappeared",
        where=f"strategies/{name}",
        kept="its last good state and stats stay in force",
        mend=f"put it back, or: portfoliod retire {name}",
    )
