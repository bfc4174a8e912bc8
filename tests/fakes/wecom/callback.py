"""Callback mode of an AI bot: the platform calls the bot's own address, encrypted, and polls for a stream's text."""

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web

from tests.fakes.server import Fault
from tests.fakes.wecom import crypto, rules
from tests.fakes.wecom.rules import RefusedError
from tests.fakes.wecom.world import World, answer_http_fault


class CallbackError(ConnectionError):
    """The bot's address gave no usable answer."""


@dataclass(slots=True)
class Poll:
    """A stream whose text the platform goes on asking for."""

    question: dict[str, Any]
    stream_id: str
    expires_at_s: float


class Callback:
    """Calls the bot's address. How long the bot may take is real time, for its work does not scale."""

    def __init__(self, world: World) -> None:
        self.url = ""
        self.unheard: list[dict[str, Any]] = []  # bodies that no try delivered
        self._world = world
        self._session: aiohttp.ClientSession | None = None
        self._polls: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give back the connections to the bot."""
        if self._session:
            await self._session.close()

    # --- calls to the bot

    async def verify(self, url: str) -> dict[str, Any]:
        """What saving the address in the administration does: one signed GET; keeps `url` when it was answered well."""
        echo, timestamp, nonce = secrets.token_hex(8), str(int(time.time())), secrets.token_hex(8)
        encrypted = crypto.encrypt(self._world.account.aes_key, echo)
        query = self._sign(timestamp, nonce, encrypted) | {"echostr": encrypted}
        fault = self._world.server.take_fault("verify")
        if fault and fault.name == "forged":
            query["msg_signature"] = "0" * 40
        self._world.server.note("out", "verify", query)
        try:
            timeout = aiohttp.ClientTimeout(total=self._world.points.verify_wait_s)
            async with self._client().get(url, params=query, timeout=timeout) as response:
                status, text = response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            status, text = 0, repr(error)
        self._world.server.note("in", "verify_answer", {"status": status, "text": text})
        verified = status == 200 and text == echo
        if verified:
            self.url = url
        return {"verified": verified, "status": status, "text": text}

    async def push(self, body: dict[str, Any]) -> dict[str, Any]:
        """Call the bot with a message or event, again when it did not take it; then keep polling its stream."""
        fault = self._world.server.take_fault("callback")
        times = 2 if fault and fault.name == "duplicate" else 1
        statuses = [await self._push_until_heard(body, fault) for _ in range(times)]
        return {"msgid": body["msgid"], "delivered": 200 in statuses, "statuses": statuses}

    async def _push_until_heard(self, body: dict[str, Any], fault: Fault | None) -> int:
        forged = fault is not None and fault.name in FORGERIES
        for attempt in range(1 if forged else rules.CALLBACK_TRIES):
            if attempt:
                await asyncio.sleep(self._world.server.scaled(1.0))
            try:
                status, answer = await self._post(body, "callback", fault if forged else None)
            except CallbackError as error:
                self._world.server.note("in", "callback_answer", {"error": str(error)})
                continue
            if status == 200 and answer:
                self._world.board.guard(partial(self._take, body, answer), "callback")
            if status == 200 or forged:
                return status
        self.unheard.append(body)
        return 0

    async def _post(self, body: dict[str, Any], kind: str, forgery: Fault | None = None) -> tuple[int, dict[str, Any]]:
        """POST one encrypted body; gives the status and the decrypted answer, which is empty when there was none."""
        timestamp, nonce = str(int(time.time())), secrets.token_hex(8)
        encrypted = crypto.encrypt(self._world.account.aes_key, json.dumps(body, ensure_ascii=False))
        query, payload = self._sign(timestamp, nonce, encrypted), json.dumps({"encrypt": encrypted})
        if forgery:
            query, payload = FORGERIES[forgery.name](self._world, query, body)
        self._world.server.note("out", kind, body)
        try:
            timeout = aiohttp.ClientTimeout(total=self._world.points.callback_wait_s)
            headers = {"Content-Type": "application/json"}
            async with self._client().post(
                self.url, params=query, data=payload, headers=headers, timeout=timeout
            ) as response:
                status, raw = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CallbackError(repr(error)) from error
        answer = self._open(raw, nonce) if status == 200 and raw.strip() else {}
        self._world.server.note("in", f"{kind}_answer", {"status": status, "body": answer})
        return status, answer

    def _open(self, raw: bytes, nonce: str) -> dict[str, Any]:
        """The decrypted passive answer; a wrong one is noticed, and nobody sees it."""
        try:
            envelope = json.loads(raw)
            encrypted, timestamp = envelope["encrypt"], str(envelope["timestamp"])
            if envelope["nonce"] != nonce:
                raise ValueError("the nonce is not the request's")
            if envelope["msgsignature"] != crypto.sign(self._world.account.token, timestamp, nonce, encrypted):
                raise ValueError("the signature is wrong")
            message, receive_id = crypto.decrypt(self._world.account.aes_key, encrypted)
            if receive_id:
                raise ValueError("receiveid is not empty")
            answer = json.loads(message)
            return answer if isinstance(answer, dict) else {}
        except (ValueError, KeyError, TypeError) as error:
            self._world.board.notice("passive_answer", str(error))
            return {}

    # --- what the bot answered

    def _take(self, body: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        chatid, kind = body.get("chatid") or body["from"]["userid"], answer.get("msgtype")
        event = body.get("event", {}).get("eventtype", "")
        if event == "enter_chat":
            if kind not in ("text", "template_card"):
                raise RefusedError(rules.INVALID_PARAMETER, "a welcome is a text or a card", "shape")
            self._world.board.show(chatid, answer, "welcome", body["msgid"])
        elif kind in ("stream", "stream_with_template_card"):
            self._start_stream(chatid, body, answer)
        elif kind == "template_card" and not event:
            self._world.board.show(chatid, answer, "callback", body["msgid"])
        else:
            raise RefusedError(rules.INVALID_PARAMETER, f"{kind!r} is no answer to this", "shape")
        return {"errcode": rules.OK}

    def _start_stream(self, chatid: str, body: dict[str, Any], answer: dict[str, Any]) -> None:
        stream = answer.get("stream") or {}
        known = self._world.board.stream(chatid, str(stream.get("id", "")))
        if known is not None and known.finished:
            return  # a callback that came twice got the same finished answer twice
        expires_at_s = self._world.clock.now_s() + rules.STREAM_LIFE_S
        shown = self._world.board.show_stream(chatid, stream, "callback", body["msgid"], expires_at_s)
        if answer.get("template_card"):
            card = {"msgtype": "template_card", "template_card": answer["template_card"]}
            self._world.board.show(chatid, card, "callback", body["msgid"])
        if known is None and not shown.finished:
            task = asyncio.create_task(self._poll(Poll(body, shown.stream_id, shown.expires_at_s)))
            self._polls.add(task)
            task.add_done_callback(self._polls.discard)

    async def _poll(self, poll: Poll) -> None:
        """Ask for the stream's text about every second until it is finished or six minutes have passed."""
        keep = ("aibotid", "chatid", "chattype", "from", "response_url")
        while True:
            await asyncio.sleep(self._world.server.scaled(rules.POLL_INTERVAL_S))
            fault = self._world.server.take_fault("poll")
            if self._world.clock.now_s() > poll.expires_at_s or (fault and fault.name == "stop"):
                self._world.server.note("out", "poll_ended", poll.stream_id)
                return
            body = {name: poll.question[name] for name in keep if name in poll.question}
            body |= {"msgid": secrets.token_hex(16), "msgtype": "stream", "stream": {"id": poll.stream_id}}
            try:
                _, answer = await self._post(body, "poll")
            except CallbackError as error:
                self._world.server.note("in", "poll_answer", {"error": str(error)})
                continue
            if self._refresh(poll, answer):
                return

    def _refresh(self, poll: Poll, answer: dict[str, Any]) -> bool:
        """Show what a poll brought; says whether the stream is finished."""
        chatid = poll.question.get("chatid") or poll.question["from"]["userid"]
        stream = answer.get("stream")
        if not isinstance(stream, dict):
            return False
        if stream.get("id") != poll.stream_id:
            self._world.board.notice("stream_id", f"{stream.get('id')!r} answers the poll for {poll.stream_id!r}")
            return False
        try:
            return self._world.board.show_stream(
                chatid, stream, "callback", poll.question["msgid"], poll.expires_at_s
            ).finished
        except RefusedError as refused:
            self._world.board.notice(refused.rule, f"poll: {refused}")
            return False

    # --- response_url

    async def respond(self, request: web.Request) -> web.Response:
        """``POST /cgi-bin/aibot/response``: one message more for a callback, once."""
        body = await request.json()
        self._world.server.note("in", "response_url", body)
        fault = self._world.server.take_fault("response_url")
        if fault and fault.name == "errcode":
            return web.json_response({"errcode": fault.detail["errcode"], "errmsg": "fault"})
        broken = await answer_http_fault(fault, request) if fault and not fault.name.startswith("commit") else None
        if broken is not None:
            return broken
        code = request.query.get("response_code", "")
        answer = self._world.board.guard(lambda: self._use_code(code, body), "response_url")
        if fault:
            broken = await answer_http_fault(fault, request)
        return broken if broken is not None else web.json_response(answer)

    def _use_code(self, code: str, body: dict[str, Any]) -> dict[str, Any]:
        entry = self._world.response_codes.get(code)
        if entry is None or entry["used"] or self._world.clock.now_s() > entry["expires_at_s"]:
            raise RefusedError(rules.INVALID_PARAMETER, "invalid response_code", "response_code")
        if body.get("msgtype") not in ("markdown", "template_card"):
            raise RefusedError(rules.INVALID_PARAMETER, "markdown or template_card only", "shape")
        self._world.board.show(entry["chatid"], body, "response_url", entry["msgid"])
        entry["used"] = True
        return {"errcode": rules.OK, "errmsg": "ok"}

    # --- wire

    def _sign(self, timestamp: str, nonce: str, encrypted: str) -> dict[str, str]:
        signature = crypto.sign(self._world.account.token, timestamp, nonce, encrypted)
        return {"msg_signature": signature, "timestamp": timestamp, "nonce": nonce}

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session


