"""The fake Lark's cards, rule by rule, as a bare HTTP client sees them."""

from __future__ import annotations

import asyncio
import json

from tests.fakes.lark import Codes, FakeLark
from tests.fakes.lark_caller import Caller, card

CODES = Codes()
MESSAGES = "/open-apis/im/v1/messages"
CARDS = "/open-apis/cardkit/v1/cards"


FAKE = FakeLark


async def test_a_card_shows_what_was_streamed_last(fake: FakeLark, caller: Caller) -> None:
    """A person sees the whole text of the last operation with its sequence, and whether it still streams."""
    question, card_id = fake.say("why?"), await caller.create_card()
    await caller.reply_card(question, card_id)
    for sequence, text in enumerate(("be", "because"), 1):
        assert (await caller.stream(card_id, text, sequence)).code == 0
    (answer,) = fake.answers_to(question)
    assert (answer.text, answer.sequence, answer.streaming) == ("because", 2, True)
    await caller.settings(card_id, 3, streaming=False)
    assert fake.answers_to(question)[0].streaming is False
    assert [operation.text for operation in fake.cards.cards[card_id].history] == ["be", "because", "because"]


async def test_the_sequence_rises_over_all_operations(fake: FakeLark, caller: Caller) -> None:
    """A sequence that is not above every earlier one, of whatever operation, is refused with 300317."""
    card_id = await caller.create_card()
    assert (await caller.stream(card_id, "a", 5)).code == 0
    assert (await caller.stream(card_id, "b", 5)).code == CODES.sequence
    assert (await caller.settings(card_id, 4, streaming=False)).code == CODES.sequence
    assert (await caller.settings(card_id, 6, streaming=False)).code == 0


async def test_the_same_card_operation_counts_once(fake: FakeLark, caller: Caller) -> None:
    """An operation with a uuid that was done already succeeds and changes nothing."""
    card_id = await caller.create_card()
    assert (await caller.stream(card_id, "a", 1, uuid="c-1")).code == 0
    assert (await caller.stream(card_id, "b", 1, uuid="c-1")).code == 0
    assert fake.cards.cards[card_id].text == "a"


async def test_text_streams_only_in_streaming_mode(fake: FakeLark, caller: Caller) -> None:
    """Streamed text is refused with 300309 once streaming is closed, and taken again once it is opened."""
    card_id = await caller.create_card()
    await caller.settings(card_id, 1, streaming=False)
    assert (await caller.stream(card_id, "a", 2)).code == CODES.streaming_closed
    await caller.settings(card_id, 3, streaming=True)
    assert (await caller.stream(card_id, "a", 4)).code == 0


async def test_streaming_ends_after_ten_minutes(fake: FakeLark, caller: Caller) -> None:
    """Ten minutes after it was opened streaming is over whatever came in between; it can be opened again."""
    fake.time_scale = 0.001
    card_id = await caller.create_card()
    await caller.stream(card_id, "a", 1)
    await asyncio.sleep(fake.scaled(600))
    assert (await caller.stream(card_id, "b", 2)).code == CODES.streaming_timed_out
    assert fake.cards.cards[card_id].streaming is False
    fake.time_scale = 1
    await caller.settings(card_id, 3, streaming=True)
    assert (await caller.stream(card_id, "b", 4)).code == 0


async def test_an_unknown_element_is_refused(fake: FakeLark, caller: Caller) -> None:
    """Text for an element that the card has not got is refused with 300313."""
    card_id = await caller.create_card()
    assert (await caller.stream(card_id, "a", 1, element_id="md_2")).code == CODES.no_element


async def test_a_card_takes_ten_operations_a_second(fake: FakeLark, caller: Caller) -> None:
    """The eleventh operation on one card within a second gets HTTP 429."""
    card_id = await caller.create_card()
    statuses = [(await caller.stream(card_id, "a", sequence)).status for sequence in range(1, 12)]
    assert statuses == [200] * 10 + [429]


async def test_a_card_has_thirty_kilobytes(fake: FakeLark, caller: Caller) -> None:
    """A card that is or grows above 30 KB is refused, and stays as it was."""
    big = json.dumps(card("x" * 30 * 1024, streaming=True))
    refused = await caller.request("POST", CARDS, {"type": "card_json", "data": big})
    assert refused.code == CODES.card_too_big
    card_id = await caller.create_card("small")
    assert (await caller.stream(card_id, "茴" * 10240, 1)).code == CODES.card_too_big
    assert fake.cards.cards[card_id].text == "small"


