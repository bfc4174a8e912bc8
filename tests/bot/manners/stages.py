"""The stages: console, the made-up chat, Slack, Lark, WeCom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bot.platform import Platform, Reply
from bot.platforms.console.platform import ConsolePlatform
from bot.platforms.console.screen import LineScreen
from bot.platforms.console.transcript import Transcript
from bot.platforms.lark import LarkPlatform
from config.settings import Settings
from contract.question import question_id
from tests.bot.manners.stage import PEOPLE, Said, Stage
from tests.bot.platforms.lark.conftest import QUICK
from tests.bot.platforms.slack_stage import slack_platform, slack_settings
from tests.bot.platforms.wecom.conftest import long_connection
from tests.fakes.chat import FakeChat
from tests.fakes.chat_platform import ChatPlatform
from tests.fakes.lark import FakeLark
from tests.fakes.slack import FakeSlack
from tests.fakes.slack.workspace import TEAM
from tests.fakes.wecom import FakeWeCom


class Screen(LineScreen):
    """Remembers the newest look of each reply."""

    def __init__(self) -> None:
        super().__init__("fennel")
        self.replies: dict[str, Reply] = {}

    def show(self, reply_id: str, reply: Reply) -> None:
        """Remember it."""
        self.replies[reply_id] = reply

    def tell(self, text: str) -> None:
        """Nobody reads the terminal's own sentences here."""


class ConsoleStage(Stage):
    """The console, with somebody who types for everybody."""

    name, tenant = "console", "local"
    needs_fence = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._transcript = folder / "transcript.jsonl"
        self._said = 0
        self._screen = Screen()
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()

    def platform(self, settings: Settings) -> Platform:
        """As `Stage.platform`."""
        return ConsolePlatform("fennel", Transcript(self._transcript), self._screen, self._lines())

    async def _lines(self) -> AsyncIterator[bytes]:
        while True:
            yield await self._typed.get()

    def say(self, text: str, person: str, channel: str, thread: Said | None = None, *, mention: bool = True) -> Said:
        """As `Stage.say`."""
        self._count += 1
        root = thread.root if thread else f"{channel}-{self._count}"
        # Every message of a channel begins a thread here as on other platforms, unless nobody is called.
        place = [f"/thread {root}"] if thread or mention else []
        self._type(f"/channel {channel}", *place, f"/as {person}")
        return self._write(f"@fennel {text}" if mention else text, channel, root if place else channel)

    def tell(self, text: str, person: str) -> Said:
        """As `Stage.tell`."""
        self._type("/channel", f"/as {person}", "/direct")
        return self._write(text, f"direct-{person}", f"direct-{person}")

    def _write(self, text: str, channel: str, thread: str) -> Said:
        self._type(text)
        self._said += 1
        return Said(channel, str(self._said), thread, text)

    def _type(self, *lines: str) -> None:
        for line in lines:
            self._typed.put_nowait(line.encode())

    def ends(self, said: Said) -> list[str]:
        """As `Stage.ends`."""
        lines = map(json.loads, self._transcript.read_text().splitlines())
        ids = [line["id"] for line in lines if line["kind"] == "said"]
        mine = ids[int(said.message_id) - 1 : int(said.message_id)]
        replies = self._screen.replies.values()
        return [one.whole for one in replies if one.outcome is not None and one.question.message_id in mine]

    def all_ends(self, said: Said) -> list[str]:
        """As `Stage.all_ends`."""
        replies = self._screen.replies.values()
        return [one.whole for one in replies if one.outcome is not None and one.question.thread == said.root]

    def judge(self, said: Said, person: str, good: bool) -> None:
        """As `Stage.judge`."""
        self.say("👍" if good else "👎", person, said.channel, said)


