"""Answers on Slack: how they grow, and what may go wrong with each call while the asker still sees one whole answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio

from contract.question import Question
from tests.bot.answering import finish, publish
from tests.bot.conftest import MakeSettings
from tests.bot.platforms.slack_script import WHOLE, WORDS, at_once, growing, grows, seen
from tests.bot.platforms.slack_stage import BROKEN_CALLS, answered, entered, serving, shown, slack_settings
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import remove_proxies

RULES = Rules(ack_timeout_s=1.0)


# --- how an answer grows


async def test_an_answer_is_streamed(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """Each step brings only what is new, and the end has sources, buttons and metadata; it is one message."""
    async with serving(fake, make_settings(slack=slack_settings(fake)), grows(fake, 5)):
        (answer,) = await shown(fake, fake.happen("app_mention"))
        assert answer.text == WHOLE
        assert answer.stream_state == "stopped"
        assert "Holidays" in answer.shown
        assert answer.buttons == ["fennel_feedback"]
        assert answer.edits == []
    (start,) = entered(fake, "chat.startStream")
    assert (start["recipient_team_id"], start["recipient_user_id"]) == ("T1", "U2")
    pieces = [start, *entered(fake, "chat.appendStream"), *entered(fake, "chat.stopStream")]
    assert [piece["chunks"][0]["text"].strip() for piece in pieces] == [
        "word0",
        "word1",
        "word2",
        "word3",
        "word4",
        pieces[-1]["chunks"][0]["text"].strip(),
    ]
    assert fake.sends_above_rate() == []


async def test_an_answer_of_seven_minutes_arrives_whole(
    monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings
) -> None:
    """Before Slack ends a stream by itself it becomes an ordinary message, which is edited from then on."""
    remove_proxies(monkeypatch)
    scale = 0.003
    with FakeSlack(time_scale=scale, rules=RULES) as fake:

        async def script(client: redis.asyncio.Redis, question: Question) -> None:
            loop = asyncio.get_running_loop()
            text, end_s = "", loop.time() + 7 * 60 * scale
            while loop.time() < end_s:
                text += "more "
                await publish(client, question, text)
                await asyncio.sleep(0.03)
            await finish(client, answered(question, f"{text}end."))

        times: dict[str, Any] = {"minute_s": 60 * scale, "rotate_after_s": 230 * scale}
        async with serving(fake, make_settings(slack=slack_settings(fake)), script, **times):
            (answer,) = await shown(fake, fake.happen("app_mention"))
            assert answer.shown.count("more") >= 20
            assert "end." in answer.shown
            assert answer.stream_state == "replaced"
            assert len(answer.edits) >= 2
        assert all("message_not_in" not in str(line.payload) for line in fake.journal)
        assert fake.sends_above_rate() == []


async def test_a_table_is_streamed_when_it_is_complete(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """Rows are held back until the table is whole, so that the stream goes on and nothing is rewritten."""
    table = "| name | days |\n|---|---|\n| full time | 30 |\n"
    whole = f"Days off:\n\n{table}\nThat is all."

    async def script(client: redis.asyncio.Redis, question: Question) -> None:
        for end in (9, 30, 40, len(whole) - 5):
            await publish(client, question, whole[:end])
            await fake.eventually(lambda: seen(fake, question))
        await finish(client, answered(question, whole))

    async with serving(fake, make_settings(slack=slack_settings(fake)), script):
        (answer,) = await shown(fake, fake.happen("app_mention"))
    assert "```\nname      | days\nfull time | 30\n```\n\nThat is all." in answer.shown
    assert (answer.edits, answer.stream_state) == ([], "stopped")


async def test_a_rewritten_text_is_shown_as_it_is_now(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """A stream can only be added to: when the text becomes another one, the message is edited."""
    script = growing(fake, ["One thing", "Another thing"], "Something else.")
    async with serving(fake, make_settings(slack=slack_settings(fake)), script):
        (answer,) = await shown(fake, fake.happen("app_mention"))
        assert answer.shown.startswith("Something else.")
        assert "thing\n" not in answer.shown


@pytest.mark.parametrize("error", ["channel_type_not_supported"])
async def test_without_streams_messages_are_edited(fake: FakeSlack, make_settings: MakeSettings, error: str) -> None:
    """Where Slack has no streams for us, an ordinary message grows by edits."""
    fake.fail("chat.startStream", "error", error=error)
    async with serving(fake, make_settings(slack=slack_settings(fake)), grows(fake)):
        (answer,) = await shown(fake, fake.happen("app_mention"))
        assert answer.shown.startswith(WHOLE)
        assert answer.stream_state is None
        assert len(answer.edits) >= 3
        assert len(await shown(fake, fake.happen("app_mention"))) == 1
    assert len(entered(fake, "chat.startStream")) == 1


async def test_a_person_stops_a_stream(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """A stream that a person stopped grows no more; the answer's end is in the same message all the same."""
    fake.fail("chat.appendStream", "stopped_by_user")

    async def script(client: redis.asyncio.Redis, question: Question) -> None:
        await publish(client, question, WORDS[0])
        await fake.eventually(lambda: seen(fake, question))
        await publish(client, question, WORDS[0] + WORDS[1])
        await fake.eventually(lambda: entered(fake, "chat.appendStream"))
        await finish(client, answered(question, WHOLE))

    async with serving(fake, make_settings(slack=slack_settings(fake)), script):
        (answer,) = await shown(fake, fake.happen("app_mention"))
        assert answer.shown.startswith(WHOLE)


