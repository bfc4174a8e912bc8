"""Many answers that grow and end at once, through the outbox's real scripts."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import redis.asyncio

from benchmarks.bot_platforms.chat_load import ChatLoad
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from tests.bot.answering import CITATION, finish, publish, take

PARTIAL_EVERY_S = 0.5
LOOK_EVERY_S = 0.05
SHOWN_WITHIN_S = 120.0
END = "That is the whole answer."


@dataclass(slots=True)
class Streaming:
    """What came of it; `right` are the questions with one visible answer that has its end."""

    right: int = 0
    updates: int = 0
    sends_above_rate: int = 0
    shown_after_s: list[float] = field(default_factory=list)


async def stream_answers(load: ChatLoad, client: redis.asyncio.Redis, at_once: int, seconds: float) -> Streaming:
    """Ask in several chats, let all answers grow for `seconds`, and end them over a third of that time."""
    asked = [load.ask(number % load.streaming_chats, f"{number}: how many days off?") for number in range(at_once)]
    questions: list[Question] = []
    while len(questions) < at_once:
        question = await take(client)
        if question is None:
            await asyncio.sleep(0.01)
        else:
            questions.append(question)
    await _grow(client, questions, seconds)
    ended_at_s: dict[str, float] = {}
    ending = asyncio.create_task(_end(client, questions, seconds / 3, ended_at_s))
    shown_at_s = await _until_shown(load, asked)
    await ending
    return Streaming(
        right=sum(len(texts := load.answers(one)) == 1 and END in texts[0] for one in asked),
        updates=load.updates(),
        sends_above_rate=load.sends_above_rate(),
        shown_after_s=[shown_at_s[one] - ended_at_s[one] for one in asked if one in shown_at_s],
    )


async def _grow(client: redis.asyncio.Redis, questions: list[Question], seconds: float) -> None:
    end_s, words = time.monotonic() + seconds, 0
    while time.monotonic() < end_s:
        words += 3
        for question in questions:
            await publish(client, question, "one more word " * words)
        await asyncio.sleep(PARTIAL_EVERY_S)


async def _end(
    client: redis.asyncio.Redis, questions: list[Question], seconds: float, ended_at_s: dict[str, float]
) -> None:
    for question in questions:
        final = FinalAnswer(
            question.to_wire(), Outcome.ANSWERED, END, (CITATION,), queued_ms=1, first_text_ms=2, total_ms=3
        )
        ended_at_s[question.message_id] = time.monotonic()
        await finish(client, final)
        await asyncio.sleep(seconds / len(questions))


async def _until_shown(load: ChatLoad, asked: list[str]) -> dict[str, float]:
    """When each end was seen first; those that are never shown are missing."""
    shown_at_s: dict[str, float] = {}
    give_up_s = time.monotonic() + SHOWN_WITHIN_S
    while len(shown_at_s) < len(asked) and time.monotonic() < give_up_s:
        for one in asked:
            if one not in shown_at_s and any(END in text for text in load.answers(one)):
                shown_at_s[one] = time.monotonic()
        await asyncio.sleep(LOOK_EVERY_S)
    return shown_at_s
