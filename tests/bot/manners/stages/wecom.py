"""WeCom's fake as a stage."""

from __future__ import annotations

from bot.platform import Platform
from config.settings import Settings
from contract.question import question_id
from tests.bot.manners.stage import Said, Stage
from tests.bot.platforms.wecom.conftest import long_connection
from tests.fakes.wecom import FakeWeCom


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
