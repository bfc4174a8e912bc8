"""The web page, with people who use it over HTTP as their browsers would."""

from __future__ import annotations

from typing import Any

import httpx
import redis
from bs4 import BeautifulSoup

from bot.platform import Platform
from bot.platforms.web.door import PERSON_COOKIE
from bot.platforms.web.look import Look, Reader
from bot.platforms.web.people import Person, person_id
from bot.platforms.web.platform import WebPlatform
from bot.platforms.web.posts import PLATFORM, TENANT, Post
from config.redis_clients import threads_client
from config.settings import Settings
from contract import names
from contract.question import question_id
from tests.bot.manners.stage import AMBIENT, ASLEEP, CARED, Said, Stage

WITHIN_S = 10.0
ROOMS = ["talk", AMBIENT, ASLEEP, CARED, *(f"room{number}" for number in range(1, 100))]


class WebStage(Stage):
    """The page and its people."""

    name, tenant = PLATFORM, TENANT

    def __init__(self) -> None:
        super().__init__()
        self._pages: list[WebPlatform] = []
        self._people: dict[str, httpx.Client] = {}
        self._look = Look("fennel")
        self._redis: redis.Redis | None = None

    def sections(self) -> dict[str, dict[str, Any]]:
        """As `Stage.sections`."""
        return {"web": {"port": 0, "rooms": ROOMS}}

    def platform(self, settings: Settings) -> Platform:
        """As `Stage.platform`."""
        if self._redis is None:
            self._redis = threads_client(settings.redis_address, WITHIN_S)
        self._pages.append(WebPlatform(settings))
        return self._pages[-1]

    def ready(self) -> bool:
        """As `Stage.ready`."""
        return self._pages[0].server.port != 0  # it takes a free one

    def channel_id(self, name: str) -> str:
        """As `Stage.channel_id`."""
        return name

    def person_id(self, name: str) -> str:
        """As `Stage.person_id`."""
        return person_id(f"key-of-{name}", "guest")

    def say(self, text: str, person: str, channel: str, thread: Said | None = None, *, mention: bool = True) -> Said:
        """As `Stage.say`."""
        return self._say(f"@fennel {text}" if mention else text, person, channel, thread.root if thread else "")

    def tell(self, text: str, person: str) -> Said:
        """As `Stage.tell`."""
        return self._say(text, person, "direct")

    def _say(self, text: str, person: str, room: str, root: str = "") -> Said:
        self._count += 1
        body = {"room": room, "text": text, "root": root, "key": f"message-{self._count}"}
        answer = self._person(person).post("/room/say", json=body)
        assert answer.status_code == 200, answer.text
        message_id = answer.json()["id"]
        channel = f"direct-{self.person_id(person)}" if room == "direct" else room
        return Said(channel, message_id, root or message_id, text)

    def ends(self, said: Said) -> list[str]:
        """As `Stage.ends`."""
        asked = question_id(self.name, self.tenant, said.channel, said.message_id)
        return [self._text(post) for post in self._replies(said) if post.question_id == asked]

    def all_ends(self, said: Said) -> list[str]:
        """As `Stage.all_ends`."""
        return [self._text(post) for post in self._replies(said) if post.root == said.root]

    def judge(self, said: Said, person: str, good: bool) -> None:
        """As `Stage.judge`."""
        asked = question_id(self.name, self.tenant, said.channel, said.message_id)
        body = {"room": said.channel, "id": f"r-{asked}", "good": good}
        # The chat may show an end a moment before it is written down that it was shown.
        answer = self._person(person).post("/room/judge", json=body)
        assert answer.status_code == 200, answer.text

    def close(self) -> None:
        """The people close their browsers."""
        for client in self._people.values():
            client.close()
        if self._redis:
            self._redis.close()

    def _replies(self, said: Said) -> list[Post]:
        """The ended replies in the room, as they are written down: a test looks while the bot's loop stands still."""
        values: Any = self._redis.hvals(names.web_posts_key(said.channel)) if self._redis else []
        return [post for post in map(Post.from_json, values) if post.is_reply and post.outcome]

    def _text(self, post: Post) -> str:
        """What a person reads in a reply: its words and its sources."""
        reader = Reader(Person(self.person_id("reader"), "reader", "guest"), "en")
        html = BeautifulSoup(self._look.post(post, reader, post.mentions), "lxml")
        return "\n".join(" ".join(part.get_text().split()) for part in html.select(".text, .sources"))

    def _person(self, name: str) -> httpx.Client:
        """The browser of a person who has come in."""
        if name not in self._people:
            client = httpx.Client(base_url=self._pages[0].server.url, timeout=WITHIN_S, trust_env=False)
            client.cookies.set(PERSON_COOKIE, f"key-of-{name}")
            answer = client.post("/enter", data={"name": name})
            assert answer.status_code == 303, answer.text
            self._people[name] = client
        return self._people[name]
