"""A process that has imported the daemon, and forks one whenever it is told to: such a start costs no import.

Each message on the socket is JSON with three descriptors, the standard streams of the new process: its working folder,
environment and arguments, and perhaps a function to call first. The answers are {"started": pid} and, once it has
ended, {"ended": pid, "code": …}.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from typing import Any, NoReturn

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a thread would not survive the fork

import numpy as np  # noqa: F401 - what the children need, imported once

import portfoliod.commands.optimize
import portfoliod.commands.plan
import portfoliod.commands.render
import portfoliod.commands.status
import portfoliod.commands.switches
import portfoliod.service
import portfoliod.venues.ccxtpro.venue
import portfoliod.venues.paper.venue  # noqa: F401
from portfoliod.__main__ import main
from portfoliod.lean_ccxt import exchange_class
from tests.harness.forked import LARGEST

STREAMS = 3


class Nursery:
    """The children that have not ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, int] = {}
        """The pid by the descriptor that tells of its end."""
        self._ends = selectors.DefaultSelector()
        self._ends.register(control, selectors.EVENT_READ)

    def serve(self) -> dict[str, Any] | None:
        """Fork until nobody asks any more; return None then, and in a child what it is to be."""
        with contextlib.suppress(ConnectionError):
            while True:
                for key, _ in self._ends.select():
                    if key.fileobj is not self._control:
                        self._tell_the_end(key.fd)
                        continue
                    message, streams, _, _ = socket.recv_fds(self._control, LARGEST, STREAMS)
                    if not message:
                        raise ConnectionError
                    if self._fork(streams):
                        order: dict[str, Any] = json.loads(message)
                        return order
        for pid in self._children.values():
            os.kill(pid, signal.SIGKILL)
        return None

    def _fork(self, streams: list[int]) -> bool:
        """Return whether this is the child."""
        pid = os.fork()
        if not pid:
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            for descriptor in (*streams, *self._children):
                os.close(descriptor)
            self._ends.close()
            self._control.close()
            return True
        for stream in streams:
            os.close(stream)
        end = os.pidfd_open(pid)
        self._children[end] = pid
        self._ends.register(end, selectors.EVENT_READ)
        self._control.send(json.dumps({"started": pid}).encode())
        return False

    def _tell_the_end(self, descriptor: int) -> None:
        pid = self._children.pop(descriptor)
        self._ends.unregister(descriptor)
        os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._control.send(json.dumps({"ended": pid, "code": code}).encode())


def become(order: dict[str, Any]) -> NoReturn:
    """Run `portfoliod` in this process."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["portfoliod", *order["arguments"]]
    if order["first"]:
        module, function, argument = order["first"]
        getattr(importlib.import_module(module), function)(argument)
    main()


if __name__ == "__main__":
    for exchange in ("binanceusdm", "binance", "okx", "bybit"):
        exchange_class("ccxt.pro", exchange)
    gc.freeze()
    asked = Nursery(socket.socket(fileno=int(sys.argv[1]))).serve()
    if asked is not None:
        become(asked)
