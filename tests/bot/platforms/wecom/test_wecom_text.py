"""WeCom's callbacks become chat messages, and answers become messages that WeCom takes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.lock import AccountLock
from bot.platforms.wecom.events import EventError, to_feedback, to_message
from bot.platforms.wecom.markup import neutral
from bot.platforms.wecom.pace import Pace, Rate
from bot.platforms.wecom.records import Record, Records
from bot.platforms.wecom.sentences import NOTES_BYTES, SENTENCES
from tests.bot.conftest import until
from tests.valkey import ValkeyServer

# As recorded from the vendor's page 101463.
GROUP_TEXT: dict[str, Any] = {
    "msgid": "MSGID",
    "aibotid": "AIBOTID",
    "chatid": "CHATID",
    "chattype": "group",
    "from": {"userid": "USERID"},
    "msgtype": "text",
    "text": {"content": "@RobotA hello robot"},
    "create_time": 1700000000,
    "response_url": "https://qyapi.weixin.qq.com/cgi-bin/aibot/response?response_code=CODE",
}


def text_of(body: dict[str, Any], bot_name: str = "fennel") -> str | None:
    """The text of the message that this body becomes."""
    message = to_message(body, bot_name, {}, 1700000000.5)
    return message.text if message else None


def test_a_text_in_a_group_becomes_a_message() -> None:
    """Each field of a recorded callback finds its place, and the time keeps the order of arrival within its second."""
    message = to_message(GROUP_TEXT, "fennel", {"req_id": "REQ"}, 1700000000.25)
    assert message is not None
    assert (message.platform, message.tenant, message.channel, message.thread) == (
        "wecom",
        "AIBOTID",
        "CHATID",
        "CHATID",
    )
    assert (message.message_id, message.sender, message.text) == ("MSGID", "USERID", "hello robot")
    assert (message.at_s, message.mentions_us, message.is_direct) == (1700000000.25, True, False)
    assert message.address == {"req_id": "REQ"}


@pytest.mark.parametrize(("now_s", "at_s"), [(1700000005.0, 1700000001.0), (1699999990.0, 1700000000.0)])
def test_a_clock_that_is_off_moves_a_message_by_no_more_than_its_second(now_s: float, at_s: float) -> None:
    """Our clock decides within WeCom's second and never beyond it."""
    message = to_message(GROUP_TEXT, "fennel", {}, now_s)
    assert message is not None
    assert message.at_s == at_s


@pytest.mark.parametrize(
    ("text", "bot_name", "expected"),
    [
        ("@茴香 怎么部署？", "茴香", "怎么部署？"),
        ("@茴香怎么部署？", "茴香", "怎么部署？"),
        ("@茴香\u2005怎么部署？", "茴香", "怎么部署？"),
        ("怎么部署？ @茴香", "茴香", "怎么部署？"),
        ("@RobotA hello", "fennel", "hello"),
        ("  @RobotA  hello @Bob", "fennel", "hello @Bob"),
        ("ask a@fennelseed.org", "fennel", "ask a@fennelseed.org"),
        ("@RobotA", "fennel", ""),
        ("no mention", "fennel", "no mention"),
    ],
)
def test_the_mention_of_us_is_taken_out(text: str, bot_name: str, expected: str) -> None:
    """The bot's name goes wherever it stands; without it, whatever is mentioned first."""
    assert text_of(GROUP_TEXT | {"text": {"content": text}}, bot_name) == expected


def test_a_single_chat_keeps_its_text_and_has_the_person_for_a_channel() -> None:
    """In a single chat nothing is a mention of us, and there is no chat id."""
    body = {name: part for name, part in GROUP_TEXT.items() if name != "chatid"} | {"chattype": "single"}
    message = to_message(body, "fennel", {}, 0.0)
    assert message is not None
    assert (message.channel, message.text, message.is_direct) == ("USERID", "@RobotA hello robot", True)


def test_voice_mixed_and_quotes_are_words() -> None:
    """A voice message is its text, a mixed one its texts, a quote stands below the question or is the question."""
    assert text_of(GROUP_TEXT | {"chattype": "single", "msgtype": "voice", "voice": {"content": "hi"}}) == "hi"
    items = [
        {"msgtype": "text", "text": {"content": "@RobotA what"}},
        {"msgtype": "image", "image": {"url": "u"}},
        {"msgtype": "text", "text": {"content": "is this?"}},
    ]
    assert text_of(GROUP_TEXT | {"msgtype": "mixed", "mixed": {"msg_item": items}}) == "what\nis this?"
    quote = {"msgtype": "text", "text": {"content": "a\nb"}}
    assert text_of(GROUP_TEXT | {"quote": quote}) == "hello robot\n\n> a\n> b"
    assert text_of(GROUP_TEXT | {"quote": quote, "text": {"content": "@RobotA"}}) == "a\nb"
    assert text_of(GROUP_TEXT | {"quote": {"msgtype": "image", "image": {}}}) == "hello robot"


