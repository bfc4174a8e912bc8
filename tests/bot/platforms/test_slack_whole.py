"""Each of Slack's faults, all the way: fake Slack, bot, queue, worker with the echo engine, and one right message.

What grows step by step, or has a text of its own, is answered by a script instead, in `test_slack_sending.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import redis
import redis.asyncio

from contract import names
from contract.question import question_id
from tests.bot.conftest import MakeSettings, running_bot, until
from tests.bot.platforms.slack_stage import (
    BROKEN_CALLS,
    BROKEN_IDS,
    TIME_SCALE,
    entered,
    events_url,
    happen,
    slack_platform,
    slack_settings,
)
from tests.bot.platforms.slack_worker import CHARTER_QUESTION, HOLIDAYS_QUESTION, EchoWorker, ask, right
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import remove_proxies, web_client

RULES = Rules(ack_timeout_s=0.4, retry_delays_s=(0.0, *[15.0] * 15))
"""What nobody took for want of a link comes again every 0.3 s: oftener than Slack, so that nobody has to wait long."""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoWorker]:
    """One worker for all tests: questions differ by the time at which they were written."""
    with EchoWorker(tmp_path_factory.mktemp("worker")) as one:
        yield one


@pytest.fixture(autouse=True)
def _nothing_left_over(worker: EchoWorker) -> None:
    """No test shows what the one before it left; the worker's own registration stays."""
    with redis.Redis.from_url(worker.url) as client:
        for key in client.scan_iter("fennel:*"):
            client.delete(key)


@pytest.fixture
async def bot(fake: FakeSlack, make_settings: MakeSettings, worker: EchoWorker) -> Any:
    """A bot between the two, connected."""
    settings = make_settings(worker.url, slack=slack_settings(fake, link_timeout_s=1.0))
    async with running_bot(slack_platform(settings, ping_interval_s=0.3), settings):
        await fake.eventually(lambda: fake.connected() == 1)
        yield


# --- events


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("kind", ["app_mention", "dm"])
async def test_a_question_is_answered(fake: FakeSlack, kind: str) -> None:
    """A mention and its twin, and a direct message, get the answer; the status line goes when it comes."""
    asked = fake.happen(kind, text=HOLIDAYS_QUESTION)
    await fake.eventually(lambda: fake.visible_status(asked["channel"], asked["ts"]) == "Thinking…")
    await right(fake, asked)
    assert fake.visible_status(asked["channel"], asked["ts"]) == ""
    assert fake.sends_above_rate() == []


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("duplicate", {}),
        ("held", {}),
        ("lost_ack", {}),
        ("two_sockets", {}),
        ("disconnect_after", {"reason": "warning"}),
        ("disconnect_after", {"reason": "refresh_requested"}),
        ("disconnect_after", {"reason": "link_disabled"}),
        ("disconnect_after", {"reason": "too_many_websockets"}),
        ("close_after", {"code": 1000}),
        ("close_after", {"code": 1001}),
        ("close_after", {"code": 1012}),
        ("abort_after", {}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else value,
)
async def test_an_event_with_a_fault_is_one_question(fake: FakeSlack, name: str, detail: dict[str, Any]) -> None:
    """Twice, late, over two links, unacknowledged, or with the last breath of a link: it is answered once."""
    fake.fail("event", name, **detail)
    asked = ask(fake)
    # What is held back comes when something else has been delivered.
    later = ask(fake, user="U3")
    await right(fake, asked)
    await right(fake, later)


@pytest.mark.usefixtures("bot")
async def test_an_event_that_comes_over_the_next_link_too_is_one_question(fake: FakeSlack) -> None:
    """Taken over a link that broke before the acknowledgement, it comes again over the next one and is known."""
    fake.fail("event", "abort_after")
    asked = ask(fake, twin=False)
    await right(fake, asked)
    (delivery,) = [one for one in fake.deliveries.all if one.event_id == asked["event_ids"][0]]
    assert len({socket for attempt in delivery.attempts for socket in attempt.sockets}) == 2


