"""What the fake WeCom does with a bot's answers over the long connection: its limits, its events, its faults."""

import asyncio

import aiohttp
import pytest

from tests.fakes.node_peer import NodePeer, PeerError
from tests.fakes.wecom import FakeWeCom
from tests.fakes.wecom.rules import RefusedError
from tests.fakes.wecom_peers import GROUP, USER, OpenBot, SdkBot

# --- answers


def test_stream_is_one_bubble(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """Sends with one stream id show one bubble with the newest whole text, which the finish closes."""
    frame = wecom_bot.hear()
    for text, finish in (("正在", False), ("正在想", False), ("答案", True)):
        assert wecom_bot.use("replyStream", frame, "stream-1", text, finish)["errcode"] == 0
    (shown,) = wecom.bot_messages(GROUP)
    assert (shown.content, shown.finished, shown.history) == ("答案", True, ["正在", "正在想"])
    assert wecom.replies_to(frame["body"]["msgid"]) == [shown]
    assert wecom.violations() == []
    assert wecom.unfinished_streams() == []


def test_blank_text(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """Blank text leaves a stream as it was, and an empty finish takes its bubble away."""
    frame = wecom_bot.hear()
    wecom_bot.use("replyStream", frame, "kept", "text", False)
    wecom_bot.use("replyStream", frame, "kept", "  \n", True)
    wecom_bot.use("replyStream", frame, "cleared", "thinking", False)
    assert [shown.finished for shown in wecom.bot_messages(GROUP)] == [True, False]
    wecom_bot.use("replyStream", frame, "cleared", "", True)
    assert [shown.content for shown in wecom.bot_messages(GROUP)] == ["text"]


def test_finished_stream_is_closed(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """A finished stream takes no further text, unless the platform is switched to the other reading."""
    frame = wecom_bot.hear()
    wecom_bot.use("replyStream", frame, "s", "done", True)
    assert wecom_bot.errcode_of("replyStream", frame, "s", "more", True) == 846608
    wecom.points.finished_stream = "accept"
    assert wecom_bot.errcode_of("replyStream", frame, "s", "done again", True) == 0
    assert [shown.content for shown in wecom.bot_messages(GROUP)] == ["done again"]


def test_stream_lives_six_minutes(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """Six minutes after its first send a stream is refused, and a pushed message still arrives."""
    frame = wecom_bot.hear()
    wecom_bot.use("replyStream", frame, "s", "begun", False)
    wecom.do("skip", seconds=355)
    assert wecom_bot.errcode_of("replyStream", frame, "s", "still", False) == 0
    wecom.do("skip", seconds=6)
    assert wecom_bot.errcode_of("replyStream", frame, "s", "late", True) == 846608
    assert wecom_bot.errcode_of("sendMessage", GROUP, {"msgtype": "markdown", "markdown": {"content": "the rest"}}) == 0
    assert [shown.content for shown in wecom.bot_messages(GROUP)] == ["still", "the rest"]
    assert len(wecom.unfinished_streams()) == 1


def test_time_scale_shrinks_six_minutes(wecom_node: NodePeer) -> None:
    """With a time scale of a thousandth the six minutes pass by themselves in 0.36 s."""
    with FakeWeCom(time_scale=0.001) as wecom:
        bot = SdkBot(wecom_node, "fast", wecom)
        bot.wait("authenticated")
        frame = bot.hear()
        bot.use("replyStream", frame, "s", "begun", False)
        end_s = wecom.bot_messages(GROUP)[0].expires_at_s
        wecom.wait_for(lambda: wecom.clock.now_s() > end_s)
        assert bot.errcode_of("replyStream", frame, "s", "late", True) == 846608
        bot.close()
    wecom_node.events.clear()


def test_req_id_must_be_known_and_younger_than_a_day(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """Replies need the req_id of a message that is at most 24 h old; an event's will not do."""
    frame = wecom_bot.hear()
    assert wecom_bot.errcode_of("replyStream", {"headers": {"req_id": "made up"}}, "s", "x", True) == 846605
    wecom.do("event", eventtype="enter_chat")
    assert wecom_bot.errcode_of("replyStream", wecom_bot.wait("enter_chat")["frame"], "s", "x", True) == 846605
    wecom.do("skip", seconds=24 * 3600 - 60)
    assert wecom_bot.errcode_of("replyStream", frame, "s", "x", True) == 0
    wecom.do("skip", seconds=61)
    assert wecom_bot.errcode_of("replyStream", frame, "t", "x", True) == 846605


@pytest.mark.parametrize(("survives", "errcode"), [(True, 0), (False, 846605)])
def test_req_id_after_a_reconnect(wecom: FakeWeCom, wecom_bot: SdkBot, survives: bool, errcode: int) -> None:
    """Whether a req_id is good on a later connection is switched, for the vendor does not say."""
    wecom.points.req_ids_survive_reconnect = survives
    frame = wecom_bot.hear()
    wecom.do("close")
    wecom_bot.wait("authenticated", 2)
    assert wecom_bot.errcode_of("replyStream", frame, "s", "x", True) == errcode


def test_content_limit_is_in_bytes(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """20,480 bytes are shown; one more is refused, or cut within no character, as it is switched."""
    frame = wecom_bot.hear()
    full = "香" * 6826 + "ab"
    assert wecom_bot.errcode_of("replyStream", frame, "full", full, True) == 0
    assert wecom_bot.errcode_of("replyStream", frame, "over", full + "c", True) == 45002
    wecom.points.oversize = "cut"
    assert wecom_bot.errcode_of("replyStream", frame, "cut", "a" + "香" * 6827, True) == 0
    assert [shown.content for shown in wecom.bot_messages(GROUP)] == [full, "a" + "香" * 6826]
    assert len(wecom.violations("content_bytes")) == 2


def test_thirty_sends_a_minute(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """A conversation takes 30 messages a minute, replies and pushes together; refreshes are free by default."""
    frame, other = wecom_bot.hear(), wecom_bot.hear(chatid="wr_other")
    markdown = {"msgtype": "markdown", "markdown": {"content": "x"}}
    for at in range(15):
        wecom_bot.use("replyStream", frame, f"s{at}", "x", False)
        wecom_bot.use("replyStream", frame, f"s{at}", "y", True)
        wecom_bot.use("sendMessage", GROUP, markdown)
    assert wecom_bot.errcode_of("sendMessage", GROUP, markdown) == 45009
    assert wecom_bot.errcode_of("replyStream", other, "s", "x", True) == 0
    assert len(wecom.sends_above_rate()) == 1
    wecom.do("skip", seconds=60)
    assert wecom_bot.errcode_of("sendMessage", GROUP, markdown) == 0


def test_refreshes_counted(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """Switched to the other reading, a stream's refreshes count as sends too."""
    wecom.points.refreshes_count = True
    frame = wecom_bot.hear()
    codes = [wecom_bot.errcode_of("replyStream", frame, "s", f"text {at}", False) for at in range(31)]
    assert codes == [0] * 30 + [45009]


def test_thousand_sends_an_hour(wecom: FakeWeCom) -> None:
    """A conversation takes 1,000 messages an hour, however slowly they come."""
    markdown = {"msgtype": "markdown", "markdown": {"content": "x"}}
    for _ in range(1000):
        wecom.board.show("c", markdown, "push")
        wecom.clock.skip(3)
    with pytest.raises(RefusedError, match="45009"):
        wecom.board.show("c", markdown, "push")
    wecom.clock.skip(3600)
    assert wecom.board.show("c", markdown, "push").content == "x"


def test_push_needs_a_conversation(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """A message is pushed only where somebody has spoken to the bot, by the group's or the person's id."""
    markdown = {"msgtype": "markdown", "markdown": {"content": "hello"}}
    assert wecom_bot.errcode_of("sendMessage", USER, markdown) == 86001
    wecom_bot.hear(chatid="")
    assert wecom_bot.errcode_of("sendMessage", USER, markdown) == 0
    assert wecom_bot.errcode_of("sendMessage", USER, {"msgtype": "text", "text": {"content": "no"}}) == 40058
    assert [shown.via for shown in wecom.bot_messages(USER)] == ["push"]


# --- events


def test_welcome_within_five_seconds(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """Somebody who opens the chat is welcomed within five seconds, and not later."""
    welcome = {"msgtype": "text", "text": {"content": "你好"}}
    wecom.do("event", eventtype="enter_chat")
    frame = wecom_bot.wait("enter_chat")["frame"]
    assert wecom_bot.errcode_of("replyWelcome", frame, welcome) == 0
    assert [(shown.via, shown.content) for shown in wecom.bot_messages(USER)] == [("welcome", "你好")]
    wecom.do("event", eventtype="enter_chat")
    late = wecom_bot.wait("enter_chat", 2)["frame"]
    wecom.do("skip", seconds=5)
    assert wecom_bot.errcode_of("replyWelcome", late, welcome) == 846605


def test_feedback(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """An answer carries a feedback id of up to 256 bytes, and a person's feedback brings it back."""
    frame = wecom_bot.hear()
    wecom_bot.use("replyStream", frame, "s", "answer", True, None, {"id": "question-1"})
    assert wecom.bot_messages(GROUP)[0].feedback_id == "question-1"
    detail = {"id": "question-1", "type": 2, "content": "wrong", "inaccurate_reason_list": [3]}
    wecom.do("event", eventtype="feedback_event", chatid=GROUP, detail=detail)
    event = wecom_bot.wait("feedback_event")["frame"]["body"]["event"]
    assert event == {"eventtype": "feedback_event", "feedback_event": detail}
    assert wecom_bot.errcode_of("replyStream", frame, "t", "answer", True, None, {"id": "香" * 86}) == 40058


def test_card_event_is_answered_by_an_update(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """A click on a card is answered within five seconds with the card's new face."""
    wecom.do("event", eventtype="template_card_event", detail={"event_key": "yes", "task_id": "t"})
    frame = wecom_bot.wait("template_card_event")["frame"]
    card = {"card_type": "text_notice", "main_title": {"title": "thanks"}, "task_id": "t"}
    assert wecom_bot.errcode_of("updateTemplateCard", frame, card) == 0
    assert [shown.content for shown in wecom.bot_messages(USER)] == ["thanks"]


# --- faults of replies


def test_muted_answer(wecom: FakeWeCom, open_wecom_bot: OpenBot) -> None:
    """A reply can take effect without an answer; the same stream sent again refreshes the same bubble."""
    bot = open_wecom_bot(ackTimeoutMs=100)
    frame = bot.hear()
    wecom.fail("aibot_respond_msg", "mute")
    with pytest.raises(PeerError, match="ack timeout"):
        bot.use("replyStream", frame, "s", "answer", False)
    assert bot.use("replyStream", frame, "s", "answer", True)["errcode"] == 0
    assert [shown.content for shown in wecom.bot_messages(GROUP)] == ["answer"]


def test_dropped_reply(wecom: FakeWeCom, open_wecom_bot: OpenBot) -> None:
    """A reply can be swallowed without effect and without answer."""
    bot = open_wecom_bot(ackTimeoutMs=100)
    frame = bot.hear()
    wecom.fail("aibot_respond_msg", "drop")
    with pytest.raises(PeerError, match="ack timeout"):
        bot.use("replyStream", frame, "s", "answer", True)
    assert wecom.bot_messages(GROUP) == []


def test_reply_refused_by_fault(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """A reply can be refused with any error code, and then shows nothing."""
    frame = wecom_bot.hear()
    wecom.fail("aibot_respond_msg", "errcode", errcode=-1, errmsg="system busy")
    with pytest.raises(PeerError, match="system busy"):
        wecom_bot.use("replyStream", frame, "s", "answer", True)
    assert wecom.bot_messages(GROUP) == []


@pytest.mark.parametrize("how", ["close", "abort"])
def test_link_breaks_instead_of_an_answer(wecom: FakeWeCom, wecom_bot: SdkBot, how: str) -> None:
    """The link can end just after a send took effect: sent again, a stream is one bubble and a push is two."""
    frame = wecom_bot.hear()
    markdown = {"msgtype": "markdown", "markdown": {"content": "rest"}}
    wecom.fail("aibot_respond_msg", how)
    with pytest.raises(PeerError, match="closed"):
        wecom_bot.use("replyStream", frame, "s", "answer", False)
    wecom_bot.wait("authenticated", 2)
    assert wecom_bot.errcode_of("replyStream", frame, "s", "answer", True) == 0
    wecom.fail("aibot_send_msg", how)
    with pytest.raises(PeerError, match="closed"):
        wecom_bot.use("sendMessage", GROUP, markdown)
    wecom_bot.wait("authenticated", 3)
    assert wecom_bot.errcode_of("sendMessage", GROUP, markdown) == 0
    assert [shown.content for shown in wecom.bot_messages(GROUP)] == ["answer", "rest", "rest"]


def test_slow_answer_and_overlap(wecom: FakeWeCom) -> None:
    """An answer can come late, and a second reply for its req_id before that is noticed."""
    settings = wecom.urls()

    async def talk() -> list[int]:
        async with aiohttp.ClientSession() as session, session.ws_connect(settings["FENNEL_WECOM__WS_URL"]) as link:
            subscription = {"bot_id": settings["FENNEL_WECOM__BOT_ID"], "secret": settings["FENNEL_WECOM__SECRET"]}
            await link.send_json({"cmd": "aibot_subscribe", "headers": {"req_id": "a"}, "body": subscription})
            await link.receive_json()
            await asyncio.to_thread(wecom.say, "hello", chatid=GROUP)
            headers = (await link.receive_json())["headers"]
            wecom.fail("aibot_respond_msg", "slow", delay_s=0.1)
            for text in ("one", "two"):
                body = {"msgtype": "stream", "stream": {"id": "s", "content": text}}
                await link.send_json({"cmd": "aibot_respond_msg", "headers": headers, "body": body})
            return [(await link.receive_json())["errcode"] for _ in range(2)]

    assert asyncio.run(talk()) == [0, 0]
    assert [violation.rule for violation in wecom.violations()] == ["overlap"]
    assert [shown.content for shown in wecom.bot_messages(GROUP)] == ["two"]
