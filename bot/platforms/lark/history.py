"""What the chat shows: our own replies to a question, read back."""

from __future__ import annotations

from typing import Any

from bot.platforms.lark.api import LarkApi
from bot.platforms.lark.pace import Pace
from contract.question import Question

Json = dict[str, Any]
PAGE_SIZE, PAGES_MAX = 50, 20
CLOCKS_APART_S = 60.0


class History:
    """Reads chats back. Needs the permission to read a group's messages; without it Lark refuses."""

    def __init__(self, api: LarkApi, pace: Pace, app_id: str) -> None:
        self._api = api
        self._pace = pace
        self._app_id = app_id

    async def replies_to(self, question: Question) -> list[Json]:
        """Our own replies to this question that are shown, oldest first."""
        thread_id = question.address.get("thread_id")
        if thread_id:
            return await self._ours("thread", thread_id, question)
        found = await self._ours("chat", question.channel, question)
        # A topic that was opened on the question after it was asked is not in the chat's list.
        if not found and (thread_id := await self._thread_of(question.message_id)):
            found = await self._ours("thread", thread_id, question)
        return found

    async def _ours(self, kind: str, container: str, question: Question) -> list[Json]:
        query = {
            "container_id_type": kind,
            "container_id": container,
            "sort_type": "ByCreateTimeDesc",
            "page_size": str(PAGE_SIZE),
        }
        begin_ms = (question.asked_at_s - CLOCKS_APART_S) * 1000
        found: list[Json] = []
        for _ in range(PAGES_MAX):
            await self._pace.wait(("api", "message.list"), urgent=True)
            data = (await self._api.call("GET", "/open-apis/im/v1/messages", query=query))["data"]
            items = data.get("items") or []
            found += [item for item in items if self._is_ours(item, question)]
            if not data.get("has_more") or (items and int(items[-1]["create_time"]) < begin_ms):
                break
            query["page_token"] = str(data["page_token"])
        return found[::-1]

    def _is_ours(self, item: Json, question: Question) -> bool:
        sender = item.get("sender") or {}
        return (
            item.get("parent_id") == question.message_id
            and sender.get("id") == self._app_id
            and not item.get("deleted")
        )

    async def _thread_of(self, message_id: str) -> str:
        await self._pace.wait(("api", "message.get"), urgent=True)
        answer = await self._api.call("GET", f"/open-apis/im/v1/messages/{message_id}")
        items = answer["data"].get("items") or [{}]
        return str(items[0].get("thread_id") or "")
