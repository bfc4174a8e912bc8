"""An OpenAI-compatible server on loopback that repeats what it is asked, and fails in whatever way it is told to.

A fault is told by a word in the prompt, ``fault:NAME``, or by `OpenAIServer.faults`, whose first is taken by the next
request. The names are those of `FAULTS` and any status above 399, with ``:S`` behind it to be told to wait S seconds.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
from collections import deque
from typing import Any, NoReturn

from aiohttp import web

KEY, MODEL = "sk-fake-0123456789abcdef", "fake-model"
CONTEXT_TOKENS = 3000
_FAULT = re.compile(r"fault:(\S+)")
_TOKEN = re.compile(r"(?:[\u3000-\u9fff]|[^\s\u3000-\u9fff]+)\s*")
FAULTS = (
    "quota",  # 429 for good
    "long",  # the prompt is too long
    "drop",  # the connection is cut before the answer begins
    "hang",  # nothing is said at all
    "endless",  # the limit of tokens is not kept
    "unfinished",  # the answer has no end
    "filter",  # ended by a filter of content
    # After the second word:
    "cut",
    "stall",
    "garbage",
    "odd",
    "error",
    "refusal",
)
_BODIES = {
    401: {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"},
    404: {"message": "The model `other` does not exist", "code": "model_not_found"},
    429: {"message": "Rate limit reached", "code": "rate_limit_exceeded"},
}


class OpenAIServer:
    """The server, in a thread of its own. `delay_s`: pause before each token. `asked`: the bodies of all requests.

    `refused_fields`: fields that it takes for wrong, as some servers do. `cut_off`: answers that the client left.
    """

    def __init__(self, delay_s: float = 0.001) -> None:
        self.delay_s = delay_s
        self.faults: deque[str] = deque()
        self.asked: list[dict[str, Any]] = []
        self.refused_fields: dict[str, str] = {}
        self.cut_off = 0
        self.most_at_once = 0
        self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake openai", daemon=True)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    async def _start(self) -> int:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _models(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _error(401, _BODIES[401])
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _error(401, _BODIES[401])
        if body["model"] != MODEL:
            return _error(404, _BODIES[404])
        for field, sentence in self.refused_fields.items():
            if field in body:
                return _error(400, {"message": sentence, "code": None})
        text = body["messages"][-1]["content"]
        named = _FAULT.search(text)
        fault = self.faults.popleft() if self.faults else named[1] if named else ""
        status, _, wait_s = fault.partition(":")
        if status.isdigit():
            headers = {"Retry-After": wait_s} if wait_s else {}
            return _error(int(status), _BODIES.get(int(status), {"message": "no", "code": None}), headers)
        assert not fault or fault in FAULTS, f"no such fault: {fault}"
        if fault == "quota":
            return _error(429, {"message": "You exceeded your current quota", "code": "insufficient_quota"})
        prompt_tokens = sum(len(_TOKEN.findall(turn["content"])) for turn in body["messages"])
        if prompt_tokens > CONTEXT_TOKENS or fault == "long":
            sentence = f"This model's maximum context length is {CONTEXT_TOKENS} tokens."
            return _error(400, {"message": sentence, "code": "context_length_exceeded"})
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._stream(request, body, prompt_tokens, fault)
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        finally:
            self._at_once -= 1

    async def _stream(
        self, request: web.Request, body: dict[str, Any], prompt_tokens: int, fault: str
    ) -> web.StreamResponse:
        if fault == "drop":
            _cut(request)
        if fault == "hang":
            await asyncio.sleep(3600)
        limit = body.get("max_tokens") or body["max_completion_tokens"]
        words = _words(body)
        said = words if fault == "endless" else words[:limit]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, word in enumerate(said):
            if number == 2 and fault:
                await _break(fault, request, response)
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await _send(response, _chunk({"content": word}))
        if fault != "unfinished":
            reason = "content_filter" if fault == "filter" else "length" if len(said) < len(words) else "stop"
            await _send(response, _chunk({}, reason))
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(said), "total_tokens": 0}
            await _send(response, {**_chunk({}), "choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
        return response


async def _break(fault: str, request: web.Request, response: web.StreamResponse) -> None:
    if fault == "cut":
        _cut(request)
    if fault == "stall":
        await asyncio.sleep(3600)
    if fault == "garbage":
        await response.write(b"data: {this is no JSON\n\n")
    if fault == "odd":
        await response.write(b'data: {"choices": 7}\n\n')
    if fault == "error":
        await _send(response, {"error": {"message": "the card is on fire", "code": 500}})
    if fault == "refusal":
        await _send(response, _chunk({"refusal": "I will not."}))


def _words(body: dict[str, Any]) -> list[str]:
    """The last turn's words; with a temperature in an order that the seed chooses."""
    words = _TOKEN.findall(body["messages"][-1]["content"]) or ["?"]
    if body.get("temperature"):
        random.Random(body.get("seed")).shuffle(words)
    return words


def _chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": MODEL, "choices": [choice]}


async def _send(response: web.StreamResponse, data: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(data).encode() + b"\n\n")


def _error(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": body}, status=status, headers=headers)


def _cut(request: web.Request) -> NoReturn:
    """Close the connection without a word."""
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError("told to")
