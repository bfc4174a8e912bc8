"""The health server: metrics, liveness, readiness, and where it listens."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry, Counter

from config.loading import load_settings
from config.settings import Settings
from contract.finding import Finding
from health.server import HealthError, HealthServer

WELL, ILL = Finding("link", True, "up"), Finding("Redis", False, "gone", "start it")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a home folder of the test's own."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path))
    loaded = load_settings()
    loaded.make_folders()
    return loaded


@pytest.fixture
def serve(settings: Settings) -> Iterator[Callable[..., HealthServer]]:
    """Start a server, and close it after the test."""
    with ExitStack() as stack:

        def start(*findings: Finding, is_alive: bool = True, **more: Any) -> HealthServer:
            return stack.enter_context(HealthServer("worker_0", settings, lambda: is_alive, lambda: findings, **more))

        yield start


def get(server: HealthServer, path: str, method: str = "GET") -> tuple[int, str]:
    """The status and the body of a request."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_readiness_lists_every_finding(serve: Callable[..., HealthServer]) -> None:
    """One bad finding is enough for 503, and the answer says which it is and what mends it."""
    status, body = get(serve(WELL, ILL), "/readyz")

    assert status == 503
    assert json.loads(body) == {
        "program": "worker_0",
        "is_ready": False,
        "findings": [
            {"subject": "link", "is_well": True, "says": "up", "cure": ""},
            {"subject": "Redis", "is_well": False, "says": "gone", "cure": "start it"},
        ],
    }


def test_all_well_is_200(serve: Callable[..., HealthServer]) -> None:
    """Readiness and liveness are asked apart."""
    server = serve(WELL, is_alive=False)

    assert (get(server, "/readyz")[0], get(server, "/healthz")[0], get(server, "/x")[0]) == (200, 503, 404)
    assert get(server, "/healthz", "POST")[0] == 405


def test_metrics_are_prometheus_text(serve: Callable[..., HealthServer]) -> None:
    """What is counted is there under its name."""
    registry = CollectorRegistry()
    Counter("fennel_loads", "Loads.", registry=registry).inc(3)

    assert "fennel_loads_total 3.0" in get(serve(registry=registry), "/metrics")[1]


def test_where_it_listens_is_written_for_prometheus(serve: Callable[..., HealthServer], settings: Settings) -> None:
    """The file has the form of file_sd, only this user reads the folder, and the file goes with the server."""
    server = serve()
    file = settings.health_folder / "worker_0.json"
    (target,) = json.loads(file.read_text())
    server.close()

    assert target == {"targets": [urlsplit(server.url).netloc], "labels": {"program": "worker_0"}}
    assert settings.health_folder.stat().st_mode & 0o077 == 0
    assert not file.exists()


def test_a_fault_of_the_check_is_500(settings: Settings) -> None:
    """A check that breaks is neither well nor ill, and the server goes on."""

    def broken() -> list[Finding]:
        raise ZeroDivisionError

    with HealthServer("worker_0", settings, lambda: True, broken) as server:
        assert [get(server, path)[0] for path in ("/readyz", "/healthz")] == [500, 200]


def test_a_port_that_is_taken_is_one_sentence(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """And -1 means that nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("FENNEL_HEALTH__PORT", str(taken.getsockname()[1]))
        with pytest.raises(HealthError, match="cannot be listened on"):
            HealthServer("bot_slack", load_settings(), lambda: True, list).start()
    monkeypatch.setenv("FENNEL_HEALTH__PORT", "-1")
    with HealthServer("bot_slack", load_settings(), lambda: True, list) as off:
        assert off.url == ""
    assert list(settings.health_folder.iterdir()) == []
