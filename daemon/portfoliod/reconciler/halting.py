"""The daemon's halt: read from one place, tripped with a typed cause, and logged when it begins and ends."""

from __future__ import annotations

import structlog

from portfoliod.errors import JournalFailed, KeysRefused
from portfoliod.journal import Journal
from portfoliod.model import Halt, HaltCause
from portfoliod.switches import HaltSwitch

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class HaltController:
    """The only one in the daemon that halts it, and whom everybody else asks."""

    def __init__(self, switch: HaltSwitch, journal: Journal) -> None:
        self.after_drawdown = False
        """Set when a person resumed after a drawdown: it is measured anew from then on."""
        self._switch = switch
        self._journal = journal
        self._noted: Halt | None = None

    def now(self) -> Halt | None:
        """Return why nothing that adds exposure may be sent, or None. It reads the disk: ask once a step."""
        if self._journal.failed is not None:
            return Halt("the journal cannot be written", HaltCause.JOURNAL)
        return self._switch.read()

    def trip(self, reason: str, cause: HaltCause) -> None:
        """Halt."""
        self._switch.trip(reason, cause)
        self.note()

    def keys_refused(self, error: KeysRefused) -> None:
        """Halt, because a venue does not accept its keys."""
        self.trip(f"keys refused: {error.where or error.what}", HaltCause.KEYS)

    def journal_failed(self, error: JournalFailed) -> None:
        """Halt, because what is done could not be written down."""
        self.trip(error.what, HaltCause.JOURNAL)

    def note(self) -> Halt | None:
        """Log a halt that began or ended since the last call, and return the one in force."""
        self._switch.resumed(self._journal.state.confirmed_at)
        self._switch.write_out()
        halt = self.now()
        if halt is not None and self._noted is None:
            log.error("halt.tripped", reason=halt.reason, cause=str(halt.cause), mend="portfoliod resume")
        elif halt is None and self._noted is not None:
            log.info("halt.cleared", reason=self._noted.reason, cause=str(self._noted.cause))
            self.after_drawdown = self.after_drawdown or self._noted.cause is HaltCause.DRAWDOWN
        self._noted = halt
        return halt
