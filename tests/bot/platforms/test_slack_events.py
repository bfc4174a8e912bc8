"""Slack's events in, chat events out."""

from __future__ import annotations

from typing import Any

import pytest

from bot.chat_event import FeedbackGiven, MessageDeleted, MessageEdited
from bot.chat_message import ChatMessage
from bot.platforms.slack.events import EventError, chat_event
from bot.platforms.slack.identity import Identity

ME = Identity("T1", "UBOT", "BBOT")
TS = "1610241741.000200"

# As Slack's documentation gives it.
MENTION: dict[str, Any] = {
    "client_msg_id": "f0582a78-72db-4feb-b2f3-1e47d66365c8",
    "type": "app_mention",
    "text": "<@UBOT> how many  days off do I have?",
    "user": "U222",
    "ts": TS,
    "team": "T111",
    "channel": "C111",
    "event_ts": TS,
    "blocks": [],
}


def delivered(**event: Any) -> dict[str, Any]:
    """A payload as Slack delivers it."""
    return {"type": "event_callback", "team_id": "T111", "event_id": "Ev1", "event": event}


def said(**event: Any) -> ChatMessage:
    """The message that an event gives."""
    message = chat_event(delivered(**{**MENTION, "type": "message", **event}), ME)
    assert isinstance(message, ChatMessage)
    return message


def test_a_mention_is_a_message_to_us() -> None:
    """A mention begins a thread of its own, and its text is what follows our name."""
    message = chat_event(delivered(**MENTION), ME)
    assert message == ChatMessage(
        platform="slack",
        tenant="T111",
        channel="C111",
        thread=TS,
        message_id=TS,
        sender="U222",
        sender_name="",
        text="how many days off do I have?",
        at_s=float(TS),
        mentions_us=True,
        address={"team": "T111"},
    )


def test_twins_are_the_same_message() -> None:
    """app_mention and message for one post give the same chat message."""
    twin = {**MENTION, "type": "message", "channel_type": "channel"}
    assert chat_event(delivered(**MENTION), ME) == chat_event(delivered(**twin), ME)


def test_a_reply_belongs_to_its_thread() -> None:
    """A message in a thread carries the thread's first ts, and without our name it does not mention us."""
    message = said(text="and part-time?", thread_ts="1610241000.000100")
    assert (message.thread, message.mentions_us) == ("1610241000.000100", False)


def test_a_direct_message_is_direct() -> None:
    """A direct message needs no mention."""
    message = said(channel="D2", channel_type="im", text="hello")
    assert (message.is_direct, message.mentions_us, message.thread) == (True, False, TS)


def test_someone_from_elsewhere_belongs_to_their_team() -> None:
    """In a shared channel the recipient of a stream belongs to the workspace that they are from."""
    assert said(user_team="T999").address == {"team": "T999"}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("<@UBOT|fennel> a &lt;b&gt; &amp;lt; c", "a <b> &lt; c"),
        ("see <https://x.org/a?b=1&amp;c=2>", "see https://x.org/a?b=1&c=2"),
        ("see <https://x.org|the page>", "see the page (https://x.org)"),
        ("see <http://x.org|x.org>", "see http://x.org"),
        ("in <#C9|general> by <@U3> for <!here> and <!subteam^S1|@ops>", "in #general by @U3 for @here and @ops"),
        ("hi <@UBOT>, what is 1 &lt; 2?", "hi , what is 1 < 2?"),
    ],
)
def test_text_is_as_it_was_typed(raw: str, text: str) -> None:
    """Slack's own notation for people, channels, links and escapes is undone."""
    assert said(text=raw).text == text


@pytest.mark.parametrize(
    "event",
    [
        {"user": "UBOT"},
        {"user": "U3", "bot_id": "BBOT"},
        {"subtype": "channel_join"},
        {"subtype": "channel_topic"},
        {"ts": None},
    ],
)
def test_some_messages_are_nobodys(event: dict[str, Any]) -> None:
    """Our own messages, and lines that Slack writes itself, are nothing to act on."""
    assert chat_event(delivered(**{**MENTION, "type": "message", **event}), ME) is None


