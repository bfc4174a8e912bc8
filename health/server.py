"""One program's health over HTTP, on loopback: ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz``.

Where it listens stands in ``run/health/PROGRAM.json``, in the form that Prometheus' ``file_sd_configs`` reads.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIEnvironment

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app

from config.settings import Settings
from contract.errors import FennelError
from contract.finding import Finding

OFF = -1
REQUEST_TIMEOUT_S = 10.0

log = structlog.get_logger(__name__)


class HealthError(FennelError):
    """The port of health.port cannot be used."""


class _Handler(WSGIRequestHandler):
    """Writes no log, and does not wait for a client that says nothing."""

    timeout = REQUEST_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class names it
        """A scrape every few seconds is no news."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread for each request."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without asking DNS for our own name, as the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Server6(_Server):
    """The same for an IPv6 address."""

    address_family = socket.AF_INET6


class HealthServer:
    """Serves until closed. `is_alive` and `findings` are called in the server's threads, once for each request.

    `/healthz` is 200 while `is_alive` says so, `/readyz` while no finding is bad; both are 503 otherwise. `/readyz`
    lists all findings, so that whoever asks sees which part is broken.
    """

    def __init__(
        self,
        program: str,
        settings: Settings,
        is_alive: Callable[[], bool],
        findings: Callable[[], Sequence[Finding]],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._program = program
        self._settings = settings.health
        self._file = settings.health_folder / f"{program}.json"
        self._is_alive = is_alive
        self._findings = findings
        self._metrics = make_wsgi_app(registry)
        self._server: _Server | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Listen, unless health.port is -1. Raises HealthError."""
        host, port = self._settings.host, self._settings.port
        if port == OFF:
            return
        try:
            server = (_Server6 if ":" in host else _Server)((host, port), _Handler)
        except OSError as error:
            raise HealthError(
                f"health.port={port} cannot be listened on at {host} ({error.strerror or error}): set it to 0, and "
                f"each program takes a free one"
            ) from error
        server.set_app(self._serve)
        self._server = server
        target = f"{f'[{host}]' if ':' in host else host}:{server.server_port}"
        self.url = f"http://{target}"
        unfinished = self._file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps([{"targets": [target], "labels": {"program": self._program}}]))
        unfinished.rename(self._file)
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()

    def close(self) -> None:
        """Listen no more. A second call does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        self._file.unlink(missing_ok=True)
        server.shutdown()
        server.server_close()

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _answer(start_response, "405 Method Not Allowed", {"error": "only GET"})
        if path == "/metrics":
            body: Iterable[bytes] = self._metrics(environ, start_response)
            return body
        try:
            if path == "/healthz":
                is_alive = self._is_alive()
                return _answer(start_response, _status(is_alive), {"program": self._program, "is_alive": is_alive})
            if path == "/readyz":
                return self._tell_ready(start_response)
        except Exception:
            log.exception("health cannot be told", path=path)
            return _answer(start_response, "500 Internal Server Error", {"error": "the program's log tells why"})
        return _answer(start_response, "404 Not Found", {"paths": ["/metrics", "/healthz", "/readyz"]})

    def _tell_ready(self, start_response: StartResponse) -> Iterable[bytes]:
        found = self._findings()
        is_ready = all(one.is_well for one in found)
        body = {"program": self._program, "is_ready": is_ready, "findings": [asdict(one) for one in found]}
        return _answer(start_response, _status(is_ready), body)


def _status(is_well: bool) -> str:
    return "200 OK" if is_well else "503 Service Unavailable"


def _answer(start_response: StartResponse, status: str, body: dict[str, Any]) -> list[bytes]:
    start_response(status, [("Content-Type", "application/json; charset=utf-8")])
    return [json.dumps(body, ensure_ascii=False).encode()]