async def test_a_card_is_sent_once(fake: FakeLark, caller: Caller) -> None:
    """A card entity that is in one message cannot be put into another, unless the rule is switched off."""
    question, card_id = fake.say("why?"), await caller.create_card()
    assert (await caller.reply_card(question, card_id)).code == 0
    assert (await caller.reply_card(question, card_id)).code == CODES.card_content
    fake.change_rules(card_sent_once=False)
    assert (await caller.reply_card(question, card_id)).code == 0


async def test_a_card_ends_after_fourteen_days(fake: FakeLark, caller: Caller) -> None:
    """Operations on a card entity that is older than its life are refused."""
    fake.change_rules(card_ttl_s=0)
    card_id = await caller.create_card()
    assert (await caller.stream(card_id, "a", 1)).code == CODES.card_expired


async def test_a_patched_message_shows_the_new_card(fake: FakeLark, caller: Caller) -> None:
    """A patch puts another card into the message; a text cannot be patched."""
    question = fake.say("why?")
    message_id = (await caller.reply_card(question, await caller.create_card())).data["message_id"]
    await caller.request("PATCH", f"{MESSAGES}/{message_id}", {"content": json.dumps(card("new", streaming=False))})
    assert [answer.text for answer in fake.answers_to(question)] == ["new"]
    text_id = (await caller.reply(question)).data["message_id"]
    body = {"content": json.dumps(card("new", streaming=False))}
    assert (await caller.request("PATCH", f"{MESSAGES}/{text_id}", body)).code == CODES.bad_request
    fake.time_scale = 0  # fourteen days later
    assert (await caller.request("PATCH", f"{MESSAGES}/{message_id}", body)).code == CODES.patch_too_late


async def test_elements_are_added_changed_and_taken_away(fake: FakeLark, caller: Caller) -> None:
    """Elements come after the one that is named, change in part, and go; an id twice is refused."""
    card_id = await caller.create_card("one")
    path = f"{CARDS}/{card_id}/elements"
    new = {"tag": "markdown", "element_id": "md_2", "content": "two"}
    add = {"type": "insert_after", "target_element_id": "md_1", "elements": json.dumps([new])}
    assert (await caller.request("POST", path, {**add, "sequence": 1})).code == 0
    assert (await caller.request("POST", path, {**add, "sequence": 2})).code == CODES.duplicate_element
    change = {"partial_element": '{"content":"zwei"}', "sequence": 3}
    await caller.request("PATCH", f"{path}/md_2", change)
    assert fake.cards.cards[card_id].text == "one\nzwei"
    await caller.request("DELETE", f"{path}/md_1", {"sequence": 4})
    assert fake.cards.cards[card_id].text == "zwei"


async def test_a_batch_is_done_whole_or_not_at_all(fake: FakeLark, caller: Caller) -> None:
    """When one action of a batch fails, none takes effect."""
    card_id = await caller.create_card("one")
    good = {
        "action": "update_element",
        "params": {"element_id": "md_1", "element": {"tag": "markdown", "content": "x"}},
    }
    bad = {"action": "delete_elements", "params": {"element_ids": ["md_9"]}}
    path = f"{CARDS}/{card_id}/batch_update"
    refused = await caller.request("POST", path, {"actions": json.dumps([good, bad]), "sequence": 1})
    assert refused.code == CODES.no_element
    assert fake.cards.cards[card_id].text == "one"
    assert (await caller.request("POST", path, {"actions": json.dumps([good]), "sequence": 1})).code == 0
    assert fake.cards.cards[card_id].text == "x"


async def test_a_card_is_replaced_whole(fake: FakeLark, caller: Caller) -> None:
    """A full update shows the new card and takes its streaming mode; its id is found by the message."""
    card_id = await caller.create_card("one")
    message_id = (await caller.reply_card(fake.say("why?"), card_id)).data["message_id"]
    found = await caller.request("POST", f"{CARDS}/id_convert", {"message_id": message_id})
    body = {"card": {"type": "card_json", "data": json.dumps(card("two", streaming=False))}, "sequence": 1}
    await caller.request("PUT", f"{CARDS}/{found.data['card_id']}", body)
    shown = fake.cards.cards[card_id]
    assert (shown.text, shown.streaming) == ("two", False)
