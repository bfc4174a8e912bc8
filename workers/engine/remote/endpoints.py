"""Several servers with one model: the first that works is asked; what fails before its first text is tried again."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

import openai
from aiolimiter import AsyncLimiter
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

from config.sections import EngineSettings
from workers.engine.engine import FinishReason
from workers.engine.prompt_text import without_marks
from workers.engine.remote.answer import MARKS, RemoteAnswer
from workers.engine.remote.fault import BrokenStreamError, Fault, RefusedError, RemoteError, fault_of_error

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
REST_S = 10.0  # of a server that failed, while there are others
PAUSE_S, MAX_PAUSE_S = 0.5, 30.0
# Not every server takes these; each is left out, or called otherwise, once a server has refused it.
OPTIONAL = ("stream_options", "seed", "temperature")


class Endpoint:
    """One server."""

    def __init__(self, url: str, settings: EngineSettings, model: str) -> None:
        self.url = url
        self.rests_until_s = 0.0  # in the time of the event loop
        self._model = model
        self._timeout_s = settings.remote_timeout_s
        self._left_out: set[str] = set()
        self._client = AsyncOpenAI(
            base_url=url,
            # The package wants one; a server without keys does not look at it.
            api_key=settings.remote_key.get_secret_value() or "none",
            timeout=openai.Timeout(self._timeout_s, connect=min(self._timeout_s, CONNECT_TIMEOUT_S)),
            max_retries=0,  # they would not go to another server
        )

    async def answer(self, answer: RemoteAnswer) -> FinishReason:
        """Stream an answer and say why it ended. Raises whatever goes wrong, see `fault_of`."""
        finish, refusal = "", ""
        # Left in whatever way, it closes the connection, and the server stops.
        async with await self._open(answer) as stream:
            async for chunk in stream:
                if chunk.usage is not None:
                    answer.count(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                for choice in chunk.choices:
                    if choice.delta is not None and choice.delta.content:
                        if answer.new_tokens >= answer.limit:  # it does not keep to what was asked for
                            return "length"
                        answer.grow(choice.delta.content)
                    refusal += (choice.delta.refusal if choice.delta is not None else None) or ""
                    finish = choice.finish_reason or finish
        if finish == "content_filter" or refusal:
            raise RefusedError(refusal or "its filter")
        if not finish:
            raise BrokenStreamError
        return "length" if finish == "length" else "stop"

    def fault_of(self, error: Exception) -> Fault:
        """What went wrong, as a fault."""
        return fault_of_error(error, self.url, self._model, self._timeout_s)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def _open(self, answer: RemoteAnswer) -> AsyncStream[ChatCompletionChunk]:
        while True:
            try:
                stream: AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(
                    **self._body(answer)
                )
                return stream
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                refused = self._refused_field(str(error.body or error.message))
                if not refused:
                    raise
                log.info("%s takes no %s: it is asked without", self.url, refused)
                self._left_out.add(refused)

    def _body(self, answer: RemoteAnswer) -> dict[str, Any]:
        request = answer.request
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": turn.role, "content": without_marks(turn.content, MARKS)} for turn in request.turns],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": request.temperature,
            "seed": request.seed,
        }
        # OpenAI's own newer models know the second name alone, many servers the first alone.
        body["max_completion_tokens" if "max_tokens" in self._left_out else "max_tokens"] = answer.limit
        return {name: value for name, value in body.items() if name not in self._left_out}

    def _refused_field(self, said: str) -> str:
        """The field that a refusal names, and that can be left out; empty where there is none."""
        fields = [name for name in (*OPTIONAL, "max_tokens") if name in said and name not in self._left_out]
        if fields == ["max_tokens"] and "max_completion_tokens" not in said:
            return ""  # it speaks of the number, not of the name
        return fields[0] if fields else ""


class Endpoints:
    """All servers, in the order of the setting. To be built and used in one event loop."""

    def __init__(self, settings: EngineSettings, model: str) -> None:
        self._endpoints = [Endpoint(url, settings, model) for url in settings.remote_urls]
        self._retries = settings.remote_retries
        self._requests = _limiter(settings.remote_requests_per_minute)
        self._tokens = _limiter(settings.remote_tokens_per_minute)

    async def answer(self, answer: RemoteAnswer) -> FinishReason:
        """Stream an answer from one of them; raises RemoteError with the last fault where none could."""
        unfit: set[Endpoint] = set()
        tries = 0
        while True:
            await self._admit(answer.prompt_tokens + answer.limit)
            endpoint = self._next(unfit)
            try:
                return await endpoint.answer(answer)
            except Exception as error:
                fault = endpoint.fault_of(error)
                log.warning("a remote answer failed: %s", fault.sentence, exc_info=_unexpected(error))
            # What has been shown cannot be taken back: another try would write another answer behind it.
            if answer.begun or fault.scope in ("request", "too_long"):
                raise RemoteError(fault)
            now_s = asyncio.get_running_loop().time()
            endpoint.rests_until_s = now_s + max(REST_S, fault.retry_after_s)
            if fault.scope == "endpoint":
                unfit.add(endpoint)
            else:
                tries += 1
            if tries > self._retries or len(unfit) == len(self._endpoints):
                raise RemoteError(fault)
            if self._next(unfit).rests_until_s > now_s:
                pause_s = random.uniform(0.5, 1.0) * PAUSE_S * 2 ** max(0, tries - 1)
                await asyncio.sleep(min(MAX_PAUSE_S, max(pause_s, fault.retry_after_s)))

    async def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints:
            await endpoint.close()

    def _next(self, unfit: set[Endpoint]) -> Endpoint:
        """The first that does not rest, else the one that has rested longest."""
        now_s = asyncio.get_running_loop().time()
        fit = [endpoint for endpoint in self._endpoints if endpoint not in unfit]
        return min(fit, key=lambda endpoint: max(now_s, endpoint.rests_until_s))

    async def _admit(self, tokens: int) -> None:
        """Wait until the rate limits of the settings let a request through."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            await self._tokens.acquire(min(tokens, self._tokens.max_rate))


def _limiter(per_minute: int) -> AsyncLimiter | None:
    return AsyncLimiter(per_minute, 60) if per_minute else None


def _unexpected(error: Exception) -> Exception | None:
    """The exception where its traceback tells something: not one of those that servers cause."""
    return None if isinstance(error, openai.APIError | BrokenStreamError | RefusedError) else error
