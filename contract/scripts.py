"""The calls of `lua.py`: accepting a question, ending it, taking it back, each in one step.

The functions build the keys and arguments, so that bots and workers agree on them.
"""

from __future__ import annotations

from collections.abc import Mapping

from contract import lua, names
from contract.answer import FinalAnswer
from contract.question import Question
from contract.turn import Turn

ScriptCall = tuple[str, int, list[str | bytes]]
"""What EVAL wants: the script, how many keys, the keys and then the arguments."""


def _call(script: str, keys: list[str], arguments: list[object]) -> ScriptCall:
    return script, len(keys), [*keys, *(one if isinstance(one, bytes) else str(one) for one in arguments)]


def _end_keys(question: Question) -> list[str]:
    """Where the question's end is written down, and where it is told."""
    return [names.delivery_key(question.id), names.answers_stream(question.platform)]


def _open_keys(question: Question) -> list[str]:
    """Where the question stands until somebody has seen its end, and those of that."""
    return [names.open_key(question.platform), *_end_keys(question)]


def _thread_keys(conversation: str) -> list[str]:
    """What letting the next question of a thread go looks at."""
    return [
        names.thread_key(conversation),
        names.waiting_key(conversation),
        names.QUEUE_KEY,
        names.DEFERRED_KEY,
        names.threads_key(),
    ]


def accept(question: Question, job_fields: Mapping[str, object], max_queued: int, busy: FinalAnswer) -> ScriptCall:
    """Store the question, recognise it later, and queue its job: all of it or nothing.

    EVAL gives ``[what, before]``: what is ``queued``, ``waiting`` (behind another of its thread), ``duplicate``
    or ``busy`` (the queue is full, and `busy` has become its answer); before is how many wait already.
    """
    conversation = question.conversation
    keys = [
        names.question_key(question.id),
        names.job_key(question.id),
        names.QUEUE_KEY,
        names.QUEUES_KEY,
        names.thread_key(conversation),
        names.waiting_key(conversation),
        names.DEFERRED_KEY,
        names.threads_key(),
        *_open_keys(question),
    ]
    arguments: list[object] = [
        question.id,
        question.to_wire(),
        names.DEDUPE_TTL_S,
        max_queued,
        question.asked_at_s,
        question.accepted_at_s,
        conversation,
        busy.to_wire(),
        names.DELIVERY_TTL_S,
    ]
    return _call(lua.ACCEPT, keys, arguments + [part for pair in job_fields.items() for part in pair])


def say(question: Question, final: FinalAnswer) -> ScriptCall:
    """Answer without asking anybody, once for each event: too long, over the limit. EVAL gives 1, or 0 if known."""
    keys = [
        names.question_key(question.id),
        *_open_keys(question),
    ]
    arguments: list[object] = [
        question.id,
        question.to_wire(),
        names.DEDUPE_TTL_S,
        question.accepted_at_s,
        final.outcome.value,
        final.to_wire(),
        names.DELIVERY_TTL_S,
    ]
    return _call(lua.SAY, keys, arguments)


def finish(
    question: Question,
    final: FinalAnswer,
    turn: Turn | None,
    turns_ttl_s: float,
    max_turns_tokens: int,
) -> ScriptCall:
    """End a question and let the next one of its thread go. EVAL gives 1, or 0 where it had its end already."""
    conversation = question.conversation
    keys = [
        *_end_keys(question),
        names.turns_key(conversation),
        *_thread_keys(conversation),
        names.forgotten_key(conversation),
    ]
    arguments: list[object] = [
        question.id,
        final.outcome.value,
        final.to_wire(),
        turn.to_wire() if turn else "",
        names.MAX_TURNS_KEPT,
        max(1, int(turns_ttl_s)),
        conversation,
        names.DELIVERY_TTL_S,
        max_turns_tokens,
        question.accepted_at_s,
    ]
    return _call(lua.FINISH, keys, arguments)


def take_back(question: Question, final: FinalAnswer) -> ScriptCall:
    """End a question that no worker has begun, or whose job is gone or over. EVAL gives 0 where a worker has it."""
    conversation = question.conversation
    keys = [
        *_end_keys(question),
        *_thread_keys(conversation),
        names.job_key(question.id),
        names.CANCELED_KEY,
    ]
    arguments: list[object] = [
        question.id,
        final.outcome.value,
        final.to_wire(),
        conversation,
        names.DELIVERY_TTL_S,
    ]
    return _call(lua.TAKE_BACK, keys, arguments)


def amend(question: Question, job_data: str) -> ScriptCall:
    """Put the question's new text in place; a worker that has begun with the old one begins anew.

    EVAL gives ``unknown``, ``ended``, ``amended`` or ``begun anew``.
    """
    keys = [names.question_key(question.id), names.delivery_key(question.id), names.job_key(question.id)]
    return _call(lua.AMEND, keys, [question.id, question.to_wire(), job_data])


def stop(question_id: str) -> ScriptCall:
    """Tell the worker that has the question to stop; EVAL gives 0 where none has."""
    return _call(lua.STOP, [names.job_key(question_id)], [question_id])


def withdraw(question: Question, final: FinalAnswer) -> ScriptCall:
    """Take the answer to an ended question away, and forget its turn. EVAL gives 0 where there is none (any more)."""
    keys = [
        *_end_keys(question),
        names.turns_key(question.conversation),
    ]
    return _call(lua.WITHDRAW, keys, [question.id, final.to_wire(), names.DELIVERY_TTL_S])


def forget(conversation: str, now_s: float, turns_ttl_s: float) -> ScriptCall:
    """Forget a thread's turns, and those of the questions that are still open. EVAL gives 1 where there were any."""
    keys = [names.turns_key(conversation), names.forgotten_key(conversation)]
    return _call(lua.FORGET, keys, [now_s, max(1, int(turns_ttl_s))])


def unblock(conversation: str) -> ScriptCall:
    """Let a thread go on whose head is gone; does nothing where the head is alive."""
    return _call(lua.UNBLOCK, _thread_keys(conversation), [conversation])
