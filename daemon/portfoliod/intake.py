"""The last good content of every file of the workspace: what is in force, and what is wrong with what is not.

Missing or corrupt never means flat: content is replaced by better content, or by `retire`, and by nothing else. It is
kept in the journal too, so that a restart beside a corrupt file changes nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from portfoliod.capital import Usage, holding, paper_venues
from portfoliod.cycles import Cycles
from portfoliod.documents import parse_portfolio, parse_state, parse_stats
from portfoliod.errors import FileRejected, PortfoliodError
from portfoliod.journal import Document, Journal, opened_to_read
from portfoliod.model import History, PortfolioConfig, Problem, State
from portfoliod.problems import Owner, Part, ProblemBoard, Strategy
from portfoliod.workspace import STRATEGY_NAME, Workspace, is_folder_of, read_settled


class Kind(StrEnum):
    """The files that the daemon reads while it runs."""

    STATE = "state"
    STATS = "stats"
    PORTFOLIO = "config"


class Source(NamedTuple):
    """One of those files; `strategy` is empty for the portfolio's."""

    kind: Kind
    strategy: str = ""


PORTFOLIO = Source(Kind.PORTFOLIO)


class Loaded(msgspec.Struct, frozen=True):
    """A file's content, read and validated."""

    source: Source
    hash: str
    content: State | History | PortfolioConfig
    raw: bytes
    warning: str = ""


