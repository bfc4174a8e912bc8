"""RQ's dashboard as a program of the stack."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis

from cli.dashboard import why_not
from config.environment import CHECKOUT
from config.loading import load_settings
from tests.valkey import ValkeyServer
from tests.workers.questions import ask

PASSWORD = "planted-dashboard-password"
WITHIN_S = 40.0


@pytest.fixture
def dashboard(valkey: ValkeyServer, tmp_path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The dashboard, switched on: its address and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "FENNEL_HOME": str(tmp_path),
        "FENNEL_REDIS__URL": valkey.url,
        "FENNEL_DASHBOARD__ENABLED": "true",
        "FENNEL_DASHBOARD__PORT": str(port),
        "FENNEL_DASHBOARD__PASSWORD": PASSWORD,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "cli.dashboard"], cwd=CHECKOUT, env={**os.environ, **settings}
    ) as process:
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    end_s = time.monotonic() + WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < end_s, "the dashboard does not listen"
            time.sleep(0.05)


def status(url: str, password: str = "", method: str = "GET") -> int:
    """The HTTP status of a request."""
    parts = urlsplit(url)
    credentials = base64.b64encode(f"fennel:{password}".encode()).decode()
    connection = HTTPConnection(parts.netloc, timeout=20)
    try:
        connection.request(method, parts.path, headers={"Authorization": f"Basic {credentials}"} if password else {})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def test_the_dashboard_shows_questions_to_whoever_has_the_password(
    dashboard: tuple[str, psutil.Process], valkey: ValkeyServer
) -> None:
    """JSON jobs can be looked at and not deleted; the password stands in no argument, and no other address listens."""
    url, process = dashboard
    with redis.Redis.from_url(valkey.url) as client:
        question = ask(client)
        page = f"{url}/0/view/job/{question.id}"
        data = f"{url}/0/data/job/{question.id}.json"
        assert [status(page), status(page, "wrong"), status(page, PASSWORD), status(data, PASSWORD)] == [
            401,
            401,
            200,
            200,
        ]
        status(f"{url}/job/{question.id}/delete", PASSWORD, "POST")
        assert client.exists(f"rq:job:{question.id}")

    assert PASSWORD not in " ".join(process.cmdline())
    listening = [one.laddr.ip for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]


def test_it_says_why_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off unless it is wanted, and never without a password."""
    said = [why_not(load_settings())]
    monkeypatch.setenv("FENNEL_DASHBOARD__ENABLED", "true")
    said.append(why_not(load_settings()))
    monkeypatch.setenv("FENNEL_DASHBOARD__PASSWORD", PASSWORD)
    said.append(why_not(load_settings()))

    assert ["is off" in said[0], "FENNEL_DASHBOARD__PASSWORD first" in said[1], said[2]] == [True, True, ""]
