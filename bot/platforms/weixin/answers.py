"""Answers in WeChat's direct messages: one message or more, none of which can be changed or looked up.

A message carries a `client_id` of our own and the `context_token` of what it answers. Whether WeChat shows a second
message with the same `client_id` is not known; so it is the same on a second try, and the second try is marked.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from bot.platform import Reply, SendLaterError, SendRefusedError
from bot.platforms.weixin import metrics
from bot.platforms.weixin.api import OK, REFUSED, ILinkApi, LoginOverError, ret_of
from bot.platforms.weixin.records import Record, Records
from bot.platforms.weixin.sentences import NOTES_BYTES, sentence
from bot.text_parts import split
from contract.question import Question

MESSAGE_BYTES = 4_000
"""Tencent's own client cuts at 4,000 characters; whether the server counts bytes is not known."""
PART_BYTES = MESSAGE_BYTES - NOTES_BYTES
TRIES_OF_A_MESSAGE = 2
"""The second one is marked. A third would be one mark too many."""
UNANSWERED_LIMIT = 10
"""As people report: so many messages in a row until the person has to write."""
CONTEXT_LIFE_S = 24 * 3600.0
PERSON_AGAIN_S = 2.0
PERSON_AGAIN_AFTER_S = 300.0
"""A refusal is asked about again after this long, even where the person did not write."""
BUSY = frozenset({-1})
BUSY_AGAIN_S = 5.0


class Answers:
    """Shows the answers of one login. Whatever breaks, or dies, is taken up again from the record in Redis."""

    def __init__(self, api: ILinkApi, bot_id: str, records: Records) -> None:
        self._api = api
        self._bot_id = bot_id
        self._records = records
        self._refused_at_s: dict[str, float] = {}
        self._wrote: Counter[str] = Counter()

    async def tell(self, question_id: str, person: str, address: Mapping[str, str], text: str) -> None:
        """Say a fixed sentence beside the answer, or in place of one, at most once; it is not worth a second try."""
        record = await self._records.load(question_id)
        if record.told or record.plan:
            return
        await self._records.write(question_id, replace(record, told=True))
        try:
            await self.say(person, address, text, f"{question_id}-notice")
        except SendLaterError:
            await self._records.write(question_id, record)
            raise

    async def end(self, reply: Reply) -> None:
        """Show the end in as many messages as it needs.

        Raises SendLaterError, SendAmbiguousError, SendRefusedError or LoginOverError; calling it again goes on where
        it was.
        """
        question = reply.question
        digest = hashlib.sha256(reply.whole.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        record = await self._records.load(question.id)
        if record.plan != digest:
            record = await self._records.write(question.id, replace(record, plan=digest, done=0, tries=0))
        parts = split(reply.whole, PART_BYTES)
        for number in range(record.done, len(parts)):
            text = parts[number]
            if number < len(parts) - 1:
                text = f"{text}\n\n{sentence(question.language, 'goes_on')}"
            record = await self._show_part(question, record, text, f"{question.id}-{digest}-{number}")

    async def say(self, person: str, address: Mapping[str, str], text: str, client_id: str) -> int:
        """Send one message and give what WeChat says to it. Raises what `ILinkApi.post` raises."""
        message = {
            "from_user_id": "",
            "to_user_id": person,
            "client_id": client_id,
            "message_type": 2,
            "message_state": 2,
            "item_list": [{"type": 1, "text_item": {"text": text}}],
            "context_token": address.get("context_token", ""),
        }
        ret = ret_of(await self._api.post("sendmessage", {"msg": message}))
        if ret == OK:
            await self._records.count_unanswered(self._bot_id, person)
        return ret

    async def wrote(self, person: str) -> None:
        """The person has written: WeChat takes messages to them again."""
        self._wrote[person] += 1
        self._refused_at_s.pop(person, None)
        await self._records.forget_unanswered(self._bot_id, person)

    async def _show_part(self, question: Question, record: Record, text: str, client_id: str) -> Record:
        if record.tries >= TRIES_OF_A_MESSAGE:
            raise SendRefusedError("WeChat confirmed no try to send the answer")
        if time.monotonic() < self._refused_at_s.get(question.channel, -PERSON_AGAIN_AFTER_S) + PERSON_AGAIN_AFTER_S:
            raise self._wait_for_the_person(question)
        if await self._records.unanswered(self._bot_id, question.channel) == UNANSWERED_LIMIT - 1:
            text = f"{text}\n\n{sentence(question.language, 'write_first')}"
        if record.tries:
            text = f"{sentence(question.language, 'maybe')}\n\n{text}"
            metrics.sent_again.inc()
        wrote = self._wrote[question.channel]
        tried = await self._records.write(question.id, replace(record, tries=record.tries + 1))
        try:
            ret = await self.say(question.channel, question.address, text, client_id)
        except (SendLaterError, SendRefusedError, LoginOverError):
            await self._records.write(question.id, record)
            raise
        if ret == OK:
            return await self._records.write(question.id, replace(tried, done=tried.done + 1, tries=0))
        await self._records.write(question.id, record)
        if ret == REFUSED:
            if self._wrote[question.channel] == wrote:
                self._refused_at_s[question.channel] = time.monotonic()
            raise self._wait_for_the_person(question)
        if ret in BUSY:
            raise SendLaterError(f"WeChat does not take it now (ret {ret})", BUSY_AGAIN_S)
        raise SendRefusedError(f"WeChat refused the answer (ret {ret})")

    def _wait_for_the_person(self, question: Question) -> SendLaterError | SendRefusedError:
        """WeChat takes nothing until the person writes; a day after the question there is nothing to wait for."""
        if time.time() > question.asked_at_s + CONTEXT_LIFE_S:
            return SendRefusedError("WeChat takes no answer to a question of yesterday")
        metrics.waits_for_a_person.inc()
        return SendLaterError("WeChat takes nothing more until the person writes", PERSON_AGAIN_S)
