"""What the commands of a chat do. Each may be done twice: an event that comes again changes nothing more."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis

from bot import rendering
from bot.channel_rules import ChannelRules, hours_of, is_at_work
from bot.chat_event import FeedbackGiven
from bot.command import FOR_ADMINS, FOR_EVERYBODY, Command
from bot.conversations import Conversations
from bot.feedback import FeedbackBook
from bot.handover import Handover
from bot.history import History
from bot.inbox import Inbox
from bot.phrases import phrase
from config.sections import LimitsSettings
from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from contract.why import Why

QUESTION_CHARACTERS = 120
QUOTE_CHARACTERS = 300
_PERSON, _GROUP = "person_questions", "group_questions"
_OWN_LIMIT = {"person": _PERSON, "个人": _PERSON, "group": _GROUP, "本群": _GROUP}
_USUAL = ("off", "默认")
DEFAULT_BASE = "default"


@dataclass(frozen=True, slots=True)
class Said:
    """What the bot says to a command, and whom it calls."""

    text: str
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A command with who gave it and where. `own` is what admins have set in the channel."""

    command: Command
    here: Question
    is_admin: bool
    own: dict[str, str]

    def say(self, key: str, **values: str | int) -> Said:
        """A fixed sentence in the language of the command."""
        return Said(phrase(self.here.language, key, **values))


