"""A process that has imported everything and forks a daemon when it is told to: a start costs no import.

One JSON object a line on standard input, one on standard output for each: {"start": {...}} is answered with a pid,
{"wait": pid} with the exit status once that process has ended.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a thread would not survive the fork

import numpy as np  # noqa: F401 - what the children need, imported once

import portfoliod.service
import portfoliod.venues.ccxtpro.venue  # noqa: F401
from portfoliod.__main__ import main
from portfoliod.lean_ccxt import exchange_class
from tests.crashes.plane import install


def serve() -> None:
    """Do what the lines say until there are no more."""
    for line in sys.stdin:
        order = json.loads(line)
        answer = (
            start(order["start"]) if "start" in order else os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        )
        print(json.dumps(answer), flush=True)


def start(order: dict[str, Any]) -> int:
    """Fork a daemon and return its pid."""
    pid = os.fork()
    if not pid:
        become_a_daemon(order)
    return pid


def become_a_daemon(order: dict[str, Any]) -> NoReturn:
    """Run `portfoliod run` with the plane, in this process."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream, target in ((0, nothing), (1, nothing), (2, log)):
        os.dup2(target, stream)
    os.environ.update(order["environment"])
    install(Path(order["plane"]))
    sys.argv = ["portfoliod", "--root", order["root"], "run", "--log-format", "json", *order["arguments"]]
    main()


if __name__ == "__main__":
    exchange_class("ccxt.pro", "binanceusdm")
    serve()