class Intake:
    """What is in force. `load` asks nothing of that and may run in any thread; all else belongs to the event loop."""

    def __init__(self, workspace: Workspace, journal: Journal | None, max_position: float) -> None:
        self.workspace = workspace
        self.journal = journal
        self.max_position = max_position
        self.states: dict[str, State] = {}
        self.histories: dict[str, History] = {}
        self.portfolio: PortfolioConfig | None = None
        self.portfolio_raw = b""
        """The bytes of the last good portfolio_config.json."""
        self.problems = ProblemBoard()
        self.retired: dict[str, int | None] = {}
        self.cycles = Cycles()
        """By `Source`: which of its contents led to what."""
        self._hashes: dict[Source, str] = {}
        if journal is not None:
            self._restore(journal)

    @classmethod
    def at_rest(cls, workspace: Workspace, max_position: float) -> Intake:
        """Return what the files and the journal of this moment say, for a command that reads them once."""
        with opened_to_read(workspace.journal_file) as journal:
            intake = cls(workspace, journal, max_position)
            intake.read_all()
        return intake

    def _restore(self, journal: Journal) -> None:
        self.retired = {retirement.strategy: retirement.inode for retirement in journal.retirements()}
        for document in journal.documents():
            source = self.source_of(self.workspace.root / document.name)
            if source is None:
                continue
            try:
                self._restore_one(source, document)
            except (msgspec.DecodeError, FileRejected):
                # Kept by another version: the file itself is read next.
                continue
            self._hashes[source] = document.hash

    def _restore_one(self, source: Source, document: Document) -> None:
        if source.kind is Kind.PORTFOLIO:
            self._put(source, parse_portfolio(document.content, document.name), document.content)
        else:
            kind: type[State | History] = State if source.kind is Kind.STATE else History
            self._put(source, msgspec.json.decode(document.content, type=kind), document.content)

    def _put(self, source: Source, content: State | History | PortfolioConfig, raw: bytes) -> None:
        if isinstance(content, State):
            self.states[source.strategy] = content
        elif isinstance(content, History):
            self.histories[source.strategy] = content
        else:
            self.portfolio, self.portfolio_raw = content, raw

    def source_of(self, path: Path) -> Source | None:
        """Return which of the daemon's files a path below the root is, or None."""
        if path == self.workspace.portfolio_file:
            return PORTFOLIO
        folder = path.parent
        if folder.parent != self.workspace.strategies or STRATEGY_NAME.fullmatch(folder.name) is None:
            return None
        if path.name == "state.json":
            return Source(Kind.STATE, folder.name)
        return Source(Kind.STATS, folder.name) if path.name == "stats.json" else None

    def path_of(self, source: Source) -> Path:
        """Return the path of one of the daemon's files."""
        if source == PORTFOLIO:
            return self.workspace.portfolio_file
        return self.workspace.strategies / source.strategy / f"{source.kind}.json"

    def strategies(self) -> set[str]:
        """Return the names of the strategies that something is known of."""
        return {*self.states, *self.histories}

    def usage(self, default_venue: str, drivers: Mapping[str, str]) -> Usage:
        """Return who uses which venue.

        Args:
            default_venue: where strategies without a route go.
            drivers: each venue's.
        """
        journal = self.journal
        held = frozenset[str]()
        if journal is not None:
            held = holding(journal.targets.values(), journal.books.values(), journal.open_intents.values())
        portfolio = self.portfolio or PortfolioConfig()
        return Usage(portfolio, default_venue, self.strategies(), held, paper_venues(drivers))

    def holds(self, source: Source) -> bool:
        """Return whether a file has content in force."""
        return source in self._hashes

    def hash_of(self, source: Source) -> str:
        """Return the hash of the content in force, empty for none."""
        return self._hashes.get(source, "")

    def load(self, source: Source) -> Loaded:
        """Read a file and find out whether it makes sense by itself.

        Raises:
            FileNotFoundError: there is none.
            Unsettled: a writer may be at work; read again shortly.
            FileRejected: it does not fit.
        """
        path = self.path_of(source)
        shown = self.workspace.shown(path)
        raw, modified = read_settled(path, shown)
        digest = hashlib.sha256(raw).hexdigest()
        if source.kind is Kind.STATE:
            return Loaded(source, digest, parse_state(raw, shown, modified, self.max_position), raw)
        if source.kind is Kind.STATS:
            history, warning = parse_stats(raw, shown, modified)
            return Loaded(source, digest, history, raw, warning)
        return Loaded(source, digest, parse_portfolio(raw, shown), raw)

    def accept(self, loaded: Loaded) -> bool:
        """Put content in force and return whether it differs from what was.

        A state that only says anew when it was decided does not differ. A portfolio_config.json that was mended does:
        an optimization may have been refused because of it.

        Raises:
            FileRejected: it lacks what is in force.
        """
        source, content = loaded.source, loaded.content
        shown = self.workspace.shown(self.path_of(source))
        before = self._content(source)
        _require_kept(before, content, shown)
        mended = self.problems.set(Owner.INTAKE, source, None)
        rewritten = self._hashes.get(source) != loaded.hash
        self._put(source, content, loaded.raw)
        self._hashes[source] = loaded.hash
        if rewritten and self.journal is not None and not self.journal.read_only:
            kept = loaded.raw if source.kind is Kind.PORTFOLIO else msgspec.json.encode(content)
            self.journal.keep_document(Document(shown, kept, loaded.hash), time.time())
        if isinstance(content, State) and isinstance(before, State):
            differs = content.positions != before.positions
        elif source.kind is Kind.PORTFOLIO:
            differs = rewritten or mended
        else:
            differs = rewritten and (before is None or content != before)
        if differs:
            self.cycles.change(source, loaded.hash)
        return differs

    def reject(self, source: Source, error: PortfoliodError) -> tuple[Problem, bool]:
        """Record what is wrong with a file; return it with what stays in force, and whether it is news."""
        where = self.workspace.shown(self.path_of(source))
        problem = Problem(
            what=error.what,
            where=error.where or where,
            found=error.found,
            kept=self._kept(source),
            mend=f"{error.mend}, then: portfoliod check" if error.mend else "portfoliod check",
        )
        return problem, self.problems.set(Owner.INTAKE, source, problem)

    def missing(self, source: Source) -> tuple[Problem, bool]:
        """Record that a file whose content is in force has disappeared; return as `reject`."""
        mend = (
            "put it back" if source.kind is Kind.PORTFOLIO else f"put it back, or: portfoliod retire {source.strategy}"
        )
        where = self.workspace.shown(self.path_of(source))
        problem = Problem(what="the file disappeared", where=where, kept=self._kept(source), mend=mend)
        return problem, self.problems.set(Owner.INTAKE, source, problem)

    def retire(self, name: str, inode: int | None) -> None:
        """Take a strategy out: from memory only, the journal's part is the caller's."""
        self.retired[name] = inode
        self.states.pop(name, None)
        self.histories.pop(name, None)
        for kind in (Kind.STATE, Kind.STATS):
            self._hashes.pop(Source(kind, name), None)
            self.problems.set(Owner.INTAKE, Source(kind, name), None)
            self.cycles.change(Source(kind, name))

    def read_all(self) -> list[tuple[str, Problem]]:
        """Read every file once, for a command that runs and ends.

        Returns:
            What does not fit, each with the name of its event; it is in `problems` too.
        """
        found: list[tuple[str, Problem]] = []
        sources = [PORTFOLIO]
        folders: list[tuple[str, bool]] = []
        try:
            folders += self.workspace.folders()
        except OSError as error:
            problem = unreadable(error.strerror or str(error))
            self.problems.set(Owner.INTAKE, Part.FOLDERS, problem)
            found.append(("watch.failed", problem))
        for name, allowed in folders:
            if not allowed:
                problem = misnamed(name)
                self.problems.set(Owner.INTAKE, Strategy(name), problem)
                found.append(("strategy.rejected", problem))
            elif not is_folder_of(self.workspace.strategies / name, self.retired.get(name)):
                sources += [Source(Kind.STATE, name), Source(Kind.STATS, name)]
        for source in sources:
            try:
                self.accept(self.load(source))
            except FileNotFoundError:
                if self.holds(source):
                    found.append((f"{source.kind}.removed", self.missing(source)[0]))
            except FileRejected as error:
                found.append((f"{source.kind}.rejected", self.reject(source, error)[0]))
        return found

    def _content(self, source: Source) -> State | History | PortfolioConfig | None:
        if source.kind is Kind.STATE:
            return self.states.get(source.strategy)
        return self.histories.get(source.strategy) if source.kind is Kind.STATS else self.portfolio

    def _kept(self, source: Source) -> str:
        if source.kind is Kind.STATE:
            state = self.states.get(source.strategy)
            if state is None:
                return "the strategy has no position yet"
            positions = ", ".join(f"{symbol} {position}" for symbol, position in state.positions.items())
            return f"the last good position stays in force: {positions or 'flat'}"
        if source.kind is Kind.STATS:
            history = self.histories.get(source.strategy)
            weight = None if self.portfolio is None else self.portfolio.weights.get(source.strategy)
            if history is None:
                return "the strategy has no weight yet"
            in_force = "" if weight is None else f"; the weight {weight} stays in force"
            return f"the last good {len(history.returns)} days of returns stay in force{in_force}"
        if self.portfolio is None:
            return "no weights are in force, nothing is traded"
        return f"the last good weights and leverage {self.portfolio.leverage} stay in force"


def misnamed(name: str) -> Problem:
    """Return what is wrong with a folder whose name cannot be a strategy's."""
    return Problem(
        what="not a strategy's name",
        where=f"strategies/{name.encode(errors='backslashreplace').decode()}",
        kept="the folder is ignored",
        mend="rename it: letters, digits, dots, dashes and underscores, at most 64, a letter or digit first",
    )


def unreadable(reason: str) -> Problem:
    """Return what is wrong where strategies/ cannot be read."""
    return Problem(
        what="the folder cannot be read",
        where="strategies",
        found=reason,
        kept="the last good content of every file in it",
        mend="make it a folder that the user who runs portfoliod can read",
    )


def _require_kept(before: object, content: object, shown: str) -> None:
    if isinstance(content, History) and isinstance(before, History) and before.days and not content.days:
        raise FileRejected("the daily returns are gone", where=shown, mend="write those that were there")
    weighted = isinstance(before, PortfolioConfig) and before.weights
    if weighted and isinstance(content, PortfolioConfig) and not content.weighted:
        mend = 'put them back, or write "weights": {} to hold nothing'
        raise FileRejected("the weights are gone", where=f"{shown}  $.weights", mend=mend)
