"""What the bot does as a member of a group, the same on every platform."""

from __future__ import annotations

from typing import Any

import pytest

from bot.feedback import all_feedback
from bot.history import all_shown
from bot.phrases import phrase
from contract import names
from contract.answer import FinalAnswer
from contract.question import Question
from tests.bot.manners.scene import Scene
from tests.bot.manners.stage import AMBIENT, ANN, ASLEEP, BOB, BOSS, CARED, CARER, MALLORY

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- conversations


async def test_a_follow_up_needs_no_mention(scene: Scene) -> None:
    """Once the bot is in a thread, what is said there is said to it; a platform without that tells it nothing."""
    room = scene.stage.new_channel()
    first = await scene.ask("how many days?", ANN, room)
    if not scene.stage.hears_all:
        await scene.say("and in May?", BOB, room, first, mention=False)
        await scene.all_is_quiet()
        assert len(scene.stage.all_ends(first)) == 1
        return
    assert "and in May?" in await scene.hear("and in May?", BOB, room, first, mention=False)
    turns: Any = await scene.client.lrange(names.turns_key(await conversation_of(scene, "and in May?")), 0, -1)
    assert [
        one.count('"asker":"' + scene.stage.person_id(who)) for one, who in zip(turns, (ANN, BOB), strict=True)
    ] == [1, 1]


async def conversation_of(scene: Scene, text: str) -> str:
    """The thread in which this was asked, once its answer was shown."""

    async def find() -> str:
        questions = [Question.from_wire(final.question) async for _, final in all_shown(scene.client)]
        return next((one.conversation for one in questions if one.text.endswith(text)), "")

    return str(await scene.until_async(find))


async def test_people_may_talk_to_each_other_in_our_thread(scene: Scene) -> None:
    """What begins with another's name, or is a mere remark, gets no answer; thanks do."""
    if not scene.stage.hears_all:
        return
    room = scene.stage.new_channel()
    first = await scene.ask("how many days?", ANN, room)
    for remark in ("@somebody can you look?", "hmm"):
        said = await scene.say(remark, BOB, room, first, mention=False)
        await scene.all_is_quiet()
        assert scene.stage.ends(said) == []
    assert await scene.hear("thanks", ANN, room, first, mention=False) == phrase("en", "small_talk_thanks")


async def test_forget_clears_the_thread(scene: Scene) -> None:
    """After it the next question of the thread has nothing before it."""
    room = scene.stage.new_channel()
    first = await scene.ask("what to forget?", ANN, room)
    key = names.turns_key(await conversation_of(scene, "what to forget?"))
    assert await scene.client.llen(key) == 1
    assert await scene.hear("forget", ANN, room, first) == phrase("en", "forgotten")
    assert not await scene.client.exists(key)


# --- two ways to listen


async def test_ambient_speaks_only_when_sure(scene: Scene) -> None:
    """It takes a person's words together when they fall silent, and says nothing unless it is sure."""
    if not scene.stage.hears_all:
        return
    unsure = await scene.say("does anybody know?", ANN, AMBIENT, mention=False)
    await scene.all_is_quiet()
    assert scene.stage.all_ends(unsure) == []
    await scene.say("I wonder", BOB, AMBIENT, mention=False)
    last = await scene.say("for sure, how many days?", BOB, AMBIENT, mention=False)
    await scene.all_is_quiet()
    overheard = [Question.from_wire(final.question) async for _, final in all_shown(scene.client)]
    assert [one.text for one in overheard if one.heard == "ambient"] == ["I wonder\nfor sure, how many days?"]
    assert scene.stage.name == "console" or len(scene.stage.ends(last)) == 1


async def test_ambient_still_answers_who_calls_it(scene: Scene) -> None:
    """A mention gets its answer there too, and what the person said before is not taken for a question of its own."""
    await scene.say("sure, wait", ANN, AMBIENT, mention=not scene.stage.hears_all)
    assert "called" in await scene.hear("called", ANN, AMBIENT)
    await scene.all_is_quiet()
    if scene.stage.hears_all:
        overheard = [Question.from_wire(final.question).text async for _, final in all_shown(scene.client)]
        assert "sure, wait" not in overheard


async def test_other_channels_are_not_read_along(scene: Scene) -> None:
    """What nobody said to us in an ordinary channel stays unheard."""
    said = await scene.say("for sure, how many?", ANN, scene.stage.new_channel(), mention=False)
    await scene.all_is_quiet()
    assert scene.stage.all_ends(said) == []


async def test_outside_the_hours_it_says_when_it_works(scene: Scene) -> None:
    """A question gets the hours, a command its answer."""
    assert "00:00" in await scene.hear("how many days?", ANN, ASLEEP)
    assert "00:00" in await scene.hear("status", ANN, ASLEEP)


# --- limits


