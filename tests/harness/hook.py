"""A target of notifications, over HTTP on this machine."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.harness.canaries import CANARIES
from tests.harness.daemon import PATIENCE

TOKEN = CANARIES["a notification's token"]


class Hook:
    """A web hook on this machine that takes messages, or does what a service does on its bad days."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.tried = threading.Event()
        self.behaviour = ""
        self._go_on = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self.listen(0)
        assert self._server is not None
        self.port: int = self._server.server_port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.recover()
        self.close()

    @property
    def url(self) -> str:
        """Where it is, with what nobody else may know."""
        return f"json://robot:{TOKEN[:20]}@127.0.0.1:{self.port}/hooks/{TOKEN[20:]}"

    @property
    def told(self) -> str:
        """All messages that it took."""
        return "\n".join(message["message"] for message in self.messages)

    def listen(self, port: int) -> None:
        """Be there."""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.tried.set()
                if hook.behaviour:
                    hook._go_on.wait(PATIENCE if hook.behaviour == "hangs" else 0.3)
                if hook.behaviour == "refuses":
                    self.send_error(403, f"not with {TOKEN}")
                    return
                hook.messages.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Be gone."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def recover(self) -> None:
        """Be well again."""
        self.behaviour = ""
        self._go_on.set()
        if self._server is None:
            self.listen(self.port)
