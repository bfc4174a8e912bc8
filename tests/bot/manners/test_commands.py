"""Commands to the bot, the same on every platform."""

from __future__ import annotations

import pytest

from bot.command import FOR_ADMINS, FOR_EVERYBODY
from bot.phrases import phrase
from contract import names
from tests.bot.manners.scene import Scene
from tests.bot.manners.stage import ANN, BOB, BOSS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(("word", "language"), [("help", "en"), ("帮助", "zh")])
async def test_help_lists_the_commands(scene: Scene, word: str, language: str) -> None:
    """Everybody sees those for everybody, admins also theirs, in the language that was used."""
    room = scene.stage.new_channel()
    everybody, admins = (
        [phrase(language, f"help_{name}")[:20] for name in group] for group in (FOR_EVERYBODY, FOR_ADMINS)
    )
    shown = await scene.hear(word, ANN, room)
    assert all(what in shown for what in everybody)
    assert not any(what in shown for what in admins)
    shown = await scene.hear(word, BOSS, room)
    assert all(what in shown for what in [*everybody, *admins])


async def test_status_says_where_one_is(scene: Scene) -> None:
    """The names that the settings want stand there."""
    room = scene.stage.new_channel()
    shown = await scene.hear("status", ANN, room)
    assert scene.stage.key(room) in shown
    assert scene.stage.person_key(ANN) in shown


async def test_sources_and_why_speak_of_the_last_answer(scene: Scene) -> None:
    """The sources come with their words; why says what the answer rests on, or that nothing was found."""
    room = scene.stage.new_channel()
    assert await scene.hear("sources", ANN, room) == phrase("en", "sources_none")
    assert await scene.hear("why", ANN, room) == phrase("en", "why_none")
    first = await scene.ask("how many days?", ANN, room)
    shown = await scene.hear("sources", ANN, room, first)
    assert "handbook/holidays.md" in shown
    assert "Everybody has 30 days." in shown
    shown = await scene.hear("why", ANN, room, first)
    assert "Holidays" in shown
    assert "fennel why q-" in shown
    second = await scene.ask("nothing?", ANN, room)
    assert "nothing?" in await scene.hear("why", ANN, room, second)


async def test_stop_ends_the_answer_under_way(scene: Scene) -> None:
    """The asker's question ends at once; another's stays."""
    room = scene.stage.new_channel()
    mine, others = await scene.say("hold mine", ANN, room), await scene.say("hold theirs", BOB, room)
    await scene.all_taken_in(2)
    assert await scene.hear("stop", ANN, room) == phrase("en", "stopping")
    assert await scene.reply(mine) == phrase("en", "stopped")
    assert scene.stage.ends(others) == []
    assert await scene.hear("stop", ANN, room) == phrase("en", "stop_nothing")
    assert await scene.hear("stop", BOSS, room) == phrase("en", "stopping")
    assert await scene.reply(others) == phrase("en", "stopped")


async def test_withdraw_takes_the_answer_out_of_the_chat(scene: Scene) -> None:
    """Who asked, or an admin, may; where a platform lets nothing be taken out, it says so."""
    room = scene.stage.new_channel()
    first = await scene.ask("how many days?", ANN, room)
    assert await scene.hear("withdraw", BOB, room, first) == phrase("en", "withdraw_not_yours")
    assert await scene.hear("withdraw", ANN, room, first) == phrase("en", "withdraw_done")
    await scene.until(lambda: any("withdrawn" in end for end in scene.stage.all_ends(first)))
    if scene.stage.name != "wecom":
        assert scene.stage.ends(first) == [phrase("en", "withdrawn")]
    assert await scene.hear("withdraw", ANN, room, first) == phrase("en", "withdraw_nothing")
    second = await scene.ask("and now?", ANN, room)
    assert await scene.hear("撤回", BOSS, room, second) == phrase("zh", "withdraw_done")
    await scene.all_is_quiet()


async def test_pause_and_resume_are_for_admins(scene: Scene) -> None:
    """Between them a channel hears one sentence for each question, and commands work."""
    room, other = scene.stage.new_channel(), scene.stage.new_channel()
    assert await scene.hear("pause", ANN, room) == phrase("en", "admins_only")
    assert "one?" in await scene.hear("one?", ANN, room)
    assert await scene.hear("暂停", BOSS, room) == phrase("zh", "paused")
    assert await scene.hear("two?", ANN, room) == phrase("en", "refused_paused")
    assert phrase("en", "status_paused") in await scene.hear("status", ANN, room)
    assert "three?" in await scene.hear("three?", ANN, other)
    assert await scene.hear("resume", BOSS, room) == phrase("en", "resumed")
    assert "four?" in await scene.hear("four?", ANN, room)


async def test_limit_and_kb_are_shown_to_everybody(scene: Scene) -> None:
    """Looking is free; setting is the admins'."""
    room = scene.stage.new_channel()
    assert "10 min" in await scene.hear("limit", ANN, room)
    assert await scene.hear("limit 3", ANN, room) == phrase("en", "admins_only")
    assert await scene.hear("kb", ANN, room) == phrase("en", "kb_default")
    assert await scene.hear("kb HR", BOSS, room) == phrase("en", "kb_bound", name="HR")
    assert await scene.client.hget(names.bindings_key(), scene.stage.key(room)) == '["HR"]'
    assert await scene.hear("kb default", BOSS, room) == phrase("en", "kb_default")
