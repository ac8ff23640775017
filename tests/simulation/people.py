"""What happens to the daemon from outside: its users, its exchanges, its machine."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from portfoliod.commands import switches
from portfoliod.errors import PortfoliodError
from portfoliod.switches import HaltSwitch
from tests.simulation.actions import Action
from tests.simulation.exchange import RULES, Exchange
from tests.simulation.files import MARKETS_OF, NAMES
from tests.simulation.venue import Weather

if TYPE_CHECKING:
    from tests.simulation.run import Run


class People:
    """Carry out actions, and leave the daemon in peace now and then."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.quiet = False
        self._chance = random.Random(f"people {run.seed}")
        self._deeds: dict[str, Callable[[random.Random], None]] = {
            "state": lambda chance: self.run.files.state(chance.choice(NAMES), chance),
            "states at once": self._states,
            "weights by hand": run.files.weights_by_hand,
            "stats": lambda chance: self.run.files.stats(chance.choice(NAMES), chance),
            "state in pieces": lambda chance: self.run.files.state_in_pieces(chance.choice(NAMES), chance),
            "state corrupt": lambda chance: self.run.files.corrupt_state(chance.choice(NAMES), chance),
            "portfolio corrupt": run.files.corrupt_portfolio,
            "folder removed": lambda chance: self.run.files.remove_folder(chance.choice(NAMES)),
            "folder put back": lambda chance: self.run.files.put_back_folder(chance.choice(NAMES), chance),
            "retired": lambda chance: self._retire(chance.choice(NAMES)),
            "trade by hand": self._trade_by_hand,
            "liquidation": lambda chance: self._exchange(chance).liquidate(chance.choice(list(RULES))),
            "exchange down": self._down,
            "stream cut": self._cut,
            "pause": self._pause,
            "mode changed": self._change_mode,
            "keys refused": self._refuse_keys,
            "price jumps": lambda chance: self._exchange(chance).move_prices(0.05),
            "kill": lambda _: self.run.kill(),
            "kill at a place": self._kill_at,
            "stop": lambda _: self._stop(),
            "halt": lambda _: self._command(lambda: switches.halt(self.run.workspace, "by a person")),
            "flatten": lambda _: self._flatten(),
            "resume": lambda _: self._command(lambda: switches.resume(self.run.workspace)),
            "unlock": lambda _: self.unlock_everything(),
            "settings": self._settings,
        }

    def do(self, action: Action) -> None:
        """Carry out an action."""
        self._deeds[action.kind](action.chance())

    def go_quiet(self) -> None:
        """Let everything work, and mend what is broken."""
        self.run.note("quiet")
        self.quiet = True
        self.run.dies_at = 0
        for exchange in self.run.exchanges.values():
            exchange.calm = True
        for weather in self.run.weather.values():
            weather.clear()
        self.run.files.mend(self._chance)

    def resume_mostly(self) -> None:
        """Resume, if the daemon is halted: mostly, so that a halt is seen to last too."""
        if self._chance.random() < 0.85:
            self._command(lambda: switches.resume(self.run.workspace))

    def end_quiet(self) -> None:
        """Let things go wrong again."""
        self.quiet = False
        self._command(lambda: switches.resume(self.run.workspace))
        for exchange in self.run.exchanges.values():
            exchange.calm = False

    def unlock_everything(self) -> None:
        """Unlock what is locked, and take its position over as it is."""
        for symbol in RULES:
            self._command(partial(switches.unlock, self.run.workspace, symbol))

    def _states(self, chance: random.Random) -> None:
        for name in NAMES:
            self.run.files.state(name, chance)

    def _retire(self, name: str) -> None:
        with contextlib.suppress(PortfoliodError):
            switches.retire(self.run.workspace, name)
            self.run.files.retire(name)
            self.run.files.wake()

    def _command(self, command: Callable[[], str]) -> None:
        """Run a command beside the daemon, if there is one."""
        if not self.run.workspace.journal_file.exists():
            return
        with contextlib.suppress(PortfoliodError):
            command()
        self.run.files.wake()

    def _flatten(self) -> None:
        HaltSwitch(self.run.workspace).trip("flattened by a person", flatten=True)
        self.run.files.wake()

    def _trade_by_hand(self, chance: random.Random) -> None:
        venue, coins = MARKETS_OF[chance.choice(NAMES)]
        symbol = f"{chance.choice(coins.split())}/USDT:USDT"
        steps = chance.choice([-200, -50, -3, 3, 50, 200])
        self.run.exchanges[venue].trade_by_hand(symbol, RULES[symbol].step * Decimal(steps))

    def _exchange(self, chance: random.Random) -> Exchange:
        return self.run.exchanges[chance.choice(["alpha", "beta"])]

    def _weather(self, chance: random.Random) -> Weather:
        return self.run.weather[chance.choice(["alpha", "beta"])]

    def _down(self, chance: random.Random) -> None:
        self._weather(chance).down_until = self.run.clock.now + chance.choice([1, 10, 60, 300])

    def _pause(self, chance: random.Random) -> None:
        self._weather(chance).paused_until = self.run.clock.now + chance.uniform(1, 40)

    def _cut(self, chance: random.Random) -> None:
        venue = self.run.venues.get(chance.choice(["alpha", "beta"]))
        if venue is not None and self.run.life is not None:
            venue.cut_stream(quietly=chance.random() < 0.5)

    def _change_mode(self, chance: random.Random) -> None:
        weather = self._weather(chance)
        weather.stopped = True
        self.run.clock.after(chance.uniform(10, 300), lambda: setattr(weather, "stopped", False))

    def _refuse_keys(self, chance: random.Random) -> None:
        weather = self._weather(chance)
        weather.keys_refused = True
        self.run.clock.after(chance.uniform(1, 120), lambda: setattr(weather, "keys_refused", False))

    def _kill_at(self, chance: random.Random) -> None:
        self.run.dies_at = chance.randint(1, 12)

    def _stop(self) -> None:
        if self.run.life is not None:
            self.run.life.service.stop()

    def _settings(self, chance: random.Random) -> None:
        self.run.files.settings(
            band=chance.choice([0, 0.05, 0.2]), split=chance.choice([0, 0, 20_000]), rate=chance.choice([0, 0, 60])
        )
        if self.run.life is not None and self.run.life.desk is not None:
            self.run.life.service.reload()
