"""File changes in, names of what changed out.

watchfiles tells of most changes within milliseconds; a scan that only looks at names, sizes and times finds the rest:
lost events, full queues, folders that arrived whole, links. Every read goes through the content's hash.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog
import watchfiles

from portfoliod.errors import FileRejected
from portfoliod.intake import Intake, Kind, Source
from portfoliod.journal import Journal, Retirement
from portfoliod.model import Problem
from portfoliod.workspace import Signature, Unsettled, Workspace, signature

log: structlog.stdlib.BoundLogger = structlog.get_logger()

DEBOUNCE_MS, STEP_MS = 50, 5
SCAN_SECONDS = 5.0
RETRY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
PATIENCE_SECONDS = 1.0
"""How long a file may be half-written before it is called so."""
GRACE_SECONDS = 10.0
"""How long a strategy may be gone before `on_removed = "close"` retires it."""
INLINE_BYTES = 64 * 1024
"""Larger files are read in a thread."""


class Watcher:
    """Keeps an `Intake` up to date and calls `changed` with each source whose content is new."""

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
        self._retire_removed = retire_removed
        self._seen: dict[Path, Signature | None] = {}
        self._reading: dict[Source, bool] = {}
        self._present: set[str] = set()
        self._gone: dict[str, float] = {}
        self._misnamed: set[str] = set()
        self._links: set[Path] = set()
        self._tasks: asyncio.TaskGroup
        self.scanned_at = 0.0
        """When the last scan ended, on the monotonic clock: a sign of life."""

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
                await self.scan()

    async def _follow(self) -> None:
        """Supervise watchfiles: it dies on names that are not UTF-8, and watches nothing once its root was replaced."""
        failures = 0
        while True:
            try:
                failures = 0 if await self._watch() else failures
            except (OSError, RuntimeError, ExceptionGroup) as error:
                failures += 1
                if failures == 1:
                    log.warning("watch.failed", error=str(error), kept=f"scans every {SCAN_SECONDS:g} s go on")
                await asyncio.sleep(min(60.0, 2.0**failures))

    async def _watch(self) -> bool:
        links = set(self._links)
        stop = asyncio.Event()
        folders = [self._workspace.strategies, self._workspace.config, self._workspace.var, *links]
        async for changes in watchfiles.awatch(
            *folders,
            watch_filter=_Names(self._workspace),
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            rust_timeout=0,
            stop_event=stop,
        ):
            await self._notice({Path(path) for _, path in changes})
            if self._links != links or not all(folder.exists() for folder in folders):
                stop.set()
        return True

    async def _notice(self, paths: set[Path]) -> None:
        folders = False
        for path in paths:
            if path in {self._workspace.halt_file, self._workspace.wake_file}:
                await self._switch()
                continue
            source = self._intake.source_of(path)
            if source is None or (source.strategy and source.strategy not in self._present):
                folders = True
            else:
                self._read_soon(source)
        if folders:
            await self.scan()

    async def _switch(self) -> None:
        await self._journal.reread_switches()
        for retirement in self._journal.retirements():
            if retirement.strategy not in self._intake.retired:
                self._forget(retirement)
        self._switched()

    async def scan(self) -> None:
        """Find what changed since the last scan, by names and signatures, and read it."""
        names, links, found = await asyncio.to_thread(self._survey)
        self._links = links
        for name in sorted(self._intake.retired.keys() - names):
            self._intake.retired.pop(name)
            await self._journal.forget_retirement(name)
        await self._note_folders(names)
        for path, now in found.items():
            if self._seen.get(path) != now:
                source = self._intake.source_of(path)
                if source is not None and (now is not None or self._intake.holds(source)):
                    self._read_soon(source)
                elif source is None:
                    await self._switch()
        self._seen = found
        self.scanned_at = time.monotonic()

    def _survey(self) -> tuple[set[str], set[Path], dict[Path, Signature | None]]:
        """Return the strategies' names, the folders behind links, and the signature of every file that matters."""
        workspace = self._workspace
        names: set[str] = set()
        links: set[Path] = set()
        found: dict[Path, Signature | None] = {
            path: signature(path) for path in (workspace.portfolio_file, workspace.halt_file, workspace.wake_file)
        }
        for name, allowed in workspace.folders():
            if not allowed:
                self._misname(name)
                continue
            folder = workspace.strategies / name
            if self._is_retired(name, folder):
                names.add(name)
                continue
            files = {path: signature(path) for path in (workspace.state_file(name), workspace.stats_file(name))}
            if any(files.values()):
                names.add(name)
                found.update(files)
                if folder.is_symlink():
                    links.add(folder)
        for name in self._intake.strategies() - names:
            found.update({workspace.state_file(name): None, workspace.stats_file(name): None})
        return names, links, found

    def _is_retired(self, name: str, folder: Path) -> bool:
        """Return whether the folder is the one that was retired; another one of that name is a new strategy."""
        if name not in self._intake.retired:
            return False
        inode = self._intake.retired[name]
        found = signature(folder)
        return inode is not None and found is not None and found.inode == inode

    def _misname(self, name: str) -> None:
        if name in self._misnamed:
            return
        self._misnamed.add(name)
        where = f"strategies/{name.encode(errors='backslashreplace').decode()}"
        problem = Problem(
            what="not a strategy's name",
            where=where,
            kept="the folder is ignored",
            mend="rename it: letters, digits, dots, dashes and underscores, at most 64, a letter or digit first",
        )
        self._intake.problems[where] = problem
        log.warning("strategy.rejected", **_fields(problem))

    async def _note_folders(self, names: set[str]) -> None:
        active = names - self._intake.retired.keys()
        for name in sorted(active - self._present):
            if name not in self._intake.strategies():
                log.info("strategy.added", strategy=name)
            elif name in self._gone:
                log.info("strategy.returned", strategy=name)
            self._gone.pop(name, None)
        known = self._intake.strategies()
        for name in sorted(known - active - self._gone.keys()):
            self._gone[name] = time.monotonic()
            log.warning(
                "strategy.removed",
                strategy=name,
                kept="its last good state and stats stay in force",
                mend=f"put the folder back, or: portfoliod retire {name}",
            )
        self._present = active
        for name, since in list(self._gone.items()):
            if self._retire_removed and time.monotonic() - since >= GRACE_SECONDS:
                retirement = Retirement(name, None)
                await self._journal.retire(retirement, time.time())
                self._forget(retirement)

    def _forget(self, retirement: Retirement) -> None:
        name = retirement.strategy
        self._intake.retire(name, retirement.inode)
        self._gone.pop(name, None)
        self._present.discard(name)
        log.info("strategy.retired", strategy=name)
        self._changed(Source(Kind.STATS, name))
        self._changed(Source(Kind.STATE, name))

    def _read_soon(self, source: Source) -> None:
        """Read a file now, or once more after the read that is under way."""
        if source in self._reading:
            self._reading[source] = True
        else:
            self._reading[source] = False
            self._tasks.create_task(self._read(source), name=f"read {source.kind} {source.strategy}")

    async def _read(self, source: Source) -> None:
        try:
            again = True
            while again:
                self._reading[source] = False
                await self._read_patiently(source)
                again = self._reading[source]
        finally:
            del self._reading[source]

    async def _read_patiently(self, source: Source) -> None:
        """Read until the file is whole, is found not to fit, or stayed half-written for about a second."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        delays = iter(RETRY_SECONDS)
        while True:
            try:
                path = self._intake.path_of(source)
                found = signature(path)
                small = found is None or found.size <= INLINE_BYTES
                loaded = self._intake.load(source) if small else await asyncio.to_thread(self._intake.load, source)
            except (Unsettled, FileNotFoundError) as error:
                if self._reading[source]:
                    return
                if time.monotonic() >= deadline:
                    self._give_up(source, error)
                    return
                await asyncio.sleep(next(delays, RETRY_SECONDS[-1]))
            except FileRejected as error:
                self._reject(source, self._intake.reject(source, error))
                return
            else:
                if loaded.warning:
                    log.warning(f"{source.kind}.accepted", strategy=source.strategy, warning=loaded.warning)
                if self._intake.accept(loaded):
                    log.info(f"{source.kind}.accepted", **({"strategy": source.strategy} if source.strategy else {}))
                    self._changed(source)
                return

    def _give_up(self, source: Source, error: Unsettled | FileNotFoundError) -> None:
        if isinstance(error, Unsettled):
            self._reject(source, self._intake.reject(source, error))
        elif self._intake.holds(source) and source.strategy not in self._gone:
            problem = self._intake.missing(source)
            log.warning(f"{source.kind}.removed", strategy=source.strategy, **_fields(problem))

    def _reject(self, source: Source, problem: Problem) -> None:
        log.error(f"{source.kind}.rejected", strategy=source.strategy or None, **_fields(problem))


class _Names(watchfiles.BaseFilter):
    """Lets pass the files that the daemon reads, and what may be a strategy's folder."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __call__(self, change: watchfiles.Change, path: str) -> bool:  # noqa: ARG002 - the path is enough
        folder, _, name = path.rpartition("/")
        if folder == str(self._workspace.var):
            return name in {"HALT", "wake"}
        if folder == str(self._workspace.config):
            return name == self._workspace.portfolio_file.name
        if folder == str(self._workspace.strategies):
            return not name.startswith((".", "_"))
        return name in {"state.json", "stats.json"}


def _fields(problem: Problem) -> dict[str, str]:
    fields = {"what": problem.what, "where": problem.where, "found": problem.found}
    return {name: text for name, text in {**fields, "kept": problem.kept, "mend": problem.mend}.items() if text}