# --- what goes wrong with a call

CALLS = [
    (method, *BROKEN_CALLS[place])
    for method in ("chat.startStream", "chat.appendStream", "chat.stopStream")
    for place in (1, 8)
]


@pytest.mark.parametrize(("method", "name", "detail"), CALLS, ids=[f"{one[0]}-{one[1]}-{one[2]}" for one in CALLS])
async def test_a_broken_call_leaves_one_whole_answer(
    fake: FakeSlack, make_settings: MakeSettings, method: str, name: str, detail: dict[str, Any]
) -> None:
    """Whether Slack carried a call out or not before it broke: in the end there is one message, and it is whole."""
    fake.fail(method, name, **detail)
    async with serving(fake, make_settings(slack=slack_settings(fake)), grows(fake)):
        asked = fake.happen("app_mention")
        (answer,) = await shown(fake, asked)
        assert answer.shown.startswith(WHOLE)
        assert answer.shown.count("word3") == 1
        assert answer.buttons == ["fennel_feedback"]
    assert len(fake.answers("C1", asked["ts"])) == 1


@pytest.mark.parametrize(("name", "detail"), [BROKEN_CALLS[1], BROKEN_CALLS[8]], ids=["lost", "carried out"])
async def test_a_broken_edit_is_done_again(
    fake: FakeSlack, make_settings: MakeSettings, name: str, detail: dict[str, Any]
) -> None:
    """An edit that broke is made once more, in the same message."""
    fake.fail("chat.startStream", "error", error="channel_type_not_supported")
    fake.fail("chat.update", name, times=2, **detail)
    async with serving(fake, make_settings(slack=slack_settings(fake)), grows(fake, 1)):
        (answer,) = await shown(fake, fake.happen("app_mention"))
        assert answer.shown.startswith(WHOLE)
        await fake.eventually(lambda: len(entered(fake, "chat.update")) == 3)


@pytest.mark.parametrize(
    ("method", "end"),
    [
        ("chat.appendStream", "stream_expired"),
        ("chat.stopStream", "stream_expired"),
        ("chat.stopStream", "stopped_by_user"),
    ],
)
async def test_a_stream_that_ended_is_edited(
    fake: FakeSlack, make_settings: MakeSettings, method: str, end: str
) -> None:
    """A stream that Slack or a person ended before us shows the whole answer all the same, in the same message."""
    fake.fail(method, end)
    async with serving(fake, make_settings(slack=slack_settings(fake)), grows(fake)):
        (answer,) = await shown(fake, fake.happen("app_mention"))
        assert answer.shown.startswith(WHOLE)
        assert answer.buttons == ["fennel_feedback"]


@pytest.mark.parametrize("method", ["chat.stopStream", "chat.update"])
async def test_a_deleted_answer_is_posted_anew(fake: FakeSlack, make_settings: MakeSettings, method: str) -> None:
    """Someone deletes the message while it grows: the end of the answer is shown in a new one."""
    fake.fail(method, "message_deleted")
    if method == "chat.update":
        fake.fail("chat.startStream", "error", error="channel_type_not_supported")
    async with serving(fake, make_settings(slack=slack_settings(fake)), grows(fake, 1)):
        (answer,) = await shown(fake, fake.happen("app_mention"))
        assert answer.shown.startswith(WHOLE)


async def test_a_workspace_without_markdown_blocks_gets_mrkdwn(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """Where Slack refuses our blocks, the answer comes in the markup that it always had."""
    fake.fail("chat.postMessage", "error", error="invalid_blocks")
    async with serving(fake, make_settings(slack=slack_settings(fake)), at_once("**Yes**, [here](https://x.org).")):
        (answer,) = await shown(fake, fake.happen("app_mention"), ends=0)
        assert answer.shown.startswith("*Yes*, <https://x.org|here>.")
        assert "Holidays" in answer.shown
