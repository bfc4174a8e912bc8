"""Questions and replies as the delivery hands them to Lark's platform, and what the chat then shows."""

from __future__ import annotations

import asyncio
from typing import Any

from bot.platform import Reply, SendAmbiguousError
from bot.platforms.lark import LarkPlatform
from contract.answer import Outcome
from contract.question import Question
from tests.bot.conftest import make_question
from tests.fakes.lark import FakeLark


def ask(fake: FakeLark, **how: Any) -> Question:
    """A question that stands in the chat."""
    message_id = fake.say("why?", **how)
    message = fake.chats.messages[message_id]
    return make_question(
        platform="lark",
        channel=message.chat_id,
        message_id=message_id,
        address={"thread_id": message.thread_id} if message.thread_id else {},
    )


def growing(question: Question, text: str) -> Reply:
    return Reply(question, text)


def ended(question: Question, text: str = "Because.") -> Reply:
    return Reply(question, text, sources="Sources:\n[1] Handbook", outcome=Outcome.ANSWERED)


def calls(fake: FakeLark, name: str) -> list[dict[str, Any]]:
    return [line.payload["body"] for line in fake.journal if line.kind == name and line.direction == "in"]


def only(fake: FakeLark, question: Question) -> Any:
    """The one visible answer."""
    (answer,) = fake.answers_to(question.message_id)
    return answer


async def send_until_shown(platform: LarkPlatform, reply: Reply) -> str:
    """Send as the delivery does: after a send that broke, look for it, and send again where it is not."""
    for _ in range(5):
        try:
            return await platform.send(reply)
        except SendAmbiguousError:
            await asyncio.sleep(platform.settle_s)
            if sent_id := await platform.find(reply.question):
                await platform.edit(sent_id, reply)
                return sent_id
    raise AssertionError("never shown")
