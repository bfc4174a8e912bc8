"""Cards by CardKit: made, streamed into, put whole in the place of what they show."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

import structlog

from bot.platform import SendAmbiguousError, SendLaterError
from bot.platforms.lark import metrics
from bot.platforms.lark.api import LarkApi
from bot.platforms.lark.errors import SEQUENCE_REJECTED, LarkRefusedError
from bot.platforms.lark.markup import ANSWER, Face, card
from bot.platforms.lark.pace import Pace
from contract.question import Question

Json = dict[str, Any]
TRIES = 4
SEQUENCE_STEP = 60_000
"""A card's sequence is the time in milliseconds; a clock that was put back is overtaken in steps of a minute."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Part:
    """One message of an answer. `card_id` is empty where the card is known by its message alone."""

    message_id: str
    kind: str = "interactive"
    card_id: str = ""
    sequence: int = 0
    streaming_since_s: float | None = None
    shown: Face | None = None
    gone: bool = False

    @classmethod
    def found(cls, item: Json) -> Part:
        """A message of ours as the API gives it; what it shows is not known."""
        return cls(str(item["message_id"]), str(item.get("msg_type", "interactive")))


class Cards:
    """The operations on cards. Raises LarkRefusedError, and what `LarkApi.call` and `Pace.wait` raise."""

    def __init__(self, api: LarkApi, pace: Pace) -> None:
        self._api = api
        self._pace = pace

    async def create(self, face: Face) -> str:
        """The id of a new card; empty where CardKit does not take it."""
        body = {"type": "card_json", "data": json.dumps(card(face), ensure_ascii=False)}
        try:
            answer = await self._api.call("POST", "/open-apis/cardkit/v1/cards", body)
        except SendAmbiguousError as error:
            # A card that is in no message is seen by nobody.
            raise SendLaterError(str(error), 0.5) from error
        except LarkRefusedError as error:
            fall_back("card in a message", error)
            return ""
        return str(answer["data"]["card_id"])

    async def id_of(self, part: Part) -> str:
        """The id of the card that a message shows; empty where Lark does not say."""
        await self._pace.wait(("api", "card.id_convert"), urgent=True)
        body = {"message_id": part.message_id}
        try:
            answer = await self._api.call("POST", "/open-apis/cardkit/v1/cards/id_convert", body)
        except LarkRefusedError as error:
            fall_back("patched message", error)
            return ""
        return str(answer["data"]["card_id"])

    async def stream(self, question: Question, part: Part, face: Face) -> None:
        """Show more of a growing text."""
        path = f"/elements/{ANSWER}/content"
        await self._operate(question, part, "element.content", "PUT", path, {"content": face.text})

    async def open_streaming(self, question: Question, part: Part) -> None:
        """Open streaming mode, anew where it is open."""
        part.streaming_since_s = None
        # From before the call: Lark's clock may start at any time during it.
        since_s = time.monotonic()
        for mode in (False, True):
            settings = json.dumps({"config": {"streaming_mode": mode}})
            await self._operate(question, part, "card.settings", "PATCH", "/settings", {"settings": settings})
        part.streaming_since_s = since_s

    async def replace(self, question: Question, part: Part, face: Face) -> None:
        """Put a whole card in the place of what is shown, which ends streaming."""
        body = {"card": {"type": "card_json", "data": json.dumps(card(face), ensure_ascii=False)}}
        await self._operate(question, part, "card.update", "PUT", "", body)
        part.streaming_since_s = None

    async def _operate(self, question: Question, part: Part, api: str, method: str, path: str, body: Json) -> None:
        """One operation on a card, under a sequence above all earlier ones, those of earlier processes included."""
        for number in range(TRIES):
            since_asked_ms = int((time.time() - question.accepted_at_s) * 1000)
            part.sequence = max(part.sequence + 1, since_asked_ms) + number * SEQUENCE_STEP
            # The streaming calls show what grows; a whole card may be the end.
            await self._pace.wait(("api", api), ("card", part.card_id), urgent=api == "card.update")
            whole = {**body, "sequence": part.sequence, "uuid": str(uuid.uuid4())}
            try:
                await self._api.call(method, f"/open-apis/cardkit/v1/cards/{part.card_id}{path}", whole)
                return
            except LarkRefusedError as error:
                if error.code != SEQUENCE_REJECTED or number == TRIES - 1:
                    raise


def fall_back(form: str, reason: Exception) -> None:
    """An answer, or a part of one, is shown in a simpler form."""
    metrics.fallbacks.labels(form).inc()
    log.warning("an answer is shown in a simpler form", form=form, reason=str(reason))
