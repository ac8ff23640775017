"""A sitecustomize for the daemon: its event loop writes down, every second, how many tasks it has."""

from __future__ import annotations

import os
from pathlib import Path

SITECUSTOMIZE = """
import asyncio
import os

run = asyncio.run


async def count():
    while True:
        with open(os.environ["SOAK_TASKS"], "w") as file:
            file.write(str(len(asyncio.all_tasks())))
        await asyncio.sleep(1)


async def counted(main):
    counting = asyncio.create_task(count())
    try:
        return await main
    finally:
        counting.cancel()


asyncio.run = lambda main, **options: run(counted(main), **options)
"""
"""Only what asyncio offers to everybody; nothing of the daemon is touched."""


class TaskCount:
    """What the loop of a daemon that runs with `environment` wrote last."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "tasks"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = {"PYTHONPATH": os.pathsep.join(paths), "SOAK_TASKS": str(self._file)}

    def read(self) -> int | None:
        """Return the number of tasks, None before the first count or while it is being written."""
        text = self._file.read_text() if self._file.exists() else ""
        return int(text) if text else None
