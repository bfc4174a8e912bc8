"""The console as a chat platform."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

from bot.chat_message import ChatMessage
from bot.link import link_of
from bot.platform import Platform, Receive, Reply
from bot.platforms.console.screen import Screen
from bot.platforms.console.transcript import Transcript
from bot.platforms.console.typist import Said, Told, Typist
from bot.waiting import unless_set
from contract.errors import FennelError
from contract.question import Question


class ConsolePlatform(Platform):
    """A group chat of whoever sits at one terminal. `lines` are what they type, as bytes without line ends."""

    name = "console"
    account = "terminal"
    settle_s = 0.0

    def __init__(self, bot_name: str, transcript: Transcript, screen: Screen, lines: AsyncIterator[bytes]) -> None:
        self._bot_name = bot_name
        self._transcript = transcript
        self._screen = screen
        self._lines = lines
        self._typist = Typist(bot_name)
        self._closed = asyncio.Event()

    async def listen(self, receive: Receive) -> None:
        """Hand over what is typed, until the end of the input."""
        self._screen.tell(f"Write @{self._bot_name} and a question; /help tells more, Ctrl-D leaves.")
        link_of(self.name).listens()
        await unless_set(self._read(receive), self._closed)

    async def _read(self, receive: Receive) -> None:
        self._screen.ask(self._typist.prompt)
        async for line in self._lines:
            await self._take(line, receive)
            self._screen.ask(self._typist.prompt)

    async def _take(self, line: bytes, receive: Receive) -> None:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self._screen.tell("This line is not UTF-8 text and was not sent; check the terminal's encoding.")
            return
        meant = self._typist.take(text)
        if isinstance(meant, Told):
            self._screen.tell(meant.text)
        elif isinstance(meant, Said):
            await self._say(meant, receive)

    async def _say(self, said: Said, receive: Receive) -> None:
        speaker, thread = self._typist.speaker, self._typist.thread
        message_id = secrets.token_hex(8)
        self._transcript.said(message_id, speaker, thread, said.text)
        try:
            await receive(
                ChatMessage(
                    platform=self.name,
                    tenant="local",
                    channel=self._typist.channel,
                    thread=thread,
                    message_id=message_id,
                    sender=f"u-{speaker}",
                    sender_name=speaker,
                    text=said.text,
                    at_s=time.time(),
                    mentions_us=said.mentions_us,
                    is_direct=self._typist.is_direct,
                )
            )
        except FennelError as error:
            # Nothing delivers a typed line again but the person who typed it.
            self._screen.tell(f"This was not taken in, please write it again: {error}.")

    async def send(self, reply: Reply) -> str:
        """Show the reply, once it is in the transcript."""
        sent_id = self._remember(reply)
        self._screen.show(sent_id, reply)
        return sent_id

    async def edit(self, sent_id: str, reply: Reply) -> None:
        """Show the reply as it is now."""
        if reply.outcome is not None:
            self._remember(reply)
        self._screen.show(sent_id, reply)

    async def find(self, question: Question) -> str | None:
        """Look into the transcript."""
        return self._transcript.reply_id(question.id)

    async def close(self) -> None:
        """Stop reading."""
        self._closed.set()
        self._screen.close()

    def _remember(self, reply: Reply) -> str:
        outcome = reply.outcome.value if reply.outcome else ""
        return self._transcript.replied(reply.question.id, reply.text, outcome)
