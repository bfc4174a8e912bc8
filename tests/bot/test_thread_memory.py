"""What Redis keeps of a thread: as many turns as fit, none of what was forgotten or withdrawn."""

from __future__ import annotations

import time
from typing import Any

import redis.asyncio

from bot.conversations import Conversations
from bot.redis_link import run_script
from contract import names, scripts
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from contract.turn import Turn
from tests.bot.conftest import make_question


async def answered(client: redis.asyncio.Redis, question: Question, tokens: int, max_tokens: int = 100) -> None:
    """End a question with an answer that takes so many tokens."""
    turn = Turn(question.id, question.asker, "Ann", question.text, "yes", question.accepted_at_s, tokens=tokens)
    final = FinalAnswer(question.to_wire(), Outcome.ANSWERED, "yes")
    await run_script(client, scripts.finish(question, final, turn, 60, max_tokens))


async def turns_of(client: redis.asyncio.Redis, question: Question) -> list[str]:
    """The ids of the questions that the thread remembers."""
    kept: Any = await client.lrange(names.turns_key(question.conversation), 0, -1)
    return [Turn.from_wire(wire).question_id for wire in kept]


async def test_the_oldest_turns_go_first(redis_client: redis.asyncio.Redis) -> None:
    """Turns stay as long as they have no more tokens together than they may; the newest stays however long it is."""
    questions = [make_question(number) for number in range(5)]
    for question, tokens in zip(questions, (40, 40, 40, 20, 500), strict=True):
        await answered(redis_client, question, tokens)
        expected = {0: [0], 1: [0, 1], 2: [1, 2], 3: [1, 2, 3], 4: [4]}[questions.index(question)]
        assert await turns_of(redis_client, question) == [questions[at].id for at in expected]


async def test_a_turn_that_cannot_be_read_hurts_no_other(redis_client: redis.asyncio.Redis) -> None:
    """Rubbish in the list counts nothing and leaves with the oldest."""
    question = make_question()
    await redis_client.rpush(names.turns_key(question.conversation), "rubbish", "[]", '{"tokens":"many"}')
    await answered(redis_client, question, 10)
    assert await redis_client.llen(names.turns_key(question.conversation)) == 4


async def test_what_is_forgotten_does_not_come_back(redis_client: redis.asyncio.Redis) -> None:
    """An answer that was under way when the thread was forgotten leaves no turn; a later one does."""
    before, later = make_question(1), make_question(2, accepted_at_s=time.time() + 5)
    await answered(redis_client, make_question(0), 10)
    assert await Conversations(redis_client, 60).forget(before.conversation)
    assert not await Conversations(redis_client, 60).forget(before.conversation)
    await answered(redis_client, before, 10)
    assert await turns_of(redis_client, before) == []
    await answered(redis_client, later, 10)
    assert await turns_of(redis_client, before) == [later.id]


async def test_a_withdrawn_answer_is_not_remembered(redis_client: redis.asyncio.Redis) -> None:
    """Its turn leaves the thread, the others stay, and withdrawing twice is withdrawing once."""
    questions = [make_question(number) for number in range(3)]
    for question in questions:
        await answered(redis_client, question, 10)
    taken = FinalAnswer(questions[1].to_wire(), Outcome.WITHDRAWN)
    assert await run_script(redis_client, scripts.withdraw(questions[1], taken)) == 1
    assert await run_script(redis_client, scripts.withdraw(questions[1], taken)) == 0
    assert await turns_of(redis_client, questions[0]) == [questions[0].id, questions[2].id]
    assert await run_script(redis_client, scripts.withdraw(make_question(9), taken)) == 0