async def test_a_limit_is_told_once_with_the_time_left(scene: Scene) -> None:
    """Beyond it a person hears once when there is room again, others and admins go on."""
    room = scene.stage.new_channel()
    assert "1" in await scene.hear("limit 1", BOSS, room)
    await scene.ask("one?", ANN, room)
    assert "10 min" in await scene.hear("two?", ANN, room)
    third = await scene.say("three?", ANN, room)
    assert "four?" in await scene.hear("four?", BOB, room)
    for text in ("five?", "six?"):
        assert text in await scene.hear(text, BOSS, room)
    assert scene.stage.ends(third) == []
    await scene.hear("limit off", BOSS, room)
    assert "seven?" in await scene.hear("seven?", ANN, room)


# --- who may


async def test_who_is_denied_gets_no_word(scene: Scene) -> None:
    """Neither an answer nor a sentence nor a command."""
    room = scene.stage.new_channel()
    for text in ("how many days?", "help"):
        said = await scene.say(text, MALLORY, room)
        await scene.ask("after it?", ANN, room)
        assert scene.stage.ends(said) == []


async def test_direct_messages_follow_their_policy(scene: Scene) -> None:
    """Who is not on the list is told to ask in a group; an admin is answered."""
    assert await scene.reply(await scene.tell("how many days?", ANN)) == phrase("en", "refused_no_direct")
    assert "and me?" in await scene.reply(await scene.tell("and me?", BOSS))


async def test_nothing_of_a_direct_chat_appears_in_a_group(scene: Scene) -> None:
    """Whoever asks in a group for the last sources, or why, is told nothing that was said alone."""
    await scene.reply(await scene.tell("a private secret?", BOSS))
    room = scene.stage.new_channel()
    for command in ("sources", "why", "withdraw", "👎"):
        said = await scene.hear(command, BOSS, room)
        assert "secret" not in said


# --- feedback and people


async def test_feedback_is_kept_with_what_it_judges(scene: Scene) -> None:
    """A press, or words, keep the verdict with the question, the answer and its passages; a second one replaces it."""
    room = scene.stage.new_channel()
    asked = await scene.ask("good or bad?", ANN, room)
    await scene.judge(asked, BOB, good=False)
    await scene.say("👎 the page is old", ANN, room, asked)
    await scene.until_async(lambda: feedback_on(scene, "good or bad?", 2))
    await scene.judge(asked, BOB, good=True)
    kept = await scene.until_async(lambda: feedback_on(scene, "good or bad?", 2, verdicts={"good", "bad"}))
    assert {one.reason for one in kept if one.by == scene.stage.person_id(ANN)} == {"the page is old"}
    final = FinalAnswer.from_wire(kept[0].final)
    assert final.citations[0].quote == "Everybody has 30 days."
    assert "good or bad?" in final.text


async def feedback_on(scene: Scene, text: str, count: int, verdicts: set[str] | None = None) -> Any:
    """All feedback on the answer to a question, once there is as much."""
    found = [one async for one in all_feedback(scene.client) if text in one.final]
    right = verdicts is None or {one.verdict for one in found} == verdicts
    return found if len(found) == count and right else None


async def test_two_thumbs_down_call_a_human_once(scene: Scene) -> None:
    """The channel's maintainers are called after the second one, and not again."""
    asked = await scene.ask("help me here?", ANN, CARED)
    called = scene.stage.called(CARER)
    await scene.judge(asked, ANN, good=False)
    assert not any(called in end for end in scene.stage.all_ends(asked))
    await scene.judge(asked, BOB, good=False)
    await scene.until(lambda: shows(scene, asked, CARER))
    await scene.judge(asked, BOSS, good=False)
    assert await scene.hear("call a human", ANN, CARED, asked) == phrase("en", "human_again")


def shows(scene: Scene, said: Any, person: str) -> bool:
    """Whether a person is called in the thread, in whatever form the chat shows it."""
    return any(scene.stage.person_id(person) in end for end in scene.stage.all_ends(said))


async def test_a_human_is_called_by_name(scene: Scene) -> None:
    """Who asks for a person gets the maintainers called; where nobody is named, that is said."""
    if scene.stage.has_threads:
        asked = await scene.ask("who can help?", ANN, CARED)
        await scene.say("转人工", ANN, CARED, asked)
        await scene.until(lambda: shows(scene, asked, CARER))
    assert await scene.hear("call a human", ANN, scene.stage.new_channel()) == phrase("en", "human_nobody")


# --- safety


async def test_an_answer_calls_nobody(scene: Scene) -> None:
    """Whatever the model writes, no form of a mass mention reaches the chat."""
    shown = await scene.hear("evil", ANN, scene.stage.new_channel())
    assert not any(form in shown for form in ("@all", "<!", "<at", "\u200b"))
    assert "hi" in shown
