"""The Socket Mode link: what breaks it, what brings it back, and when it is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.chat_event import FeedbackGiven, MessageDeleted, MessageEdited
from bot.chat_message import ChatMessage
from bot.platform import LinkDeadError, PlatformError
from bot.platforms.slack import SlackPlatform
from tests.bot.conftest import MakeSettings
from tests.bot.platforms.bot_program import bot_program
from tests.bot.platforms.slack_stage import entered, listening, slack_platform, slack_settings
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack.rules import BOT_SCOPES
from tests.fakes.slack_clients import remove_proxies, web_client
from tests.valkey import ValkeyServer


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """A fake Slack that delivers again after 0.5 s, 1.1 s and 4.1 s."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=0.01, rules=Rules(ack_timeout_s=0.5)) as server:
        yield server


@pytest.fixture
def platform(fake: FakeSlack, make_settings: MakeSettings) -> SlackPlatform:
    """A platform whose link is dead after 1 s, for good after 2 s."""
    return slack_platform(make_settings(slack=slack_settings(fake, link_timeout_s=1.0)))


async def test_what_could_not_be_taken_comes_again(fake: FakeSlack, platform: SlackPlatform) -> None:
    """An event that Redis did not take is not acknowledged, and Slack delivers it again."""
    async with listening(fake, platform) as receiver:
        receiver.broken = 1
        asked = fake.happen("app_mention", text="how?", twin=False)
        await fake.eventually(lambda: not fake.unacked_events())
        assert receiver.texts() == ["how?"]
        (delivery,) = [one for one in fake.deliveries.all if one.event_id == asked["event_ids"][0]]
        assert len(delivery.attempts) == 2


@pytest.mark.parametrize(
    "kind", ["reaction_added", "member_joined_channel", "team_join", "app_home_opened", "new_thing"]
)
async def test_every_kind_of_event_is_acknowledged(fake: FakeSlack, platform: SlackPlatform, kind: str) -> None:
    """Also what means nothing to us does not come three times more."""
    async with listening(fake, platform) as receiver:
        fake.happen("event", event={"type": kind, "user": "U2", "channel": "C1"})
        await fake.eventually(lambda: fake.deliveries.all and not fake.unacked_events())
        assert receiver.events == []
        assert len(fake.deliveries.all[0].attempts) == 1


async def test_edits_deletions_and_clicks_arrive(fake: FakeSlack, platform: SlackPlatform) -> None:
    """Besides messages, a chat has edits, deletions and clicks; our own edits and posts are not among them."""
    client = web_client(fake)
    async with listening(fake, platform) as receiver:
        asked = fake.happen("app_mention", text="how?")
        await fake.eventually(lambda: len(receiver.events) == 2)
        fake.happen("edit", channel="C1", ts=asked["ts"], text="<@UBOT> why?")
        await fake.eventually(lambda: len(receiver.events) == 3)
        fake.happen("delete", channel="C1", ts=asked["ts"])
        await fake.eventually(lambda: len(receiver.events) == 4)
        button = {"type": "button", "action_id": "fennel_feedback", "value": "good:q-1"}
        posted = await client.chat_postMessage(
            channel="C1", text="a", blocks=[{"type": "actions", "elements": [button]}]
        )
        await client.chat_update(channel="C1", ts=posted["ts"], text="b", blocks=posted["message"]["blocks"])
        fake.happen("click", channel="C1", ts=posted["ts"], user="U3")
        await fake.eventually(lambda: len(receiver.events) == 5)
        await fake.eventually(lambda: not fake.unacked_events())
        *_, edited, deleted, clicked = receiver.events
        assert isinstance(edited, MessageEdited)
        assert (edited.message.text, edited.message.message_id) == ("why?", asked["ts"])
        assert deleted == MessageDeleted("slack", "T1", "C1", asked["ts"])
        assert isinstance(clicked, FeedbackGiven)
        assert (clicked.question_id, clicked.by, clicked.verdict) == ("q-1", "U3", "good")


