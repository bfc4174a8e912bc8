"""What stands in Redis: entries of the answers stream as a bot reads them, jobs as a worker does. A real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import redis
import redis.asyncio
from rq.exceptions import DeserializationError
from rq.job import Job
from rq.serializers import JSONSerializer

from bot.answer_stream import AnswerStream, Entry
from bot.job_fields import job_data, job_fields
from contract import names
from contract.wire import WireError
from tests.fuzz.target import LoopTarget, Reading, Target
from tests.fuzz.targets.records import FINAL, QUESTION
from tests.valkey import ValkeyServer
from workers.admission import question_of


def _server() -> ValkeyServer:
    """A server that keeps nothing: the disk would be what is measured."""
    server = ValkeyServer()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.config_set("appendonly", "no")
    return server


class Answers(LoopTarget):
    """Each input becomes an entry of the stream, with a good one behind it, which must come out."""

    def __init__(self) -> None:
        super().__init__()
        self._server = _server()
        self._client = redis.asyncio.Redis.from_url(self._server.url, decode_responses=True, encoding_errors="replace")
        self._stream = AnswerStream(self._client, "slack", "fuzz")
        self._entries: AsyncIterator[Entry] = self._stream.entries(asyncio.Event())

    def seeds(self) -> Sequence[bytes]:
        """An answer."""
        return [FINAL.to_wire().encode()]

    def read(self, data: bytes) -> bool:
        """Raises anything at all, or an entry that is neither shown nor dropped."""
        return self.run(self._read(data))

    async def _read(self, data: bytes) -> bool:
        stream = names.answers_stream("slack")
        await self._client.xadd(stream, {"final": data})
        last = await self._client.xadd(stream, {"final": FINAL.to_wire()})
        took = False
        async for entry in self._entries:
            await self._client.xack(stream, names.DELIVERY_GROUP, entry.id)
            await self._client.xdel(stream, entry.id)
            self._stream.release(entry.id)
            if entry.id == last:
                break
            took = True
        # Of a newer version it would stay, for a newer bot.
        if await self._client.xlen(stream):
            await self._client.delete(stream)
            self._entries = self._stream.entries(asyncio.Event())
        return took

    def close(self) -> None:
        """Stop the server."""
        self.run(self._close())
        super().close()
        self._server.remove()

    async def _close(self) -> bool:
        await self._client.aclose()
        return True


class Jobs(Target):
    """Each input is the `data` of an RQ job: the call that a worker is asked for."""

    def __init__(self) -> None:
        self._server = _server()
        self._client = redis.Redis.from_url(self._server.url)
        self._key = names.job_key(QUESTION.id)
        for field, value in job_fields(QUESTION, 60.0).items():
            self._client.hset(self._key, field, value)

    def seeds(self) -> Sequence[bytes]:
        """The call that a bot writes."""
        return [job_data(QUESTION).encode()]

    def read(self, data: bytes) -> bool:
        """Raises anything but RQ's own error or WireError, which the worker fails the job with."""
        self._client.hset(self._key, "data", data)
        with Reading(WireError, DeserializationError) as reading:
            question_of(Job.fetch(QUESTION.id, connection=self._client, serializer=JSONSerializer))
        return reading.took

    def close(self) -> None:
        """Stop the server."""
        self._client.close()
        self._server.remove()
