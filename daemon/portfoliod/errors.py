"""Every error of portfoliod: what happened, where, what stays in force, and how to mend it.

The subclass says what the daemon does next; the fields say it to a person.
"""


class PortfoliodError(Exception):
    """The base of all expected errors. A command that meets one prints it and exits with `exit_code`.

    Attributes:
        what: one sentence, without a full stop.
        where: the file and the place in it, or the venue and the symbol.
        found: what was there instead of what was expected.
        kept: what stays in force in spite of it.
        mend: what a person does about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", found: str = "", kept: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.found = found
        self.kept = kept
        self.mend = mend

    def __str__(self) -> str:
        """The error in the form in which a terminal shows it."""
        lines = [self.what]
        if self.where:
            lines.append(f"  --> {self.where}")
        lines += [
            f"  {label:<6} {text}"
            for label, text in (("found", self.found), ("kept", self.kept), ("mend", self.mend))
            if text
        ]
        return "\n".join(lines)


class UsageError(PortfoliodError):
    """The command line asks for what cannot be. Nothing was done."""

    exit_code = 2


class FileRejected(PortfoliodError):
    """A file of the workspace does not fit. The daemon keeps its last good content and goes on."""


class SettingsError(PortfoliodError):
    """portfoliod.toml or the credentials do not fit. The daemon does not start; a running one keeps its settings."""

    exit_code = 78


class AllocationError(PortfoliodError):
    """No trustworthy weights can be computed. The optimizer leaves the configuration in force as it is."""


class LockHeld(PortfoliodError):
    """Another process works in this workspace. This one exits."""


class JournalFailed(PortfoliodError):
    """The journal cannot be read or written. The daemon halts in memory: no order leaves that is not journaled."""


class UnknownSymbol(PortfoliodError):
    """A venue has no such market. The strategy that names it is refused alone."""


class MarketGone(UnknownSymbol):
    """A venue lists a market no more that it once did, not even as suspended. What a target there wants is moot."""


class VenueError(PortfoliodError):
    """A venue did not do what was asked. The subclass says what is known of the outcome."""


class VenueUnreachable(VenueError):
    """The venue gave no answer to a read. The daemon backs off and reads again; nothing is assumed."""

    exit_code = 75


class VenuePaused(VenueUnreachable):
    """The venue asks to be left alone. The daemon waits for `seconds`, then reads again."""

    def __init__(self, what: str, *, seconds: float, where: str = "", found: str = "") -> None:
        super().__init__(what, where=where, found=found)
        self.seconds = seconds


class VenueStopped(VenueError):
    """The account is not what it was when the daemon started. Nothing is sent there until it is again."""


class KeysRefused(VenueError):
    """The venue does not accept the keys. The daemon halts."""

    exit_code = 77


class OrderRefused(VenueError):
    """The venue proved that it did not take the order. The daemon backs off that key."""


class OrderUnknown(VenueError):
    """Nobody knows whether the venue took the order. The daemon resolves it before it sends another one."""


class Halted(PortfoliodError):
    """The daemon is halted, or a risk limit refuses. Only reductions go out."""

    exit_code = 5