@pytest.mark.parametrize(
    "broken",
    [
        {"msgid": ""},
        {"msgid": 3},
        {"from": "USERID"},
        {"create_time": "now"},
        {"create_time": True},
        {"create_time": 10**400},
        {"create_time": float("nan")},
    ],
)
def test_a_callback_without_what_each_has_is_refused(broken: dict[str, Any]) -> None:
    """No id, no sender or no possible time: no message."""
    with pytest.raises(EventError):
        to_message(GROUP_TEXT | broken, "fennel", {}, 0.0)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda one: (
            st.lists(one)
            | st.dictionaries(
                st.sampled_from(["msgid", "from", "text", "content", "msg_item", "quote", "userid", "event"]), one
            )
        ),
    )
)
def test_any_body_is_a_message_or_refused(part: Any) -> None:
    """Whatever stands where WeCom's parts stand, the translation gives a message, nothing, or EventError."""
    for name in ("text", "from", "quote", "mixed", "create_time", "msgid", "chatid"):
        body = GROUP_TEXT | {name: part, "msgtype": "mixed" if name == "mixed" else "text"}
        try:
            to_message(body, "fennel", {}, 0.0)
        except EventError:
            continue


def test_feedback_is_good_bad_or_none() -> None:
    """Type 1 is good, 2 bad; one that is taken back, or of no answer, is none."""
    event = {"eventtype": "feedback_event", "feedback_event": {"id": "q-1", "type": 1, "content": "thanks"}}
    body = {"msgtype": "event", "from": {"userid": "USERID"}, "create_time": 1700000000, "event": event}
    feedback = to_feedback(body)
    assert feedback is not None
    assert (feedback.question_id, feedback.verdict, feedback.reason, feedback.by) == ("q-1", "good", "thanks", "USERID")
    for detail in ({"id": "q-1", "type": 3}, {"id": "", "type": 1}, {"id": "q-1", "type": []}, None):
        assert to_feedback(body | {"event": {"eventtype": "feedback_event", "feedback_event": detail}}) is None


# --- markup


def test_a_tag_that_wecom_folds_away_is_shown() -> None:
    """An answer about <think> does not vanish, and a beginning stays the beginning."""
    assert neutral("<think>a</Think> < 3") == "＜think>a＜/Think> < 3"


def test_the_notes_fit_into_their_room_and_both_languages_have_them() -> None:
    """Each sentence exists in both languages and leaves room for another one."""
    assert SENTENCES["en"].keys() == SENTENCES["zh"].keys()
    longest = sorted(len(text.encode()) for texts in SENTENCES.values() for text in texts.values())
    assert sum(longest[-3:]) < NOTES_BYTES


# --- pace


def test_an_end_finds_room_when_everything_else_has_to_wait() -> None:
    """Refreshes stop first, then starts; an end waits only when the whole room is used."""
    pace = Pace(Rate(per_min=10, per_hour=1000))
    seen = []
    for _ in range(10):
        seen.append([pace.wait_s("c", "refresh") > 0, pace.wait_s("c", "start") > 0, pace.wait_s("c", "end") > 0])
        pace.charge("c")
    assert seen[0] == [False, False, False]
    assert seen[6] == [True, False, False]
    assert seen[8] == [True, True, False]
    assert 60 < pace.wait_s("c", "end") <= 61
    assert pace.wait_s("another chat", "end") == 0


def test_the_hour_is_kept_too() -> None:
    """With the minute's room free, the hour's may be used up."""
    pace = Pace(Rate(per_min=100, per_hour=10))
    for _ in range(10):
        pace.charge("c")
    assert pace.wait_s("c", "end") > 3_000


def test_what_did_not_go_out_is_not_counted() -> None:
    """A refund makes room again."""
    pace = Pace(Rate(per_min=1))
    pace.charge("c")
    assert pace.wait_s("c", "end") > 0
    pace.refund("c")
    assert pace.wait_s("c", "end") == 0


async def test_room_comes_back_with_time() -> None:
    """After the window everything may go again."""
    pace = Pace(Rate(per_min=1, minute_s=0.05))
    pace.charge("c")
    assert pace.wait_s("c", "end") > 0
    await until(lambda: asyncio.sleep(0, pace.wait_s("c", "end") == 0))


# --- records


async def test_a_record_is_read_as_it_was_written(valkey: ValkeyServer, redis_client: redis.asyncio.Redis) -> None:
    """A record survives the way into Redis and back; an unknown question has an empty one."""
    records = Records(valkey.address)
    lock = AccountLock(redis_client, "wecom", "bot")
    await lock.acquire()
    records.hold(lock)
    written = Record(1.5, closed=True, kept="字", plan="p", in_stream=True, done=2, tries=1)
    await records.write("q-1", written)
    assert await records.load("q-1") == written
    assert await records.load("q-2") == Record()
    await records.close()


def test_a_plan_is_kept_for_the_same_end_and_made_anew_for_another() -> None:
    """The same end goes on where it was; another one knows that the first has closed the stream."""
    record = Record(1.0).planned("a", stream_takes_more=True)
    assert record.in_stream
    shown = record.part_shown()
    assert shown.planned("a", stream_takes_more=True) == shown
    other = shown.planned("b", stream_takes_more=True)
    assert (other.in_stream, other.closed, other.done) == (False, True, 0)