def test_other_bots_are_marked() -> None:
    """What another app wrote says so."""
    assert said(subtype="bot_message", bot_id="B9", user=None).from_bot


def test_an_edit_is_the_message_as_it_is_now() -> None:
    """An edited mention keeps its id and has the new text."""
    before = {**MENTION, "type": "message"}
    after = {**before, "text": "<@UBOT> how many sick days?", "edited": {"user": "U222", "ts": "1610241750.000000"}}
    edit = delivered(
        type="message", subtype="message_changed", channel="C111", ts="9.9", message=after, previous_message=before
    )
    event = chat_event(edit, ME)
    assert isinstance(event, MessageEdited)
    assert (event.message.message_id, event.message.text) == (TS, "how many sick days?")
    assert event.message.mentions_us


@pytest.mark.parametrize(
    "change", [{"text": MENTION["text"], "attachments": [{}]}, {"bot_id": "BBOT"}, {"bot_id": "B9"}]
)
def test_not_every_change_is_an_edit(change: dict[str, Any]) -> None:
    """An unfurled link is no edit, and what bots change is not looked at."""
    before = {**MENTION, "type": "message"}
    after = {**before, "text": "other", **change}
    changed = delivered(
        type="message", subtype="message_changed", channel="C111", message=after, previous_message=before
    )
    assert chat_event(changed, ME) is None


def test_a_deletion_names_the_message() -> None:
    """A deleted message is named, also where its replies keep a tombstone in its place."""
    gone = MessageDeleted("slack", "T111", "C111", TS)
    plain = delivered(
        type="message", subtype="message_deleted", channel="C111", deleted_ts=TS, previous_message=MENTION
    )
    tomb = {"subtype": "tombstone", "ts": TS, "text": "This message was deleted.", "user": "USLACKBOT"}
    changed = delivered(
        type="message", subtype="message_changed", channel="C111", message=tomb, previous_message=MENTION
    )
    assert chat_event(plain, ME) == gone
    assert chat_event(changed, ME) == gone


def test_a_click_is_feedback() -> None:
    """A click on a feedback button names the question, the person and the verdict; other clicks are nothing."""
    action = {"type": "feedback_buttons", "action_id": "fennel_feedback", "value": "bad:q-1", "action_ts": "12.5"}
    click = {"type": "block_actions", "user": {"id": "U3"}, "actions": [action]}
    assert chat_event(click, ME) == FeedbackGiven("slack", "q-1", "U3", "bad", 12.5)
    for other in ({"action_id": "else"}, {"value": "q-1"}, {"value": "ugly:q-1"}, {"value": None}):
        assert chat_event({**click, "actions": [{**action, **other}]}, ME) is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "event_callback", "event": None},
        {"type": "event_callback", "event": {"type": "reaction_added"}},
        {"type": "view_submission"},
        {"type": "event_callback", "event": {"type": "message", "subtype": "message_changed", "channel": "C1"}},
        {"type": "event_callback", "event": {"type": "message", "subtype": "message_deleted", "channel": "C1"}},
    ],
)
def test_anything_else_is_nothing(body: dict[str, Any]) -> None:
    """Events that we do not know, and broken ones, are nothing to act on."""
    assert chat_event(body, ME) is None


@pytest.mark.parametrize(
    "body",
    [
        delivered(**{**MENTION, "ts": "soon"}),
        delivered(**{**MENTION, "ts": "nan"}),
        delivered(**{**MENTION, "ts": "1e999"}),
        delivered(type="message", subtype="message_changed", channel="C1", message="text"),
        delivered(type="message", subtype="message_deleted", channel="C1", deleted_ts=TS, previous_message=[1]),
        {"type": "block_actions", "actions": 7},
        {"type": "block_actions", "actions": [None]},
    ],
)
def test_what_lacks_its_form_is_refused(body: dict[str, Any]) -> None:
    """A time that is none, or a word where Slack has an object, is an EventError and nothing else."""
    with pytest.raises(EventError):
        chat_event(body, ME)