@pytest.mark.usefixtures("bot")
async def test_an_edit_that_overtakes_its_question_is_answered(fake: FakeSlack) -> None:
    """The edit arrives before the message that it changed: the question is answered once, as it reads now."""
    fake.fail("event", "held")
    asked = fake.happen("app_mention", text=CHARTER_QUESTION, twin=False)
    fake.happen("edit", channel="C1", ts=asked["ts"], text=f"<@UBOT> {HOLIDAYS_QUESTION}")
    await right(fake, asked)


@pytest.mark.usefixtures("bot")
async def test_a_deletion_that_overtakes_its_question_harms_nothing(fake: FakeSlack, worker: EchoWorker) -> None:
    """The deletion arrives before the message: nothing is said where nothing stands, and nothing stays open."""
    fake.fail("event", "held")
    asked = fake.happen("app_mention", text=HOLIDAYS_QUESTION, twin=False)
    fake.happen("delete", channel="C1", ts=asked["ts"])
    await right(fake, ask(fake))
    async with redis.asyncio.Redis.from_url(worker.url, decode_responses=True) as client:
        await until(lambda: _ended(client, asked))
    assert fake.answers("C1", asked["ts"]) == []


@pytest.mark.usefixtures("bot")
async def test_a_deleted_question_stops_its_answer(fake: FakeSlack, worker: EchoWorker) -> None:
    """Whoever deletes a question while it is being answered frees the worker at once, and nothing is said."""
    async with redis.asyncio.Redis.from_url(worker.url, decode_responses=True) as client:
        asked = fake.happen("app_mention", text=CHARTER_QUESTION)
        key = names.job_key(_id(asked))
        await until(lambda: _is(client, key, "status", "started"))
        fake.happen("delete", channel="C1", ts=asked["ts"])
        await until(lambda: _is(client, names.delivery_key(_id(asked)), "outcome", "stopped"))
        await until(lambda: _ended(client, asked))
    assert fake.answers("C1", asked["ts"]) == []


def _id(asked: dict[str, Any]) -> str:
    return question_id("slack", "T1", asked["channel"], asked["ts"])


async def _is(client: redis.asyncio.Redis, key: str, field: str, value: str) -> bool:
    return bool(await client.hget(key, field) == value)


async def _ended(client: redis.asyncio.Redis, asked: dict[str, Any]) -> bool:
    """Whether the question was taken in and is not open any more."""
    is_known = await client.exists(names.question_key(_id(asked)))
    return bool(is_known) and await client.zscore(names.open_key("slack"), _id(asked)) is None