class ChatStage(Stage):
    """The made-up chat."""

    name, tenant = "chat", "team"

    def __init__(self, fake: FakeChat) -> None:
        super().__init__()
        self._fake = fake

    def platform(self, settings: Settings) -> Platform:
        """As `Stage.platform`."""
        return ChatPlatform(self._fake.url)

    def say(self, text: str, person: str, channel: str, thread: Said | None = None, *, mention: bool = True) -> Said:
        """As `Stage.say`."""
        self._count += 1
        root = thread.root if thread else f"{channel}-{self._count}" if mention else channel
        return self._write(text, person, channel=channel, thread=root, mentions_us=mention)

    def tell(self, text: str, person: str) -> Said:
        """As `Stage.tell`."""
        return self._write(text, person, channel=f"dm-{person}", thread=f"dm-{person}", is_direct=True)

    def _write(self, text: str, person: str, **message: Any) -> Said:
        message_id = self._fake.write(text, sender=self.person_id(person), sender_name=person, **message)
        return Said(message["channel"], message_id, message["thread"], text)

    def ends(self, said: Said) -> list[str]:
        """As `Stage.ends`."""
        return [post.text for post in self._fake.replies(said.message_id) if post.is_end]

    def all_ends(self, said: Said) -> list[str]:
        """As `Stage.all_ends`."""
        return [post.text for post in self._fake.posts.values() if post.is_end and post.thread == said.root]

    def all_delivered(self) -> bool:
        """As `Stage.all_delivered`."""
        return not any(self._fake.threads.values())

    def judge(self, said: Said, person: str, good: bool) -> None:
        """As `Stage.judge`."""
        self.say("👍" if good else "👎", person, said.channel, said)


class SlackStage(Stage):
    """Slack's fake."""

    name, tenant = "slack", TEAM

    def __init__(self, fake: FakeSlack) -> None:
        super().__init__()
        self._fake = fake

    def sections(self) -> dict[str, dict[str, Any]]:
        """As `Stage.sections`."""
        return {"slack": slack_settings(self._fake)}

    def platform(self, settings: Settings) -> Platform:
        """As `Stage.platform`."""
        return slack_platform(settings)

    def ready(self) -> bool:
        """As `Stage.ready`."""
        return self._fake.connected() >= 1

    def all_delivered(self) -> bool:
        """As `Stage.all_delivered`."""
        return not self._fake.unacked_events()

    def channel_id(self, name: str) -> str:
        """As `Stage.channel_id`."""
        channel = f"C{name.upper()}"
        if channel not in self._fake.workspace.channels:
            self._fake.workspace.channel(channel)
        return channel

    def person_id(self, name: str) -> str:
        """As `Stage.person_id`."""
        return f"U{name.upper()}"

    def say(self, text: str, person: str, channel: str, thread: Said | None = None, *, mention: bool = True) -> Said:
        """As `Stage.say`."""
        root = {"thread_ts": thread.root} if thread else {}
        kind, where, who = "app_mention" if mention else "message", self.channel_id(channel), self.person_id(person)
        told = self._fake.happen(kind, text=text, channel=where, user=who, **root)
        return Said(where, told["ts"], thread.root if thread else told["ts"], text)

    def tell(self, text: str, person: str) -> Said:
        """As `Stage.tell`."""
        told = self._fake.happen("dm", text=text, user=self.person_id(person))
        return Said(told["channel"], told["ts"], told["ts"], text)

    def ends(self, said: Said) -> list[str]:
        """As `Stage.ends`."""
        asked = question_id(self.name, self.tenant, said.channel, said.message_id)
        return [
            one.shown
            for one in self._fake.answers(said.channel, said.root)
            if one.stream_state != "streaming" and one.metadata and one.metadata["event_payload"]["question"] == asked
        ]

    def all_ends(self, said: Said) -> list[str]:
        """As `Stage.all_ends`."""
        return [one.shown for one in self._fake.answers(said.channel, said.root) if one.stream_state != "streaming"]

    def judge(self, said: Said, person: str, good: bool) -> None:
        """As `Stage.judge`."""
        (answer,) = [one for one in self._fake.answers(said.channel, said.root) if one.buttons]
        who = self.person_id(person)
        self._fake.happen("click", channel=said.channel, ts=answer.ts, user=who, positive=good)

    def called(self, person: str) -> str:
        """As `Stage.called`."""
        return f"<@{self.person_id(person)}>"


