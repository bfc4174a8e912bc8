"""The stream of an OpenAI-compatible server: bytes over HTTP, read by the SDK and by us."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from config.sections import EngineSettings
from tests.fuzz.target import LoopTarget, Reading
from tests.fuzz.targets.http import default_section
from workers.engine.engine import ChatTurn, GenerationEvent, GenerationRequest
from workers.engine.remote.answer import RemoteAnswer
from workers.engine.remote.endpoints import Endpoints
from workers.engine.remote.fault import RemoteError

REQUEST = GenerationRequest("q-1", (ChatTurn("user", "how?"),), max_new_tokens=64)


def _chunk(**more: object) -> bytes:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _choice(delta: object, finish: str | None = None) -> list[object]:
    return [{"index": 0, "delta": delta, "finish_reason": finish}]


class Stream(LoopTarget):
    """The whole body of an answer with status 200."""

    def __init__(self) -> None:
        super().__init__()
        self._body = b""
        self.run(self._start())

    async def _start(self) -> bool:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        section = default_section("engine", kind="openai", remote_urls=[url], remote_retries=0, remote_timeout_s=4.0)
        self._endpoints = Endpoints(EngineSettings.model_validate(section), "m")
        return True

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take requests until the connection ends; each gets the input as its body."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
                await reader.readexactly(int(length[0].split(b":")[1]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
                writer.write(f"Content-Length: {len(self._body)}\r\n\r\n".encode() + self._body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def seeds(self) -> Sequence[bytes]:
        """An answer with counts, one that is refused, one with an error in the middle."""
        whole = [
            _chunk(choices=_choice({"role": "assistant", "content": "25 "})),
            _chunk(choices=_choice({"content": "days\ud83d"})),
            _chunk(choices=_choice({}, "stop")),
            _chunk(usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
            b"data: [DONE]\n\n",
        ]
        refused = _chunk(choices=_choice({"refusal": "no"}, "content_filter"))
        return [b"".join(whole), refused, b": ping\n\n" + whole[0] + b'data: {"error": {"message": "full"}}\n\n']

    def read(self, data: bytes) -> bool:
        """Raises anything but RemoteError, or a text that cannot be sent on."""
        return self.run(self._read(data))

    async def _read(self, data: bytes) -> bool:
        self._body = data
        events: list[GenerationEvent] = []
        answer = RemoteAnswer(REQUEST, REQUEST.max_new_tokens, 5, (0.0, 0.0), events.append)
        with Reading(RemoteError) as reading:
            answer.end(await self._endpoints.answer(answer))
        for event in events:
            event.text.encode()
        return reading.took

    def close(self) -> None:
        """Stop the server."""
        self.run(self._close())
        super().close()

    async def _close(self) -> bool:
        await self._endpoints.close()
        self._server.close()
        return True