class ChatCommands:
    """Obeys commands. `redis` waits for it (`patient_client`)."""

    def __init__(
        self,
        redis: Redis,
        inbox: Inbox,
        history: History,
        conversations: Conversations,
        feedback: FeedbackBook,
        handover: Handover,
        rules: ChannelRules,
        limits: LimitsSettings,
    ) -> None:
        self._redis = redis
        self._inbox = inbox
        self._history = history
        self._conversations = conversations
        self._feedback = feedback
        self._handover = handover
        self._rules = rules
        self._limits = limits
        self._table: dict[str, Callable[[Asked], Awaitable[Said]]] = {
            "help": self._help,
            "status": self._status,
            "sources": self._sources,
            "why": self._why,
            "forget": self._forget,
            "stop": self._stop,
            "withdraw": self._withdraw,
            "human": self._human,
            "good": self._judge,
            "bad": self._judge,
            "pause": self._pause,
            "resume": self._resume,
            "limit": self._limit,
            "kb": self._kb,
        }

    async def obey(self, asked: Asked) -> Said:
        """Do what the command says, and give what there is to say of it. Raises InboxError, RedisError."""
        if asked.command.is_for_admins and not asked.is_admin:
            return asked.say("admins_only")
        return await self._table[asked.command.name](asked)

    # --- for everybody

    async def _help(self, asked: Asked) -> Said:
        def line(name: str) -> str:
            word = phrase(asked.here.language, f"command_{name}").partition("|")[0]
            return phrase(asked.here.language, "help_line", word=word, what=phrase(asked.here.language, f"help_{name}"))

        lines = [phrase(asked.here.language, "help"), *map(line, FOR_EVERYBODY)]
        if asked.is_admin:
            lines += ["", phrase(asked.here.language, "help_admins"), *map(line, FOR_ADMINS)]
        return Said("\n".join(lines))

    async def _status(self, asked: Asked) -> Said:
        here, language = asked.here, asked.here.language
        async with self._redis.pipeline(transaction=False) as step:
            step.llen(names.QUEUE_KEY)
            step.zcard(names.DEFERRED_KEY)
            queued, deferred = await step.execute()
        engines = await self._engines_ready()
        channel = self._rules.of(here.place)
        if asked.own.get("paused") == "1":
            state = phrase(language, "status_paused")
        elif not is_at_work(channel, here.accepted_at_s):
            state = phrase(language, "status_off_hours", hours=hours_of(channel, language))
        else:
            state = phrase(language, "status_ready" if engines else "status_no_engine")
        person = f"{here.platform}:{here.tenant}:{here.asker}"
        counts = {"waiting": queued + deferred, "engines": engines}
        return asked.say("status", state=state, place=here.place, person=person, **counts)

    async def _engines_ready(self) -> int:
        workers = [str(key).rpartition(":")[2] for key in await self._redis.smembers(names.WORKERS_KEY)]
        states: Any = [await self._redis.hget(names.engine_key(worker), "state") for worker in workers]
        return sum(state == "ready" for state in states)

    async def _sources(self, asked: Asked) -> Said:
        final = await self._history.last(asked.here)
        if final is None or not final.citations:
            return asked.say("sources_none")
        language = asked.here.language
        lines = [phrase(language, "sources_of", question=_asked_text(final))]
        for number, citation in enumerate(final.citations, start=1):
            quote = " ".join(citation.quote.split())[:QUOTE_CHARACTERS]
            line = rendering.source_line(citation)
            lines.append(phrase(language, "source_quote", number=number, line=line, quote=quote))
        return Said("\n".join(lines))

    async def _why(self, asked: Asked) -> Said:
        final = await self._history.last(asked.here)
        if final is None:
            return asked.say("why_none")
        known = {Outcome.ANSWERED, Outcome.NOT_FOUND, Outcome.SMALL_TALK}
        told = asked.say(
            f"why_{final.outcome.value if final.outcome in known else 'failed'}",
            question=_asked_text(final),
            seconds=f"{final.total_ms / 1000:.1f}",
            count=len(final.citations),
            sources=", ".join(f"{citation.title}" for citation in final.citations),
        )
        question_id = Question.from_wire(final.question).id
        lines = [told.text, asked.say("why_id", id=question_id).text]
        why = Why.if_readable(await self._redis.get(names.why_key(question_id)))
        if why is not None:
            scores = {"score": f"{why.score:.2f}", "min_score": f"{why.min_score:.2f}"}
            lines.insert(1, asked.say("why_score", **scores).text)
        return Said("\n".join(lines))

    async def _forget(self, asked: Asked) -> Said:
        await self._conversations.forget(asked.here.conversation)
        return asked.say("forgotten")

    async def _stop(self, asked: Asked) -> Said:
        under_way = await self._conversations.under_way(asked.here, of_everybody=asked.is_admin)
        for question in under_way:
            await self._inbox.stop(question)
        return asked.say("stopping" if under_way else "stop_nothing")

    async def _withdraw(self, asked: Asked) -> Said:
        final = await self._history.last(asked.here)
        if final is None:
            return asked.say("withdraw_nothing")
        question = Question.from_wire(final.question)
        if question.asker != asked.here.asker and not asked.is_admin:
            return asked.say("withdraw_not_yours")
        return asked.say("withdraw_done" if await self._inbox.withdraw(question) else "withdraw_nothing")

    async def _human(self, asked: Asked) -> Said:
        final = await self._history.last(asked.here)
        about = _asked_text(final) if final else asked.here.text
        return Said(*await self._handover.call(asked.here, about))

    async def _judge(self, asked: Asked) -> Said:
        final = await self._history.last(asked.here)
        if final is None:
            return asked.say("feedback_nothing")
        judged, here = Question.from_wire(final.question), asked.here
        verdict: Literal["good", "bad"] = "good" if asked.command.name == "good" else "bad"
        reason = asked.command.argument
        given = FeedbackGiven(here.platform, judged.id, here.asker, verdict, here.asked_at_s, reason)
        await self._handover.judged(await self._feedback.note(given))
        return asked.say("feedback_thanks")

    # --- for admins

    async def _pause(self, asked: Asked) -> Said:
        await self._redis.hset(names.channel_key(asked.here.place), "paused", "1")
        return asked.say("paused")

    async def _resume(self, asked: Asked) -> Said:
        await self._redis.hdel(names.channel_key(asked.here.place), "paused")
        return asked.say("resumed")

    async def _limit(self, asked: Asked) -> Said:
        key, argument = names.channel_key(asked.here.place), asked.command.argument
        own = dict(asked.own)
        if argument in _USUAL:
            await self._redis.hdel(key, _PERSON, _GROUP)
            own = {}
        elif argument:
            *level, count = argument.split()
            field = _OWN_LIMIT[level[0] if level else "person"]
            await self._redis.hset(key, field, count)
            own[field] = count
        limits = self._limits
        return asked.say(
            "limits",
            window=rendering.duration(limits.window_s, asked.here.language),
            person=own.get(_PERSON, str(limits.person_questions)),
            group=own.get(_GROUP, str(limits.group_questions)),
            overall=limits.overall_questions,
        )

    async def _kb(self, asked: Asked) -> Said:
        """Look at, or change, the channel's binding as `fennel kb bind` writes it."""
        place, name = asked.here.place, asked.command.argument
        async with self._redis.pipeline(transaction=True) as step:
            if name in _USUAL or name == DEFAULT_BASE:
                step.hdel(names.bindings_key(), place)
            elif name:
                step.hset(names.bindings_key(), place, json.dumps([name], ensure_ascii=False))
            if name:
                step.incr(names.bindings_changes_key())
                await step.execute()
        bound = await self._redis.hget(names.bindings_key(), place)
        if bound is None:
            return asked.say("kb_default")
        return asked.say("kb_bound", name=", ".join(json.loads(bound)))


def _asked_text(final: FinalAnswer) -> str:
    text = " ".join(Question.from_wire(final.question).text.split())
    return text if len(text) <= QUESTION_CHARACTERS else f"{text[:QUESTION_CHARACTERS]}…"