class LarkStage(Stage):
    """Lark's fake."""

    name = "lark"

    def __init__(self, fake: FakeLark) -> None:
        super().__init__()
        self._fake = fake
        self.tenant = fake.tenant_key
        self._people = {name: fake.add_person(name) for name in PEOPLE}
        self._channels: dict[str, str] = {}
        self._threads: dict[str, list[str]] = {}

    def sections(self) -> dict[str, dict[str, Any]]:
        """As `Stage.sections`."""
        urls = self._fake.urls().items()
        return {"lark": {name.removeprefix("FENNEL_LARK__").lower(): value for name, value in urls}}

    def platform(self, settings: Settings) -> Platform:
        """As `Stage.platform`."""
        return LarkPlatform(settings.lark, times=QUICK, timeout_s=2.0, settle_s=0.1, rotate_after_s=5.0)

    def channel_id(self, name: str) -> str:
        """As `Stage.channel_id`."""
        if name not in self._channels:
            self._channels[name] = self._fake.add_chat(name)
        return self._channels[name]

    def person_id(self, name: str) -> str:
        """As `Stage.person_id`."""
        return self._people[name]

    def say(self, text: str, person: str, channel: str, thread: Said | None = None, *, mention: bool = True) -> Said:
        """As `Stage.say`."""
        where: dict[str, Any] = {"parent_id": thread.root} if thread else {"chat_id": self.channel_id(channel)}
        message_id = self._fake.say(text, person=self.person_id(person), mention_bot=mention, **where)
        root = thread.root if thread else message_id
        self._threads.setdefault(root, []).append(message_id)
        return Said(self.channel_id(channel), message_id, root, text)

    def tell(self, text: str, person: str) -> Said:
        """As `Stage.tell`."""
        message_id = self._fake.say(text, person=self.person_id(person), direct=True)
        return Said(self._fake.chats.messages[message_id].chat_id, message_id, message_id, text)

    def ends(self, said: Said) -> list[str]:
        """As `Stage.ends`."""
        return [one.text for one in self._fake.answers_to(said.message_id) if not one.streaming]

    def all_ends(self, said: Said) -> list[str]:
        """As `Stage.all_ends`."""
        messages = self._threads.get(said.root, [said.message_id])
        return [one.text for each in messages for one in self._fake.answers_to(each) if not one.streaming]

    def all_delivered(self) -> bool:
        """As `Stage.all_delivered`."""
        return not self._fake.unacked_events()

    def judge(self, said: Said, person: str, good: bool) -> None:
        """As `Stage.judge`."""
        answer = self._fake.answers_to(said.message_id)[0]
        asked = question_id(self.name, self.tenant, said.channel, said.message_id)
        value = {"question": asked, "verdict": "good" if good else "bad"}
        self._fake.press(answer.message_id, value, self.person_id(person))

    def called(self, person: str) -> str:
        """As `Stage.called`."""
        return f"<at id={self.person_id(person)}></at>"


class WeComStage(Stage):
    """WeCom's fake: it has no threads, and tells the bot of nothing but what mentions it."""

    name = "wecom"
    hears_all = False
    has_threads = False
    needs_fence = True

    def __init__(self, fake: FakeWeCom) -> None:
        super().__init__()
        self._fake = fake
        self.tenant = fake.account.bot_id

    def platform(self, settings: Settings) -> Platform:
        """As `Stage.platform`."""
        return long_connection(self._fake, settings)

    def ready(self) -> bool:
        """As `Stage.ready`."""
        return bool(self._fake.long_link.live)

    def channel_id(self, name: str) -> str:
        """As `Stage.channel_id`."""
        return f"wr_{name}"

    def person_id(self, name: str) -> str:
        """As `Stage.person_id`."""
        return f"{name}.li"

    def say(self, text: str, person: str, channel: str, thread: Said | None = None, *, mention: bool = True) -> Said:
        """As `Stage.say`."""
        where = self.channel_id(channel)
        told = self._fake.say(text, user=self.person_id(person), chatid=where, mention=mention)
        return Said(where, str(told["msgid"]), where, text)

    def tell(self, text: str, person: str) -> Said:
        """As `Stage.tell`."""
        told = self._fake.say(text, user=self.person_id(person))
        return Said(self.person_id(person), str(told["msgid"]), self.person_id(person), text)

    def ends(self, said: Said) -> list[str]:
        """As `Stage.ends`."""
        return [one.content for one in self._fake.replies_to(said.message_id) if one.finished]

    def all_ends(self, said: Said) -> list[str]:
        """As `Stage.all_ends`."""
        return [one.content for one in self._fake.bot_messages(said.channel) if one.finished]

    def judge(self, said: Said, person: str, good: bool) -> None:
        """As `Stage.judge`."""
        asked = question_id(self.name, self.tenant, said.channel, said.message_id)
        detail = {"id": asked, "type": 1 if good else 2, "content": "" if good else "wrong page"}
        self._fake.do(
            "event", eventtype="feedback_event", detail=detail, user=self.person_id(person), chatid=said.channel
        )

    def called(self, person: str) -> str:
        """As `Stage.called`."""
        return f"<@{self.person_id(person)}>"
