"""Lark's events in the words of all platforms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.chat_event import FeedbackGiven, MessageDeleted
from bot.chat_message import ChatMessage
from bot.platforms.lark.events import EventError, parse, quoted_text, translate, with_quote

US = "ou_bot"
# As the vendor's page on im.message.receive_v1 shows it.
HEADER = {
    "event_id": "5e3702a84e847582be8db7fb73283c02",
    "event_type": "im.message.receive_v1",
    "create_time": "1608725989000",
    "token": "rvaYgkND1GOiu5MM0E1rncYC6PLtF7JV",
    "app_id": "cli_9f5343c580712544",
    "tenant_key": "2ca1d211f64f6438",
}


def mention(number: int, open_id: str, name: str) -> dict[str, Any]:
    ids = {"union_id": "on_1", "user_id": "u1", "open_id": open_id}
    return {"key": f"@_user_{number}", "id": ids, "name": name, "tenant_key": HEADER["tenant_key"]}


def event(content: dict[str, Any], kind: str = "text", sender_type: str = "user", **message: Any) -> dict[str, Any]:
    body = {
        "message_id": "om_1",
        "create_time": "1609073151345",
        "chat_id": "oc_1",
        "chat_type": "group",
        "message_type": kind,
        "content": json.dumps(content),
        "mentions": [mention(1, US, "Fennel")],
        **message,
    }
    sender = {"sender_id": {"open_id": "ou_ada"}, "sender_type": sender_type, "tenant_key": HEADER["tenant_key"]}
    return {"schema": "2.0", "header": HEADER, "event": {"sender": sender, "message": body}}


def message_of(*args: Any, **how: Any) -> ChatMessage:
    meaning = translate(event(*args, **how), US)
    assert isinstance(meaning, ChatMessage)
    return meaning


def test_a_group_message_keeps_its_words_without_our_mention() -> None:
    """Our own mention goes, another person's becomes a name, and the place and time are the platform's."""
    mentions = [mention(1, US, "Fennel"), mention(10, "ou_bob", "Bob")]
    message = message_of({"text": "@_user_1 does @_user_10 know?"}, mentions=mentions)
    assert message.text == "does @Bob know?"
    assert message.mentions_us
    assert not message.is_direct
    assert (message.tenant, message.channel, message.thread, message.message_id, message.sender) == (
        "2ca1d211f64f6438",
        "oc_1",
        "om_1",
        "om_1",
        "ou_ada",
    )
    assert message.at_s == 1609073151.345


def test_a_mention_of_others_is_not_for_us() -> None:
    """Everybody, or another person, is not us."""
    message = message_of({"text": "@_all @_user_1 hello"}, mentions=[mention(1, "ou_bob", "Bob")])
    assert not message.mentions_us
    assert message.text == "@all @Bob hello"


@pytest.mark.parametrize(
    ("places", "thread"),
    [
        ({}, "om_1"),
        ({"root_id": "om_0", "parent_id": "om_0"}, "om_0"),
        ({"thread_id": "omt_1"}, "om_1"),
        ({"thread_id": "omt_1", "root_id": "om_0", "parent_id": "om_0"}, "om_0"),
        ({"chat_type": "p2p"}, "oc_1"),
        ({"chat_type": "p2p", "root_id": "om_0"}, "oc_1"),
        ({"chat_type": "p2p", "root_id": "om_0", "thread_id": "omt_1"}, "om_0"),
    ],
)
def test_the_conversation_is_what_began_it(places: dict[str, str], thread: str) -> None:
    """A chain of replies and a topic are one conversation with the message that began them; so is a direct chat."""
    assert message_of({"text": "why?"}, **places).thread == thread


def test_a_post_is_read_as_text() -> None:
    """Title, rows, links, mentions and code of a rich text are its words; pictures are not."""
    rows = [
        [{"tag": "at", "user_id": "@_user_1", "user_name": "Fennel"}, {"tag": "text", "text": "see "}],
        [{"tag": "a", "href": "https://x.test/a", "text": "this"}, {"tag": "img", "image_key": "img_1"}],
        [{"tag": "code_block", "language": "PYTHON", "text": "print(1)"}],
    ]
    message = message_of({"title": "Help", "content": rows}, kind="post")
    assert message.mentions_us
    assert message.text == "Help\nsee \nthis (https://x.test/a)\n\n```python\nprint(1)\n```\n"


@pytest.mark.parametrize("kind", ["image", "file", "audio", "sticker", "interactive"])
def test_what_has_no_words_is_empty(kind: str) -> None:
    """A picture, a file, a card have no words."""
    assert message_of({"image_key": "img_1"}, kind=kind).text == ""


def test_an_app_is_a_bot() -> None:
    """What an app wrote is from a bot."""
    assert message_of({"text": "hi"}, sender_type="app").from_bot


def test_a_recalled_message_is_deleted() -> None:
    """A recall names the message and its chat."""
    body = {"message_id": "om_1", "chat_id": "oc_1", "recall_time": "1", "recall_type": "message_owner"}
    told = {"schema": "2.0", "header": {**HEADER, "event_type": "im.message.recalled_v1"}, "event": body}
    assert translate(told, US) == MessageDeleted("lark", "2ca1d211f64f6438", "oc_1", "om_1")


def test_a_pressed_button_is_feedback_and_a_foreign_one_is_nothing() -> None:
    """Our buttons carry the question and the verdict; any other value is not ours."""

    def pressed(value: Any) -> dict[str, Any]:
        body = {"operator": {"open_id": "ou_ada"}, "action": {"value": value, "tag": "button"}}
        return {"schema": "2.0", "header": {**HEADER, "event_type": "card.action.trigger"}, "event": body}

    given = translate(pressed({"question": "q-1", "verdict": "bad"}), US)
    assert given == FeedbackGiven("lark", "q-1", "ou_ada", "bad", 1608725989.0)
    for foreign in ({}, None, "text", {"question": "q-1", "verdict": "so-so"}, {"verdict": "good"}):
        assert translate(pressed(foreign), US) is None


def test_other_events_are_nothing() -> None:
    """A type that we do not know says nothing."""
    told = {"schema": "2.0", "header": {**HEADER, "event_type": "im.message.message_read_v1"}, "event": {}}
    assert translate(told, US) is None


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"{}", b'{"header": 1}', b'{"uuid": "v1"}', b"[" * 9_999])
def test_what_is_no_event_is_an_error(raw: bytes) -> None:
    """Bytes that are no event of schema 2.0 are refused."""
    with pytest.raises(EventError):
        parse(raw)


def test_an_event_without_its_parts_is_an_error() -> None:
    """A message that lacks what it must have is an error, and not a crash."""
    broken = event({"text": "x"})
    del broken["event"]["message"]["chat_id"]
    with pytest.raises(EventError, match="chat_id"):
        translate(broken, US)


@pytest.mark.parametrize("time_ms", ["9" * 400, "-1", "soon"])
def test_a_time_that_is_none_is_an_error(time_ms: str) -> None:
    """Neither a date that no clock shows nor a word is a time."""
    with pytest.raises(EventError):
        translate(event({"text": "x"}, create_time=time_ms), US)


@pytest.mark.parametrize("content", ["[" * 9_999, '{"content": [[1]]}', '{"content": 7}'])
def test_words_that_cannot_be_read(content: str) -> None:
    """Content nested without end has no words; a post whose parts are none is an error, in an event and in a quote."""
    told = event({})
    told["event"]["message"] |= {"message_type": "post", "content": content}
    item = {"msg_type": "post", "body": {"content": content}, "sender": {"id": "ou_1"}}
    for read in (lambda: translate(told, US), lambda: quoted_text(item, "cli_1", US)):
        if content.startswith("["):
            assert getattr(read(), "text", "") == ""
        else:
            with pytest.raises(EventError):
                read()


def test_a_quote_stands_above_the_question() -> None:
    """The quoted words come first, marked, and not too many of them; our own and recalled ones are not quoted."""
    item = {
        "msg_type": "text",
        "sender": {"id": "ou_bob"},
        "body": {"content": '{"text": "@_user_1 the gauge\\nis broken"}'},
        "mentions": [{"key": "@_user_1", "id": "ou_cyd", "name": "Cyd"}],
    }
    assert quoted_text(item, "cli_1", US) == "@Cyd the gauge\nis broken"
    assert quoted_text({**item, "sender": {"id": "cli_1"}}, "cli_1", US) == ""
    assert quoted_text({**item, "deleted": True}, "cli_1", US) == ""
    assert with_quote("why?", "a\nb") == "> a\n> b\n\nwhy?"
    assert len(with_quote("why?", "a" * 5000)) < 1100
