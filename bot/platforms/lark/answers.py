"""Answers as Lark cards: one message for each question, growing by CardKit's streaming, whatever goes wrong.

A reply goes out under a ``uuid`` that is derived from the question, so that Lark shows it once however often it is sent
within an hour; after that, the chat is read. What cannot be streamed is shown by replacing the card, then by
``im.message.patch``, then as a plain message.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import structlog

from bot.platform import (
    PlatformError,
    Reply,
    SendAmbiguousError,
    SendRefusedError,
    TooLateToEditError,
)
from bot.platforms.lark.api import LarkApi
from bot.platforms.lark.cards import TRIES, Cards, Part, fall_back
from bot.platforms.lark.errors import (
    MESSAGE_GONE,
    PLACE_REFUSED,
    STREAMING_CLOSED,
    LarkRefusedError,
)
from bot.platforms.lark.history import History
from bot.platforms.lark.markup import Face, card, faces
from bot.platforms.lark.pace import Pace
from bot.remembered import Remembered
from contract.question import Question

Json = dict[str, Any]
SAME_UUID_IS_ONCE_FOR_S = 3_300.0
"""Lark's own hour, with some minutes for the way and for clocks."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Shown:
    """The messages that answer one question, in order."""

    question: Question
    parts: list[Part] = field(default_factory=list)

    @property
    def sent_id(self) -> str:
        """What the next process needs."""
        return json.dumps([[part.message_id, part.card_id, part.kind] for part in self.parts])