# --- the link


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(
    "broken",
    [
        {"action": "disconnect", "reason": "warning"},
        {"action": "disconnect", "reason": "refresh_requested"},
        {"action": "disconnect", "reason": "link_disabled"},
        {"action": "disconnect", "reason": "too_many_websockets"},
        {"action": "close", "code": 1000},
        {"action": "close", "code": 1001},
        {"action": "close", "code": 1012},
        {"action": "abort"},
        {"action": "black_hole"},
    ],
    ids=lambda broken: str(broken.get("reason") or broken.get("code") or broken["action"]),
)
async def test_a_broken_link_loses_nothing(fake: FakeSlack, broken: dict[str, Any]) -> None:
    """Whatever ends a link, questions from before, meanwhile and afterwards are answered, each once."""
    asked = [ask(fake)]
    fake.happen("link", **broken)
    asked.append(ask(fake, user="U3"))
    await fake.eventually(lambda: fake.deliveries.sockets.accepted >= 2)
    asked.append(ask(fake))
    for one in asked:
        await right(fake, one)


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("stale_ticket", {}),
        ("http", {"status": 500}),
        ("ratelimited", {"retry_after_s": 1}),
        ("error", {"error": "invalid_auth"}),
        ("broken_json", {}),
        ("drop", {}),
        ("slow", {"delay_s": 0.7}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_link_that_is_hard_to_renew_comes_back(fake: FakeSlack, name: str, detail: dict[str, Any]) -> None:
    """Slack gives a URL late, none, or one that does not work: the link comes back, and nothing is lost."""
    fake.fail("apps.connections.open", name, **detail)
    fake.happen("link", action="close", code=1001)
    await right(fake, ask(fake))
    assert len(entered(fake, "apps.connections.open")) >= 2


async def test_too_many_links_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings, worker: EchoWorker
) -> None:
    """While other programs have all the links that an app may have, the bot tries; then it serves."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=TIME_SCALE, rules=Rules(ack_timeout_s=0.5, max_connections=1)) as fake:
        opened = await web_client(fake).apps_connections_open(app_token=fake.urls()["FENNEL_SLACK__APP_TOKEN"])
        settings = make_settings(worker.url, slack=slack_settings(fake))
        async with aiohttp.ClientSession() as session, session.ws_connect(opened["url"]) as theirs:
            assert (await theirs.receive_json())["type"] == "hello"
            async with running_bot(slack_platform(settings, ping_interval_s=0.3), settings):
                await fake.eventually(lambda: fake.deliveries.sockets.accepted >= 2)
                await theirs.close()
                await fake.eventually(lambda: fake.connected() == 1)
                await right(fake, ask(fake))


# --- calls


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(("name", "detail"), BROKEN_CALLS, ids=BROKEN_IDS)
async def test_a_broken_post_leaves_one_answer(fake: FakeSlack, name: str, detail: dict[str, Any]) -> None:
    """Whether Slack took a post or not before it broke: in the end the answer stands there once."""
    fake.fail("chat.postMessage", name, **detail)
    # The sentences of this answer are shown at once: it is posted, not streamed.
    fake.fail("chat.startStream", "error", times=9, error="channel_type_not_supported")
    await right(fake, ask(fake))


@pytest.mark.parametrize("commit", [True, False], ids=["taken", "lost"])
async def test_a_workspace_that_recognises_posts_shows_one_answer(
    monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings, worker: EchoWorker, commit: bool
) -> None:
    """Where Slack takes a second post with the same client_msg_id for the first one, nothing else changes."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=TIME_SCALE, rules=Rules(ack_timeout_s=0.5, dedupe_client_msg_id=True)) as fake:
        settings = make_settings(worker.url, slack=slack_settings(fake))
        async with running_bot(slack_platform(settings), settings):
            await fake.eventually(lambda: fake.connected() == 1)
            fake.fail("chat.startStream", "error", times=9, error="channel_type_not_supported")
            fake.fail("chat.postMessage", "drop", commit=commit)
            await right(fake, ask(fake))


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("error", ["channel_not_found", "is_archived", "not_in_channel"])
async def test_a_place_that_is_closed_harms_nobody_else(fake: FakeSlack, worker: EchoWorker, error: str) -> None:
    """An answer that Slack refuses for good is given up, and the next question is answered."""
    for method in ("chat.postMessage", "chat.startStream"):
        fake.fail(method, "error", error=error)
    refused = ask(fake)
    async with redis.asyncio.Redis.from_url(worker.url, decode_responses=True) as client:
        await until(lambda: _ended(client, refused))
    fake.faults.clear()
    await right(fake, ask(fake))
    assert fake.answers("C1", refused["ts"]) == []


# --- HTTP mode


@pytest.mark.parametrize("fault", ["duplicate", "bad_signature", "stale", "unsigned", None])
async def test_http_mode_answers_what_slack_says(
    fake: FakeSlack, make_settings: MakeSettings, worker: EchoWorker, fault: str | None
) -> None:
    """Over HTTP a question is answered once; a delivery that is not Slack's is refused and delivered well again."""
    section = slack_settings(fake, mode="http", app_token="")
    settings = make_settings(worker.url, slack=section)
    platform = slack_platform(settings)
    async with running_bot(platform, settings):
        await fake.eventually(lambda: events_url(platform))
        await happen(fake, "subscribe_url", url=events_url(platform))
        if fault:
            fake.fail("event", fault)
        asked = ask(fake)
        await right(fake, asked)
        failures = [attempt.failure for one in fake.deliveries.all for attempt in one.attempts]
        assert failures.count("http_error") == (fault in ("bad_signature", "stale", "unsigned"))
        await happen(fake, "subscribe_url", url=None)
