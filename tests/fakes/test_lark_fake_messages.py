"""The fake Lark's messages, rule by rule, as a bare HTTP client sees them."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.fakes.lark import Codes, FakeLark
from tests.fakes.lark_caller import Caller, card

CODES = Codes()
MESSAGES = "/open-apis/im/v1/messages"
FAKE = FakeLark


async def test_an_answer_hangs_under_its_question(fake: FakeLark, caller: Caller) -> None:
    """A reply names its parent and root, and is what a person sees as the answer."""
    question = fake.say("why?", mention_bot=True)
    sent = await caller.reply(question, "because")
    assert sent.data["parent_id"] == sent.data["root_id"] == question
    assert [answer.text for answer in fake.answers_to(question)] == ["because"]


async def test_a_reply_can_open_a_thread(fake: FakeLark, caller: Caller) -> None:
    """With reply_in_thread question and answer share a thread, and a further message in it stays there."""
    question = fake.say("why?")
    thread_id = (await caller.reply(question, reply_in_thread=True)).data["thread_id"]
    follow_up = fake.say("and then?", thread_id=thread_id)
    assert (await caller.reply(follow_up)).data["thread_id"] == thread_id
    chat_id = fake.chats.messages[question].chat_id
    assert len(fake.visible_messages(chat_id, thread_id)) == 4


async def test_every_message_of_a_topic_group_opens_a_thread(fake: FakeLark, caller: Caller) -> None:
    """In a topic group an answer is in its question's thread without being told to."""
    question = fake.say("why?", chat_id=fake.add_chat(topic=True))
    assert (await caller.reply(question)).data["thread_id"] == fake.chats.messages[question].thread_id != ""


async def test_a_person_can_be_written_to(fake: FakeLark, caller: Caller) -> None:
    """A message to an open id goes to the direct chat with that person."""
    ada = fake.add_person("Ada")
    body = {"receive_id": ada, "msg_type": "text", "content": '{"text":"hi"}'}
    sent = await caller.request("POST", MESSAGES, body, receive_id_type="open_id")
    question = fake.say("yes?", person=ada, direct=True)
    assert fake.chats.messages[question].chat_id == sent.data["chat_id"]


async def test_the_same_uuid_sends_once_in_an_hour(fake: FakeLark, caller: Caller) -> None:
    """Within an hour the same uuid gives the first message again, even with other content; later it sends anew."""
    question = fake.say("why?")
    first, second = [await caller.reply(question, text, uuid="u-1") for text in ("one", "two")]
    assert first.data["message_id"] == second.data["message_id"]
    assert [answer.text for answer in fake.answers_to(question)] == ["one"]
    fake.time_scale = 0.00001
    await asyncio.sleep(fake.scaled(3600))
    await caller.reply(question, "two", uuid="u-1")
    assert [answer.text for answer in fake.answers_to(question)] == ["one", "two"]


async def test_a_uuid_has_fifty_characters_at_most(fake: FakeLark, caller: Caller) -> None:
    """A uuid of 51 characters is refused, one of 50 is taken."""
    chat_id = fake.add_chat()
    assert (await caller.send(chat_id, uuid="u" * 51)).code == CODES.bad_field
    assert (await caller.send(chat_id, uuid="u" * 50)).code == 0


async def test_a_chat_takes_five_messages_a_second(fake: FakeLark, caller: Caller) -> None:
    """The sixth message to one chat within a second is refused with 230020 and shown as above the rate."""
    chat_id = fake.add_chat()
    codes = [(await caller.send(chat_id)).code for _ in range(6)]
    assert codes == [0] * 5 + [CODES.chat_rate]
    assert [(above.rule, above.key) for above in fake.sends_above_rate()] == [("chat_sends", chat_id)]
    assert (await caller.send(fake.add_chat())).code == 0


