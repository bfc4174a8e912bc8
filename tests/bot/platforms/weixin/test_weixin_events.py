"""What WeChat tells of a message: read whole, or refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.platforms.weixin.events import EventError, is_for_us, to_message
from tests.bot.platforms.weixin.conftest import USER

# As `@tencent-weixin/openclaw-weixin` types it.
TEXT: dict[str, Any] = {
    "seq": 1,
    "message_id": 2**64 - 1,
    "from_user_id": USER,
    "to_user_id": "b@im.bot",
    "create_time_ms": 1_700_000_000_250,
    "message_type": 1,
    "message_state": 2,
    "item_list": [{"type": 1, "text_item": {"text": "怎么部署？"}}],
    "context_token": "ctx",
}


def test_ids_keep_all_their_digits() -> None:
    """A uint64 is no double: the id, and with it the question's, is exact."""
    message = to_message(TEXT, "b@im.bot")
    assert message is not None
    assert (message.message_id, message.at_s) == ("18446744073709551615", 1_700_000_000.25)
    assert (message.channel, message.thread, message.sender, message.is_direct) == (USER, USER, USER, True)
    assert message.address == {"context_token": "ctx"}


@pytest.mark.parametrize(
    ("changed", "for_us"),
    [({}, True), ({"group_id": "g@chatroom"}, False), ({"message_type": 2}, False), ({"message_type": None}, False)],
    ids=["direct", "group", "our own", "no type"],
)
def test_only_what_a_person_wrote_to_the_bot_alone_is_for_us(changed: dict[str, Any], for_us: bool) -> None:
    """Groups and the bot's own messages are passed over."""
    assert is_for_us(TEXT | changed) is for_us


def test_a_quote_stands_below_the_question() -> None:
    """What a message quotes is read with it, and is the question where nothing else is written."""
    quote = {"title": "t", "message_item": {"type": 1, "text_item": {"text": "一\n二"}}}
    for text, expected in (("这是什么？", "这是什么？\n\n> 一\n> 二"), ("", "一\n二")):
        item = {"type": 1, "text_item": {"text": text}, "ref_msg": quote}
        message = to_message(TEXT | {"item_list": [item]}, "b")
        assert message is not None
        assert message.text == expected


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda one: (
            st.lists(one, max_size=3)
            | st.dictionaries(
                st.sampled_from([*TEXT, "type", "text_item", "text", "ref_msg", "message_item", "title"]),
                one,
                max_size=5,
            )
        ),
        max_leaves=12,
    ).filter(lambda body: isinstance(body, dict))
)
def test_any_body_is_a_message_or_refused(body: dict[str, Any]) -> None:
    """Whatever comes, nothing but EventError leaves the translation."""
    is_for_us(body)
    for one in (body, TEXT | body):
        try:
            to_message(one, "b")
        except EventError:
            continue


@pytest.mark.parametrize("time_ms", [10**400, float("nan"), float("inf"), -1, "now"])
def test_a_time_that_is_none_is_refused(time_ms: object) -> None:
    """Neither a date that no clock shows nor a word is a time."""
    with pytest.raises(EventError):
        to_message(TEXT | {"create_time_ms": time_ms}, "b")
