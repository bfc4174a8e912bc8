"""What a person in Slack is told while the answer is not there yet."""

from __future__ import annotations

from tests.bot.conftest import MakeSettings, running_bot
from tests.bot.platforms.slack_stage import echoes, scripted, shown, slack_platform, slack_settings
from tests.bot.platforms.slack_worker import HOLIDAYS_QUESTION, ask
from tests.fakes.slack import FakeSlack, Rules

RULES = Rules(ack_timeout_s=1.0)


async def test_who_waits_is_told_the_place_in_the_queue(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """A question that waits behind others says so in the status line, and no message stands there yet."""
    settings = make_settings(slack=slack_settings(fake), queue={"queued_notice_after_s": 0.2})
    async with running_bot(slack_platform(settings), settings):
        await fake.eventually(lambda: fake.connected() == 1)
        first = ask(fake)
        # Of two that are taken in at a time, either may be the first.
        await fake.eventually(lambda: not fake.unacked_events())
        second = ask(fake, user="U3")
        await fake.eventually(lambda: fake.visible_status("C1", second["ts"]) == "Queued, 1 before you.")
        assert fake.visible_status("C1", first["ts"]) == "Queued, you are next."
        assert fake.answers("C1", second["ts"]) == []


async def test_too_many_questions_are_told(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """Where more wait than may, the next asker hears it in one sentence in the question's language."""
    settings = make_settings(slack=slack_settings(fake), queue={"max_queued": 1})
    async with running_bot(slack_platform(settings), settings):
        await fake.eventually(lambda: fake.connected() == 1)
        ask(fake)
        await fake.eventually(lambda: not fake.unacked_events())
        (said,) = await shown(fake, ask(fake, user="U3"), ends=0)
        assert said.shown.startswith("Too many questions are waiting right now.")


async def test_without_a_status_line_the_place_is_a_message_that_becomes_the_answer(
    fake: FakeSlack, make_settings: MakeSettings
) -> None:
    """Where Slack allows no status line, the place in the queue is posted, and edited into the answer."""
    fake.fail("assistant.threads.setStatus", "error", times=99, error="missing_scope")
    settings = make_settings(slack=slack_settings(fake), queue={"queued_notice_after_s": 0.2})
    async with running_bot(slack_platform(settings), settings):
        await fake.eventually(lambda: fake.connected() == 1)
        asked = ask(fake)
        (notice,) = await shown(fake, asked, ends=0)
        assert notice.shown == "Queued, you are next."
        async with scripted(settings.redis_address, echoes):
            (answer,) = await shown(fake, asked)
        assert HOLIDAYS_QUESTION in answer.shown
        assert answer.ts == notice.ts