Forged = tuple[dict[str, str], str]


def _forged_signature(world: World, query: dict[str, str], body: dict[str, Any]) -> Forged:
    encrypted = crypto.encrypt(world.account.aes_key, json.dumps(body))
    return query | {"msg_signature": "0" * 40}, json.dumps({"encrypt": encrypted})


def _other_key(world: World, query: dict[str, str], body: dict[str, Any]) -> Forged:
    """Signed with the right token, but encrypted with a key that is not the bot's."""
    encrypted = crypto.encrypt(crypto.new_aes_key(), json.dumps(body))
    signature = crypto.sign(world.account.token, query["timestamp"], query["nonce"], encrypted)
    return query | {"msg_signature": signature}, json.dumps({"encrypt": encrypted})


def _other_token(world: World, query: dict[str, str], body: dict[str, Any]) -> Forged:
    encrypted = crypto.encrypt(world.account.aes_key, json.dumps(body))
    signature = crypto.sign("another token", query["timestamp"], query["nonce"], encrypted)
    return query | {"msg_signature": signature}, json.dumps({"encrypt": encrypted})


def _other_receiver(world: World, query: dict[str, str], body: dict[str, Any]) -> Forged:
    encrypted = crypto.encrypt(world.account.aes_key, json.dumps(body), "someone else")
    signature = crypto.sign(world.account.token, query["timestamp"], query["nonce"], encrypted)
    return query | {"msg_signature": signature}, json.dumps({"encrypt": encrypted})


def _stale(world: World, query: dict[str, str], body: dict[str, Any]) -> Forged:
    """Right in everything, and an hour old: what somebody heard on the way and says again."""
    encrypted = crypto.encrypt(world.account.aes_key, json.dumps(body))
    timestamp = str(int(query["timestamp"]) - 3600)
    signature = crypto.sign(world.account.token, timestamp, query["nonce"], encrypted)
    return query | {"msg_signature": signature, "timestamp": timestamp}, json.dumps({"encrypt": encrypted})


def _plain(world: World, query: dict[str, str], body: dict[str, Any]) -> Forged:
    return query, json.dumps(body)


def _garbage(world: World, query: dict[str, str], body: dict[str, Any]) -> Forged:
    return query, "{not json"


def _unsigned(world: World, query: dict[str, str], body: dict[str, Any]) -> Forged:
    return {}, json.dumps({"encrypt": crypto.encrypt(world.account.aes_key, json.dumps(body))})


FORGERIES = {
    "forged": _forged_signature,
    "other_key": _other_key,
    "other_token": _other_token,
    "other_receiver": _other_receiver,
    "stale": _stale,
    "plain": _plain,
    "garbage": _garbage,
    "unsigned": _unsigned,
}