class Answers:
    """Shows replies. `rotate_after_s`: a card's streaming mode ends by itself 10 min after it was opened."""

    def __init__(self, api: LarkApi, pace: Pace, app_id: str, *, rotate_after_s: float = 540.0) -> None:
        self._api = api
        self._pace = pace
        self._cards = Cards(api, pace)
        self._history = History(api, pace, app_id)
        self._rotate_after_s = rotate_after_s
        self._shown: Remembered[str, Shown] = Remembered()
        self._doubtful: Remembered[str, None] = Remembered()
        self._plain: Remembered[str, None] = Remembered()
        self._given_up: Remembered[str, None] = Remembered()
        self._since_s = time.time()

    async def send(self, reply: Reply) -> str:
        """As `Platform.send`."""
        question, wanted = reply.question, faces(reply)
        if sent_id := await self._sent_long_ago(question):
            await self.edit(sent_id, reply)
            return sent_id
        shown = Shown(question)
        try:
            shown.parts.append(await self._send_part(question, 0, wanted[0]))
        except SendAmbiguousError:
            self._doubtful[question.id] = None
            raise
        self._shown[question.id] = shown
        try:
            await self._show_all(shown, wanted)
        except PlatformError as error:
            # The first message is there already, so it has to be found and completed, and not to be sent again.
            self._doubtful[question.id] = None
            raise SendAmbiguousError(str(error)) from error
        return shown.sent_id

    async def edit(self, sent_id: str, reply: Reply) -> None:
        """As `Platform.edit`."""
        shown = self._shown.get(reply.question.id) or await self._restore(sent_id, reply.question)
        await self._show_all(shown, faces(reply))

    async def find(self, question: Question) -> str | None:
        """As `Platform.find`."""
        parts = await self._read_back(question)
        # What was sent may still arrive: from now on a send is looked at before it is believed.
        self._doubtful[question.id] = None
        if not parts:
            return None
        shown = Shown(question, parts)
        self._shown[question.id] = shown
        return shown.sent_id

    def recalled(self, message_id: str) -> None:
        """A message was recalled; when it is one of ours, it cannot be edited any more."""
        for shown in self._shown.values():
            for part in shown.parts:
                part.gone |= part.message_id == message_id

    def _is_doubtful(self, question: Question) -> bool:
        """Whether a send may only give what was sent before: by us, or by a process before this one."""
        return question.id in self._doubtful or question.accepted_at_s < self._since_s

    async def _sent_long_ago(self, question: Question) -> str | None:
        """The reply of a question so old that the same uuid does not protect it any more; None where there is none."""
        if time.time() - question.accepted_at_s < SAME_UUID_IS_ONCE_FOR_S or not self._is_doubtful(question):
            return None
        try:
            return await self.find(question)
        except SendRefusedError as error:
            log.warning("the chat cannot be read back", error=str(error))
            return None

    async def _read_back(self, question: Question) -> list[Part]:
        """Our messages that answer this question, as the chat shows them, without those that were given up."""
        found = [Part.found(item) for item in await self._history.replies_to(question)]
        return [part for part in found if part.message_id not in self._given_up]

    async def _restore(self, sent_id: str, question: Question) -> Shown:
        """What an earlier process has shown."""
        known = [Part(message_id, kind, card_id) for message_id, card_id, kind in json.loads(sent_id)]
        card_ids = {part.message_id: part.card_id for part in known}
        try:
            parts = await self._read_back(question)
        except SendRefusedError as error:
            log.warning("the chat cannot be read back", error=str(error))
            parts = known
        if not parts:
            raise TooLateToEditError("the answer was deleted in the chat")
        for part in parts:
            part.card_id = card_ids.get(part.message_id, "")
        shown = Shown(question, parts)
        self._doubtful[question.id] = None
        self._shown[question.id] = shown
        return shown

    # --- sending

    async def _send_part(self, question: Question, number: int, face: Face) -> Part:
        """Send one message, or find it sent; under another uuid where an earlier one was deleted or given up."""
        since_s = time.monotonic()
        for generation in range(TRIES):
            item, card_id = await self._post(question, f"{question.id}-{number}-{generation}", face)
            if not item.get("deleted") and item["message_id"] not in self._given_up:
                break
        part = Part.found(item)
        if not self._is_doubtful(question):
            part.card_id, part.shown = card_id, face
            part.streaming_since_s = since_s if face.growing and card_id else None
        return part

    async def _post(self, question: Question, send_uuid: str, face: Face) -> tuple[Json, str]:
        """The message, and the id of its card; the best form that Lark takes."""
        if question.id not in self._plain:
            # For both calls at once: a card that is not sent after all would have been made for nothing.
            things = ("api", "card.create"), ("api", "message.reply"), ("chat", question.channel)
            await self._pace.wait(*things, urgent=not face.growing)
            card_id = await self._cards.create(face)
            content = {"type": "card", "data": {"card_id": card_id}} if card_id else card(face)
            try:
                return await self._reply(question, send_uuid, "interactive", content), card_id
            except LarkRefusedError as error:
                if error.code in PLACE_REFUSED:
                    raise
                fall_back("text", error)
                self._plain[question.id] = None
        await self._pace.wait(("api", "message.reply"), ("chat", question.channel), urgent=not face.growing)
        return await self._reply(question, send_uuid, "text", {"text": face.whole}), ""

    async def _reply(self, question: Question, send_uuid: str, kind: str, content: Json) -> Json:
        body: Json = {"msg_type": kind, "content": json.dumps(content, ensure_ascii=False), "uuid": send_uuid}
        if question.address.get("thread_id"):
            body["reply_in_thread"] = True
        answer = await self._api.call("POST", f"/open-apis/im/v1/messages/{question.message_id}/reply", body)
        item: Json = answer["data"]
        return item

    # --- showing

    async def _show_all(self, shown: Shown, wanted: list[Face]) -> None:
        for number, face in enumerate(wanted):
            if number == len(shown.parts):
                shown.parts.append(await self._send_part(shown.question, number, face))
            await self._show(shown, shown.parts[number], face)
        while len(shown.parts) > len(wanted):
            await self._delete(shown.parts[-1])
            shown.parts.pop()

    async def _show(self, shown: Shown, part: Part, face: Face) -> None:
        if part.gone:
            raise TooLateToEditError("the answer was recalled in the chat")
        if part.shown == face:
            return
        if part.kind != "interactive":
            # A text may be edited 20 times: once is for the end.
            if face.growing:
                return
            await self._edit_text(part, face)
        else:
            if not part.card_id and part.shown is None:
                part.card_id = await self._cards.id_of(part)
            if face.growing and part.card_id:
                await self._stream(shown, part, face)
            else:
                await self._replace(shown, part, face)
        part.shown = face

    async def _stream(self, shown: Shown, part: Part, face: Face) -> None:
        try:
            since_s = part.streaming_since_s
            if since_s is None or time.monotonic() - since_s > self._rotate_after_s:
                await self._cards.open_streaming(shown.question, part)
            try:
                await self._cards.stream(shown.question, part, face)
            except LarkRefusedError as error:
                if error.code not in STREAMING_CLOSED:
                    raise
                await self._cards.open_streaming(shown.question, part)
                await self._cards.stream(shown.question, part, face)
        except LarkRefusedError as error:
            if error.code in MESSAGE_GONE:
                raise await self._give_up(part, error) from error
            fall_back("whole card", error)
            await self._replace(shown, part, face)

    async def _replace(self, shown: Shown, part: Part, face: Face) -> None:
        """Put a whole card in the place of what is shown: by CardKit, or as the message's new content."""
        content = json.dumps(card(face), ensure_ascii=False)
        if part.card_id:
            try:
                await self._cards.replace(shown.question, part, face)
                return
            except LarkRefusedError as error:
                if error.code in MESSAGE_GONE:
                    raise await self._give_up(part, error) from error
                fall_back("patched message", error)
                part.card_id = ""
        await self._pace.wait(("api", "message.patch"), ("message", part.message_id), urgent=not face.growing)
        try:
            await self._api.call("PATCH", f"/open-apis/im/v1/messages/{part.message_id}", {"content": content})
        except LarkRefusedError as error:
            if error.code in MESSAGE_GONE:
                raise await self._give_up(part, error) from error
            if face.growing:
                raise
            await self._give_up_cards(shown, error)

    async def _give_up_cards(self, shown: Shown, reason: LarkRefusedError) -> None:
        """Take the cards away, so that the answer can be sent as a plain message in their place."""
        fall_back("text", reason)
        self._plain[shown.question.id] = None
        for part in shown.parts:
            await self._give_up(part, reason)
        self._shown.pop(shown.question.id, None)
        raise TooLateToEditError(str(reason)) from reason

    async def _give_up(self, part: Part, reason: LarkRefusedError) -> TooLateToEditError:
        """Take away a message that cannot be changed any more: what is sent next has to be another one."""
        self._given_up[part.message_id] = None
        if reason.code not in MESSAGE_GONE:
            await self._delete(part)
        return TooLateToEditError(str(reason))

    async def _edit_text(self, part: Part, face: Face) -> None:
        body = {"msg_type": "text", "content": json.dumps({"text": face.whole}, ensure_ascii=False)}
        await self._pace.wait(("api", "message.update"), ("message", part.message_id), urgent=True)
        try:
            await self._api.call("PUT", f"/open-apis/im/v1/messages/{part.message_id}", body)
        except LarkRefusedError as error:
            raise await self._give_up(part, error) from error

    async def _delete(self, part: Part) -> None:
        await self._pace.wait(("api", "message.delete"), urgent=True)
        try:
            await self._api.call("DELETE", f"/open-apis/im/v1/messages/{part.message_id}")
        except LarkRefusedError as error:
            if error.code not in MESSAGE_GONE:
                log.warning("a message that is not wanted any more stays", error=str(error))
