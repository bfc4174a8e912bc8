"""Workers for Slack that answer by a script: at once, or step by step as it can be seen."""

from __future__ import annotations

from typing import Any

import redis.asyncio

from contract.question import Question
from tests.bot.answering import finish, publish
from tests.bot.platforms.slack_stage import Script, answered
from tests.fakes.slack import FakeSlack

WORDS = [f"word{number} " for number in range(8)]
WHOLE = "".join(WORDS) + "end."


def growing(fake: FakeSlack, texts: list[str], whole: str = WHOLE) -> Script:
    """A worker that makes its answer grow step by step; the next step comes when the one before can be seen."""

    async def script(client: redis.asyncio.Redis, question: Question) -> None:
        for text in texts:
            await publish(client, question, text)
            await fake.eventually(lambda: any(text.strip() in one.shown for one in seen(fake, question)))  # noqa: B023
        await finish(client, answered(question, whole))

    return script


def grows(fake: FakeSlack, steps: int = 3) -> Script:
    """A worker whose answer grows by a word a step."""
    return growing(fake, ["".join(WORDS[: step + 1]) for step in range(steps)])


def at_once(whole: str = WHOLE) -> Script:
    """A worker that gives its whole answer at once."""

    async def script(client: redis.asyncio.Redis, question: Question) -> None:
        await finish(client, answered(question, whole))

    return script


def seen(fake: FakeSlack, question: Question) -> Any:
    """What stands in the question's thread."""
    return fake.answers(question.channel, question.thread)
