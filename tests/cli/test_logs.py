"""What the programs write while a question goes its whole way."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.cli.stack_home import stack_home
from tests.fakes.slack import FakeSlack
from tests.waiting import until

ASKED = "How many zebraquartz days does Rosalindfranklin have?"
DOCUMENT = "# Zebraquartz\n\nEverybody has 30 zebraquartz days a year, Rosalindfranklin has 31.\n"
WORDS = ("zebraquartz", "Zebraquartz", "Rosalindfranklin")
"""Of the question, the document and the answer alike."""
PASSWORD = "planted-dashboard-password"
WITHIN_S = 40.0


class Collector:
    """An OpenTelemetry collector: keeps what it is sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self._server = web_server(self.bodies)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def __enter__(self) -> Collector:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spans(self) -> list[tuple[str, Span]]:
        """All spans with the program that sent each."""
        found = []
        for body in self.bodies:
            for one in ExportTraceServiceRequest.FromString(body).resource_spans:
                program = {a.key: a.value.string_value for a in one.resource.attributes}["service.instance.id"]
                found += [(program, span) for scope in one.scope_spans for span in scope.spans]
        return found


def web_server(bodies: list[bytes]) -> ThreadingHTTPServer:
    """Keeps the bodies of all POSTs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
            """Silence."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def trace_is_whole(collector: Collector, begin_s: float) -> None:
    """One trace over both processes, every span in the root's, and in the order of what happened."""
    spans = collector.spans()
    (root,) = [span for _, span in spans if span.name == "question"]
    others = [(program, span.name) for program, span in spans if span is not root]

    assert {span.trace_id for _, span in spans} == {root.trace_id}
    assert {span.parent_span_id for _, span in spans if span is not root} == {root.span_id}
    assert root.parent_span_id == b""
    assert sorted(others) == [
        ("bot_slack", "deliver"),
        ("bot_slack", "take in"),
        ("worker_0", "find and read"),
        ("worker_0", "wait in the queue"),
        ("worker_0", "write"),
    ]
    for _, span in spans:
        assert begin_s * 1e9 - 1e9 <= span.start_time_unix_nano <= span.end_time_unix_nano <= time.time() * 1e9


def test_no_log_has_chat_text_or_a_secret_and_each_line_of_a_question_has_its_id() -> None:
    """A question from Slack is answered by real programs that log at info: ids stand in the logs, words do not."""
    with FakeSlack(enforce_rates=False) as fake, Collector() as collector:
        settings = {
            **fake.urls(),
            "FENNEL_TRACING__ENDPOINT": collector.url,
            "FENNEL_LOG__FORMAT": "json",
            "FENNEL_DASHBOARD__PASSWORD": PASSWORD,
        }
        with stack_home(**settings, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1") as home:
            (home.folder / "days.md").write_text(DOCUMENT)
            assert home.fennel("kb", "add", str(home.folder / "days.md")).returncode == 0
            started = home.fennel("up", "--wait")
            assert started.returncode == 0, started.stderr
            fake.wait_for(lambda: fake.connected() == 1, WITHIN_S)
            begin_s = time.time()
            asked = fake.happen("app_mention", text=ASKED)
            until(lambda: any("31" in one.shown for one in fake.answers(asked["channel"], asked["ts"])))
            until(lambda: "shown" in (home.home / "logs" / "bot_slack.log").read_text())
            logs = {file.name: file.read_text() for file in (home.home / "logs").iterdir()}
            written = [file for file in (home.home / "run" / "health").iterdir() if file.is_file()]
            logs |= {file.name: file.read_text() for file in written}

    trace_is_whole(collector, begin_s)
    logs["trace"] = b"".join(collector.bodies).decode(errors="replace")
    secrets = [value for name, value in settings.items() if name.endswith(("TOKEN", "SECRET", "PASSWORD"))]
    assert len(secrets) == 4
    found = [(name, word) for name, text in logs.items() for word in (*WORDS, *secrets) if word in text]
    assert found == []

    def events(name: str) -> dict[str, str]:
        lines = [json.loads(line) for line in logs[name].splitlines() if line.startswith("{")]
        return {line["event"]: line["question"] for line in lines if "question" in line}

    bot, worker = events("bot_slack.log"), events("worker_0.log")
    assert {"taken in", "shown"} <= set(bot)
    assert "a question was answered" in worker
    assert len({*bot.values(), *worker.values()}) == 1
