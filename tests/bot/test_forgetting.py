"""A person who is forgotten leaves no word behind."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from bot.chat_event import FeedbackGiven
from bot.feedback import FeedbackBook
from bot.forgetting import Forgetting
from bot.history import History
from bot.inbox import Inbox
from contract import names
from contract.errors import FennelError
from contract.question import Question
from contract.turn import Turn
from tests.bot.answering import echo
from tests.bot.conftest import everything, make_question

SECRET = "the words of ann"


async def lived_through(client: redis.asyncio.Redis, question: Question) -> None:
    """A question that was asked, answered, shown, remembered and judged."""
    inbox = Inbox(client, max_queued=10, job_timeout_s=60)
    await inbox.accept(question)
    turn = Turn(question.id, question.asker, question.asker_name, question.text, "yes", 1.0)
    async with client.pipeline() as step:
        step.lrem(names.QUEUE_KEY, 0, question.id)
        step.zrem(names.open_key("chat"), question.id)
        step.rpush(names.turns_key(question.conversation), turn.to_wire())
        History(client, 1).add(step, question, echo(question))
        step.sadd(names.displeased_key(question.conversation), f"{question.id}:u-ann", f"{question.id}:u-bob")
        step.set(names.wecom_answer_key(question.id), f"kept: {question.text}")
        step.set(names.notice_key(question.place, question.asker), question.id)
        await step.execute()
    await FeedbackBook(client, 1).note(FeedbackGiven("chat", question.id, "u-judge", "bad", question.asked_at_s, "no"))


async def test_nothing_of_a_person_is_left(redis_client: redis.asyncio.Redis) -> None:
    """Questions, answers, turns, feedback and jobs go; what others said, and what judges them, stays."""
    await lived_through(redis_client, make_question(1, text=SECRET, asker="u-ann", asker_name="Ann Person"))
    await lived_through(redis_client, make_question(2, text="the words of bob", asker="u-bob", asker_name="Bob"))
    removed = await Forgetting(redis_client, "chat:team:u-ann").run()
    assert (removed.questions, removed.turns, removed.feedback, removed.unseen) == (1, 1, 1, 0)
    left = await everything(redis_client)
    assert not any(word in left for word in (SECRET, "Ann Person", "u-ann"))
    assert left.count("the words of bob") >= 4
    again = await Forgetting(redis_client, "chat:team:u-ann").run()
    assert (again.questions, again.turns, again.feedback) == (0, 0, 0)


async def test_who_judged_is_forgotten_too(redis_client: redis.asyncio.Redis) -> None:
    """A verdict on another's answer goes with the one who gave it, and the answer stays."""
    await lived_through(redis_client, make_question(1, text="the words of bob", asker="u-bob"))
    assert (await Forgetting(redis_client, "chat:team:u-judge").run()).feedback == 1
    left = await everything(redis_client)
    assert "u-judge" not in left
    assert "the words of bob" in left


async def test_what_waits_is_stopped_and_told(redis_client: redis.asyncio.Redis) -> None:
    """A question in the queue ends there; as long as nobody shows its end, that is said."""
    question = make_question(1, text=SECRET)
    await Inbox(redis_client, max_queued=10, job_timeout_s=60).accept(question)
    removed = await Forgetting(redis_client, "chat:team:u-ann").run(wait_s=0.1)
    assert removed.unseen == 1
    assert await redis_client.llen(names.QUEUE_KEY) == 0


async def test_the_same_event_is_still_recognised(redis_client: redis.asyncio.Redis) -> None:
    """A platform that delivers a forgotten question again does not have it answered again."""
    question = make_question(1, text=SECRET)
    await lived_through(redis_client, question)
    await Forgetting(redis_client, "chat:team:u-ann").run()
    assert (await Inbox(redis_client, max_queued=10, job_timeout_s=60).accept(question)).what == "duplicate"


@pytest.mark.parametrize("person", ["u-ann", "chat:u-ann", "chat:team:", "", "::"])
def test_a_name_that_names_nobody_is_told(person: str) -> None:
    """One sentence says how people are named."""
    with pytest.raises(FennelError, match="names nobody"):
        Forgetting(redis.asyncio.Redis(), person)


async def test_a_star_forgets_nobody_else(redis_client: redis.asyncio.Redis) -> None:
    """An id is an id, and no pattern."""
    await lived_through(redis_client, make_question(1, text="the words of bob", asker="u-bob"))
    removed = await Forgetting(redis_client, "chat:*:*").run()
    assert (removed.questions, removed.turns, removed.feedback) == (0, 0, 0)
    await asyncio.sleep(0)
    assert "the words of bob" in await everything(redis_client)
