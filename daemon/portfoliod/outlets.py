"""What the daemon tells to others than its log, where the settings ask for it: metrics and notifications.

None of it is needed to trade: what cannot be had at a start is said, and what fails later is said and lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog

from portfoliod.errors import SettingsError
from portfoliod.intake import Intake
from portfoliod.reconciler import EngineSnapshot
from portfoliod.settings import Settings
from portfoliod.status import Status

if TYPE_CHECKING:
    from portfoliod.metrics import Metrics
    from portfoliod.notifications import Notifications

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Outlets:
    """Those that are open."""

    def __init__(self, metrics: Metrics | None, notifications: Notifications | None) -> None:
        self._metrics = metrics
        self._notifications = notifications

    async def show(self, status: Status, engine: EngineSnapshot, intake: Intake, lag: float) -> None:
        """Pass on how the daemon is, and how many seconds late the loop was; a mistake in that ends nothing else."""
        if self._notifications is not None and intake.journal is not None:
            try:
                await self._notifications.note(status, intake.journal)
            except Exception:
                self._notifications = None
                log.exception("notify.failed", kept="trading and messages, without the daily one until a restart")
        if self._metrics is not None:
            from portfoliod.metrics import figures

            try:
                await asyncio.to_thread(self._metrics.show, figures(status, engine, intake.histories), lag)
            except Exception:
                self._metrics = None
                log.exception("metrics.failed", kept="trading; figures stay as they are until a restart")


@contextlib.contextmanager
def open_outlets(settings: Settings) -> Iterator[Outlets]:
    """Open what the settings ask for, and close it in the end.

    Raises:
        SettingsError: a library is not installed, or a url is none.
    """
    with contextlib.ExitStack() as opened:
        notifications = _notifications(settings)
        if notifications is not None:
            opened.callback(notifications.close)
        metrics = _metrics(settings)
        if metrics is not None:
            opened.callback(metrics.close)
        yield Outlets(metrics, notifications)


def check_outlets(settings: Settings) -> None:
    """Find out whether what the settings ask for could be opened, and open nothing.

    Raises:
        SettingsError: a library is not installed, or a url is none.
    """
    if settings.metrics.listen:
        with _installed("prometheus-client", "metrics"):
            import prometheus_client  # noqa: F401 - whether it can be imported is the question
    if settings.notify.urls:
        with _installed("apprise", "notify"):
            from portfoliod.notifications import services
        services(settings.notify)


def _metrics(settings: Settings) -> Metrics | None:
    address = settings.metrics.listen
    if not address:
        return None
    with _installed("prometheus-client", "metrics"):
        from portfoliod.metrics import Metrics
    try:
        return Metrics(address)
    except (OSError, UnicodeError) as error:  # a host may be no name at all
        mend = "free the address, or write another one, then restart"
        log.error("metrics.failed", where="[metrics] listen", found=f"{address}: {error}", kept="trading", mend=mend)
        return None


def _notifications(settings: Settings) -> Notifications | None:
    if not settings.notify.urls:
        return None
    with _installed("apprise", "notify"):
        from portfoliod.notifications import Notifications
    return Notifications(settings.notify)


@contextlib.contextmanager
def _installed(library: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise SettingsError(
            f"{library} is not installed",
            where=f"config/portfoliod.toml  [{extra}]",
            found=str(error),
            kept="nothing was started",
            mend=f"pip install 'portfoliod[{extra}]', or take the table out",
        ) from error