async def test_an_api_takes_fifty_calls_a_second(fake: FakeLark, caller: Caller) -> None:
    """One call too many gets HTTP 429, code 99991400 and the seconds to wait."""
    fake.change_rules(api_calls_per_s=3)
    replies = [await caller.request("GET", "/open-apis/bot/v3/info") for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    assert replies[-1].code == CODES.rate_limited
    assert replies[-1].headers["x-ogw-ratelimit-reset"] == "1"


async def test_an_api_takes_a_thousand_calls_a_minute(fake: FakeLark, caller: Caller) -> None:
    """The limit of a minute is kept beside that of a second and tells a longer wait."""
    fake.change_rules(api_calls_per_min=2)
    replies = [await caller.request("GET", "/open-apis/bot/v3/info") for _ in range(3)]
    assert int(replies[-1].headers["x-ogw-ratelimit-reset"]) > 30


@pytest.mark.parametrize(
    ("msg_type", "content", "code"),
    [
        ("text", "not json", CODES.bad_request),
        ("text", '{"text":""}', CODES.bad_request),
        ("post", '{"title":"x"}', CODES.bad_request),
        ("text", json.dumps({"text": "x" * 150 * 1024}), CODES.too_long),
        ("post", json.dumps({"zh_cn": {"content": [[{"tag": "text", "text": "x" * 30 * 1024}]]}}), CODES.too_long),
        ("interactive", '{"type":"card","data":{"card_id":"1"}}', CODES.card_content),
    ],
)
async def test_bad_content_is_refused(fake: FakeLark, caller: Caller, msg_type: str, content: str, code: int) -> None:
    """Content that is malformed, too long (150 KB of text, 30 KB of anything else) or names no card is refused."""
    body = {"receive_id": fake.add_chat(), "msg_type": msg_type, "content": content}
    assert (await caller.request("POST", MESSAGES, body, receive_id_type="chat_id")).code == code


async def test_a_bot_outside_the_chat_cannot_send(fake: FakeLark, caller: Caller) -> None:
    """Sending into a chat that the bot was taken out of, or that there is not, is refused with 230002."""
    question = fake.say("why?")
    fake.set_bot_inside(fake.chats.messages[question].chat_id, False)
    assert (await caller.reply(question)).code == CODES.bot_not_in_chat
    assert (await caller.send("oc_nowhere")).code == CODES.bot_not_in_chat
    fake.set_bot_inside(fake.chats.messages[question].chat_id, True)
    assert (await caller.reply(question)).code == 0


async def test_a_recalled_question_takes_no_reply(fake: FakeLark, caller: Caller) -> None:
    """A reply to a recalled message is refused with 230011, and reading it tells only that it was there."""
    question = fake.say("why?")
    fake.recall(question)
    assert (await caller.reply(question)).code == CODES.message_gone
    item = (await caller.request("GET", f"{MESSAGES}/{question}")).data["items"][0]
    assert item["deleted"] is True
    assert "why?" not in item["body"]["content"]


async def test_a_text_is_edited_twenty_times_at_most(fake: FakeLark, caller: Caller) -> None:
    """The twenty-first edit of a text is refused with 230072 and changes nothing."""
    fake.change_rules(message_edits_per_s=1000)
    sent = (await caller.send(fake.add_chat())).data
    codes = []
    for number in range(21):
        body = {"msg_type": "text", "content": json.dumps({"text": str(number)})}
        codes.append((await caller.request("PUT", f"{MESSAGES}/{sent['message_id']}", body)).code)
    assert codes == [0] * 20 + [CODES.too_many_edits]
    assert [message.text for message in fake.visible_messages(sent["chat_id"])] == ["19"]


async def test_one_message_is_edited_five_times_a_second(fake: FakeLark, caller: Caller) -> None:
    """The sixth patch of one card within a second is refused with 230020."""
    card_id = await caller.create_card()
    message_id = (await caller.reply_card(fake.say("why?"), card_id)).data["message_id"]
    body = {"content": json.dumps(card("patched", streaming=False))}
    codes = [(await caller.request("PATCH", f"{MESSAGES}/{message_id}", body)).code for _ in range(6)]
    assert codes == [0] * 5 + [CODES.chat_rate]


async def test_only_own_messages_are_changed(fake: FakeLark, caller: Caller) -> None:
    """Editing or recalling a person's message is refused."""
    question = fake.say("why?")
    body = {"msg_type": "text", "content": '{"text":"mine"}'}
    assert (await caller.request("PUT", f"{MESSAGES}/{question}", body)).code == CODES.not_the_sender
    assert (await caller.request("DELETE", f"{MESSAGES}/{question}")).code == CODES.not_the_sender


async def test_a_deleted_message_is_not_seen(fake: FakeLark, caller: Caller) -> None:
    """What the bot recalls is gone from sight."""
    question = fake.say("why?")
    message_id = (await caller.reply(question)).data["message_id"]
    await caller.request("DELETE", f"{MESSAGES}/{message_id}")
    assert fake.answers_to(question) == []


async def test_reactions_come_and_go(fake: FakeLark, caller: Caller) -> None:
    """A reaction is seen until it is taken away; the same emoji twice is one."""
    question = fake.say("why?")
    body = {"reaction_type": {"emoji_type": "OnIt"}}
    path = f"{MESSAGES}/{question}/reactions"
    first, second = [(await caller.request("POST", path, body)).data["reaction_id"] for _ in range(2)]
    chat_id = fake.chats.messages[question].chat_id
    assert first == second
    assert fake.visible_messages(chat_id)[0].reactions == ("OnIt",)
    await caller.request("DELETE", f"{path}/{first}")
    assert fake.visible_messages(chat_id)[0].reactions == ()


async def test_messages_are_listed_by_pages(fake: FakeLark, caller: Caller) -> None:
    """The list of a chat goes by pages, newest first when asked, with the sender and the parent of each."""
    question = fake.say("why?")
    chat_id = fake.chats.messages[question].chat_id
    await caller.reply(question, "because")
    query = {"container_id_type": "chat", "container_id": chat_id, "sort_type": "ByCreateTimeDesc", "page_size": "1"}
    first = (await caller.request("GET", MESSAGES, None, **query)).data
    second = (await caller.request("GET", MESSAGES, None, **query, page_token=first["page_token"])).data
    assert first["items"][0]["parent_id"] == question
    assert first["items"][0]["sender"] | {"tenant_key": ""} == {
        "id": fake.app_id,
        "id_type": "app_id",
        "sender_type": "app",
        "tenant_key": "",
    }
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert second["items"][0]["message_id"] == question


async def test_a_thread_has_a_list_of_its_own(fake: FakeLark, caller: Caller) -> None:
    """The chat's list holds only the message that opened a thread; the thread's list holds all of it."""
    question = fake.say("why?")
    answer = (await caller.reply(question, reply_in_thread=True)).data
    lists = {
        kind: (await caller.request("GET", MESSAGES, container_id_type=kind, container_id=container)).data["items"]
        for kind, container in (("chat", answer["chat_id"]), ("thread", answer["thread_id"]))
    }
    assert [item["message_id"] for item in lists["chat"]] == [question]
    assert [item["message_id"] for item in lists["thread"]] == [question, answer["message_id"]]


async def test_a_picture_is_fetched_by_its_key(fake: FakeLark, caller: Caller) -> None:
    """The file of a message comes back byte for byte."""
    message_id = fake.say("", message_type="image", content={"image_key": "img_1"}, files={"img_1": "AAEC"})
    headers = {"Authorization": f"Bearer {caller.token}"}
    url = f"{fake.url}{MESSAGES}/{message_id}/resources/img_1"
    async with caller.session.get(url, params={"type": "image"}, headers=headers) as response:
        assert await response.read() == b"\x00\x01\x02"


async def test_a_chat_tells_what_it_is(fake: FakeLark, caller: Caller) -> None:
    """A topic group is told from a plain one."""
    chat_id = fake.add_chat(topic=True)
    assert (await caller.request("GET", f"/open-apis/im/v1/chats/{chat_id}")).data["chat_mode"] == "topic"