async def test_who_asks_again_is_known_by_name(fake: FakeSlack, platform: SlackPlatform) -> None:
    """Nothing waits for a name: it is asked for beside the first question, and the next one has it."""
    async with listening(fake, platform) as receiver:
        fake.happen("app_mention", text="one?", twin=False)
        await fake.eventually(lambda: entered(fake, "users.info") and receiver.events)
        fake.happen("message", text="not for us")
        await fake.eventually(lambda: len(receiver.events) == 2)
        await fake.eventually(lambda: "Ada" in str([line.payload for line in fake.journal if line.direction == "out"]))
        fake.happen("app_mention", text="two?", twin=False)
        await fake.eventually(lambda: len(receiver.events) == 3)
        names = [event.sender_name for event in receiver.events if isinstance(event, ChatMessage)]
        assert names == ["", "", "Ada"]
        assert len(entered(fake, "users.info")) == 1


async def test_names_are_not_asked_for_without_the_scope(
    monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings
) -> None:
    """Where the app may not read names, it stops asking, and everybody stays without."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=0.01, rules=Rules(ack_timeout_s=0.5), scopes=set(BOT_SCOPES) - {"users:read"}) as fake:
        platform = slack_platform(make_settings(slack=slack_settings(fake)))
        async with listening(fake, platform) as receiver:
            fake.happen("app_mention", text="one?", twin=False)
            await fake.eventually(lambda: "missing_scope" in str([line.payload for line in fake.journal]))
            for user in ("U3", "U4", "U5", "U6"):
                fake.happen("app_mention", text="two?", user=user, twin=False)
                await fake.eventually(lambda: not fake.unacked_events())
            assert len(receiver.events) == 5
        # The refusal may still be on its way when the second person asks.
        assert len(entered(fake, "users.info")) <= 2


# --- coming back, and giving up


@pytest.fixture
def impatient(fake: FakeSlack, make_settings: MakeSettings) -> SlackPlatform:
    """A platform whose link is dead after 0.4 s, for good after 0.8 s."""
    return slack_platform(make_settings(slack=slack_settings(fake, link_timeout_s=0.4)), ping_interval_s=0.2)


@pytest.mark.parametrize(
    ("method", "fault", "detail"),
    [
        ("auth.test", "http", {"status": 500}),
        ("auth.test", "drop", {}),
        ("apps.connections.open", "http", {"status": 500}),
        ("apps.connections.open", "broken_json", {}),
        ("apps.connections.open", "ratelimited", {"retry_after_s": 1}),
    ],
)
async def test_a_bad_start_is_got_over(
    fake: FakeSlack, platform: SlackPlatform, method: str, fault: str, detail: dict[str, Any]
) -> None:
    """A Slack that stumbles while we start is asked again."""
    fake.fail(method, fault, **detail)
    async with listening(fake, platform) as receiver:
        fake.happen("app_mention", text="how?")
        await fake.eventually(lambda: receiver.texts() == ["how?"])


@pytest.mark.parametrize(
    ("method", "sentence"),
    [("auth.test", "FENNEL_SLACK__BOT_TOKEN"), ("apps.connections.open", "FENNEL_SLACK__APP_TOKEN")],
)
async def test_a_wrong_token_is_named(fake: FakeSlack, platform: SlackPlatform, method: str, sentence: str) -> None:
    """Where Slack refuses a token, we stop at once and say which."""
    fake.fail(method, "error", error="invalid_auth")
    with pytest.raises(LinkDeadError, match=f"invalid_auth.*{sentence}"):
        async with listening(fake, platform):
            pass


async def test_a_link_that_does_not_come_back_is_dead(fake: FakeSlack, impatient: SlackPlatform) -> None:
    """After twice the time the process is to end, so that its supervisor acts."""
    async with listening(fake, impatient) as receiver:
        fake.fail("link", "refuse", times=1_000)
        fake.happen("link", action="abort")
        with pytest.raises(LinkDeadError, match="no link to Slack for"):
            await asyncio.wait_for(receiver.listening, 10)


async def test_a_dead_link_ends_the_process(fake: FakeSlack, valkey: ValkeyServer, tmp_path: Path) -> None:
    """`python -m bot slack` whose link stays dead says so in one sentence and exits with 1, for supervisord to act."""
    settings = {**fake.urls(), "FENNEL_SLACK__LINK_TIMEOUT_S": "0.3"}
    async with bot_program("slack", valkey, tmp_path, **settings) as process:
        await fake.eventually(lambda: fake.connected() == 1, 20)
        fake.fail("link", "refuse", times=1_000)
        fake.happen("link", action="abort")
        _none, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert "no link to Slack for" in said.decode().splitlines()[-1]


async def test_a_slack_that_is_away_is_not_waited_for_for_ever(make_settings: MakeSettings, fake: FakeSlack) -> None:
    """Without any Slack to be reached, the link is dead after twice the time."""
    section = slack_settings(fake, api_url="http://127.0.0.1:9/api/", link_timeout_s=0.2)
    platform = slack_platform(make_settings(slack=section))
    with pytest.raises(LinkDeadError, match="Slack cannot be reached"):
        await platform.listen(lambda _event: asyncio.sleep(0))
    await platform.close()


async def test_socket_mode_that_is_switched_off_is_told(fake: FakeSlack, platform: SlackPlatform) -> None:
    """Links that Slack closes at once, again and again, are not opened for ever."""
    async with listening(fake, platform) as receiver:
        # A reason that comes over a link that is being replaced is not read: a few more than needed are sent.
        for number in range(1, 16):
            await fake.eventually(lambda: receiver.listening.done() or fake.deliveries.sockets.accepted >= number)  # noqa: B023
            await fake.eventually(lambda: receiver.listening.done() or fake.connected())
            if receiver.listening.done():
                break
            fake.happen("link", action="disconnect", reason="link_disabled")
        with pytest.raises(LinkDeadError, match="switched off"):
            await asyncio.wait_for(receiver.listening, 10)


async def test_close_ends_the_link(fake: FakeSlack, platform: SlackPlatform) -> None:
    """A closed platform stops listening and lets go of its connections; a second close does nothing."""
    async with listening(fake, platform):
        await platform.close()
    await fake.eventually(lambda: not fake.deliveries.sockets.sockets)
    await platform.close()


async def test_no_secret_reaches_the_log(
    fake: FakeSlack, impatient: SlackPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither tokens nor tickets nor what people write stand in the log, whatever goes wrong."""
    caplog.set_level("INFO")
    async with listening(fake, impatient) as receiver:
        receiver.broken = 1
        fake.happen("app_mention", text="my secret sorrow")
        await fake.eventually(lambda: not fake.unacked_events())
        fake.fail("apps.connections.open", "stale_ticket")
        fake.happen("link", action="abort")
        await fake.eventually(lambda: fake.deliveries.sockets.accepted >= 2)
    ours = [record for record in caplog.records if not record.name.startswith(("aiohttp", "asyncio"))]
    text = "\n".join(str(record.msg) + str(record.exc_text) for record in ours)
    assert "ticket=…" in text
    for secret in ("xoxb-fake", "xapp-fake", "secret sorrow", "Traceback"):
        assert secret not in text


@pytest.mark.parametrize(("mode", "missing"), [("http", "signing_secret"), ("socket", "app_token")])
def test_a_mode_without_its_secret_does_not_start(
    fake: FakeSlack, make_settings: MakeSettings, mode: str, missing: str
) -> None:
    """HTTP mode without a signing secret, and Socket Mode without an app token, are refused with a sentence."""
    section = slack_settings(fake, mode=mode, **{missing: ""})
    with pytest.raises(PlatformError, match=f"needs FENNEL_SLACK__{missing.upper()}"):
        slack_platform(make_settings(slack=section))
