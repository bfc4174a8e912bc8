"""The fake WeCom's long connection, proven with the clients that Tencent and others wrote for the real one."""

import asyncio
import base64
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.node_peer import NodePeer, PeerError
from tests.fakes.wecom import FakeWeCom, OpenPoints
from tests.fakes.wecom.rules import RefusedError
from tests.fakes.wecom.world import TINY_PNG
from tests.fakes.wecom_peers import GROUP, USER, SdkBot


@pytest.fixture(scope="module")
def node(node_packages: Path) -> Iterator[NodePeer]:
    with NodePeer("wecom_bot.cjs") as peer:
        yield peer


@pytest.fixture
def fake() -> Iterator[FakeWeCom]:
    with FakeWeCom() as server:
        yield server


OpenBot = Callable[..., SdkBot]


@pytest.fixture
def open_bot(node: NodePeer, fake: FakeWeCom) -> Iterator[OpenBot]:
    """Open a bot of Tencent's client and wait until it is subscribed, unless told not to."""
    bots: list[SdkBot] = []

    def open_one(name: str = "bot", *, subscribed: bool = True, at: FakeWeCom = fake, **options: Any) -> SdkBot:
        bot = SdkBot(node, name, at, **options)
        bots.append(bot)
        if subscribed:
            bot.wait("authenticated")
        return bot

    yield open_one
    for bot in bots:
        bot.close()
    node.events.clear()


@pytest.fixture
def bot(open_bot: OpenBot) -> SdkBot:
    return open_bot()


# --- the link


def test_subscription_heartbeat_and_journal(fake: FakeWeCom, open_bot: OpenBot) -> None:
    """The client subscribes, its heartbeat is answered, and every frame is in the journal."""
    open_bot(heartbeatInterval=20)
    fake.wait_for(lambda: sum(line.kind == "ping" for line in fake.journal) >= 4)
    kinds = [(line.direction, line.kind) for line in fake.journal]
    assert kinds[:4] == [("in", "connect"), ("in", "aibot_subscribe"), ("in", "subscribed"), ("out", "ack")]
    assert fake.journal[1].payload["body"]["bot_id"] == fake.account.bot_id
    assert sum(line.kind == "connect" for line in fake.journal) == 1
    assert [line.at_s for line in fake.journal] == sorted(line.at_s for line in fake.journal)


def test_wrong_secret_is_refused(fake: FakeWeCom, open_bot: OpenBot) -> None:
    """A subscription with another secret is refused, and Tencent's client gives up after its tries."""
    open_bot(secret="wrong", subscribed=False).wait("error", 4)
    assert len(fake.violations("credential")) == 3
    assert fake.long_link.live is None


def test_rotated_secret_ends_the_link(fake: FakeWeCom, bot: SdkBot) -> None:
    """After the secret is rotated the link closes, and the old secret opens none."""
    fake.do("rotate_secret", secret="new secret")
    assert "40001" in bot.wait("error")["message"]
    assert fake.urls()["FENNEL_WECOM__SECRET"] == "new secret"
    assert fake.long_link.live is None


def test_subscribing_too_often_is_refused(node: NodePeer) -> None:
    """The subscription's rate protection refuses what is above its number, until a minute has passed."""
    with FakeWeCom(points=OpenPoints(subscribes_per_min=1)) as fake:
        first = SdkBot(node, "first", fake)
        first.wait("authenticated")
        second = SdkBot(node, "second", fake, reconnectInterval=1)
        assert "45009" in second.wait("error")["message"]
        fake.do("skip", seconds=60)
        second.close()
        third = SdkBot(node, "third", fake)
        third.wait("authenticated")
        third.close()
        first.close()
    node.events.clear()


def test_newest_subscription_has_the_bot(fake: FakeWeCom, open_bot: OpenBot) -> None:
    """A second instance gets the link; the first is told, closed, and does not come back."""
    first, second = open_bot("first"), open_bot("second")
    assert first.wait("disconnected_event")["frame"]["body"]["msgtype"] == "event"
    assert second.hear("wer ist da?")["body"]["msgtype"] == "text"
    assert not first.is_connected
    assert first.seen("message") == []
    assert sum(line.kind == "connect" for line in fake.journal) == 2


def test_kick_without_a_second_instance(fake: FakeWeCom, bot: SdkBot) -> None:
    """The control plays a second instance's subscription to the bot that is there."""
    fake.do("kick")
    bot.wait("disconnected_event")
    fake.wait_for(lambda: not fake.long_link.links)


@pytest.mark.parametrize(("act", "detail"), [("close", {"code": 1000}), ("close", {"code": 1012}), ("abort", {})])
def test_broken_link_comes_back(fake: FakeWeCom, bot: SdkBot, act: str, detail: dict[str, Any]) -> None:
    """After a close or a cut the client comes back, and what was said meanwhile is lost for good."""
    fake.do(act, **detail)
    lost = fake.say("hört mich jemand?", chatid=GROUP)
    bot.wait("authenticated", 2)
    assert bot.hear("und jetzt?")["body"]["text"]["content"] == "@茴香 und jetzt?"
    assert lost["delivered"] is False
    assert [body["msgid"] for body in fake.lost_messages()] == [lost["msgid"]]
    assert len(bot.seen("message")) == 1


def test_refused_handshake(fake: FakeWeCom, open_bot: OpenBot) -> None:
    """A handshake can be refused with a status, and the client tries again."""
    fake.fail("connect", "status", status=502)
    bot = open_bot()
    assert "502" in bot.seen("error")[0]["message"]


def test_heartbeat_without_answer(fake: FakeWeCom, open_bot: OpenBot) -> None:
    """When pings stay unanswered, the client takes the link for dead after two and connects again."""
    fake.fail("ping", "mute", times=2)
    bot = open_bot(heartbeatInterval=30)
    bot.wait("disconnected")
    bot.wait("authenticated", 2)


def test_unsubscribed_and_malformed_frames(fake: FakeWeCom) -> None:
    """Before its subscription a connection may do nothing, and what is no frame is noticed."""

    async def talk() -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.ws_connect(fake.urls()["FENNEL_WECOM__WS_URL"]) as link:
            await link.send_str("{broken")
            await link.send_json({"cmd": "ping", "headers": {"req_id": "ping_1"}})
            answer: dict[str, Any] = await link.receive_json()
            return answer

    answer = asyncio.run(talk())
    assert (answer["headers"], answer["errcode"]) == ({"req_id": "ping_1"}, 40001)
    assert "cmd" not in answer
    assert [violation.rule for violation in fake.violations()] == ["shape", "not_subscribed"]


# --- what people send


def test_group_text(fake: FakeWeCom, bot: SdkBot) -> None:
    """A group's text names the bot, the group and the person; what does not name the bot stays in the group."""
    body = bot.hear("怎么部署？", user="li.si")["body"]
    assert body["text"] == {"content": "@茴香 怎么部署？"}
    assert (body["chattype"], body["chatid"], body["from"]) == ("group", GROUP, {"userid": "li.si"})
    assert body["aibotid"] == fake.account.bot_id
    assert fake.say("just us", chatid=GROUP, mention=False)["delivered"] is False
    assert [shown.content for shown in fake.visible_messages(GROUP)] == ["@茴香 怎么部署？", "just us"]
    assert fake.lost_messages() == []


def test_single_text_and_quote(bot: SdkBot) -> None:
    """A single chat's text has no chatid and no mention; a quote comes with what it quotes."""
    body = bot.hear("und das?", chatid="", quote="the older text")["body"]
    assert "chatid" not in body
    assert body["text"] == {"content": "und das?"}
    assert body["quote"] == {"msgtype": "text", "text": {"content": "the older text"}}


def test_mixed_and_voice(bot: SdkBot) -> None:
    """Mixed text and images come as items, a voice as its text."""
    mixed = bot.hear("what is this?", msgtype="mixed")["body"]["mixed"]["msg_item"]
    assert [item["msgtype"] for item in mixed] == ["text", "image"]
    assert mixed[0]["text"]["content"] == "@茴香 what is this?"
    assert bot.hear("spoken", chatid="", msgtype="voice")["body"]["voice"] == {"content": "spoken"}


def test_image_is_encrypted_and_expires(fake: FakeWeCom, bot: SdkBot) -> None:
    """An image's link serves it encrypted with the key beside it, for five minutes, and only in single chats."""
    image = bot.hear("", chatid="", msgtype="image")["body"]["image"]
    assert base64.b64decode(bot.download(image["url"], image["aeskey"])) == TINY_PNG
    fake.do("skip", seconds=301)
    with pytest.raises(PeerError, match="404"):
        bot.download(image["url"], image["aeskey"])
    with pytest.raises(ValueError, match="does not reach the bot"):
        fake.say("", chatid=GROUP, msgtype="image")


def test_duplicate_has_another_req_id(fake: FakeWeCom, bot: SdkBot) -> None:
    """A message can come twice, with the same msgid and another req_id."""
    fake.fail("aibot_msg_callback", "duplicate")
    first = bot.hear()
    second = bot.wait("message", 2)["frame"]
    assert first["body"] == second["body"]
    assert first["headers"] != second["headers"]


def test_message_into_a_dead_link(fake: FakeWeCom, bot: SdkBot) -> None:
    """A message can be lost although the link looks alive."""
    fake.fail("aibot_msg_callback", "lose")
    assert fake.say("hello?", chatid=GROUP)["delivered"] is False
    assert bot.hear("again")["body"]["text"]["content"] == "@茴香 again"
    assert len(fake.lost_messages()) == 1


# --- answers


def test_stream_is_one_bubble(fake: FakeWeCom, bot: SdkBot) -> None:
    """Sends with one stream id show one bubble with the newest whole text, which the finish closes."""
    frame = bot.hear()
    for text, finish in (("正在", False), ("正在想", False), ("答案", True)):
        assert bot.use("replyStream", frame, "stream-1", text, finish)["errcode"] == 0
    (shown,) = fake.bot_messages(GROUP)
    assert (shown.content, shown.finished, shown.history) == ("答案", True, ["正在", "正在想"])
    assert fake.replies_to(frame["body"]["msgid"]) == [shown]
    assert fake.violations() == []
    assert fake.unfinished_streams() == []


def test_blank_text(fake: FakeWeCom, bot: SdkBot) -> None:
    """Blank text leaves a stream as it was, and an empty finish takes its bubble away."""
    frame = bot.hear()
    bot.use("replyStream", frame, "kept", "text", False)
    bot.use("replyStream", frame, "kept", "  \n", True)
    bot.use("replyStream", frame, "cleared", "thinking", False)
    assert [shown.finished for shown in fake.bot_messages(GROUP)] == [True, False]
    bot.use("replyStream", frame, "cleared", "", True)
    assert [shown.content for shown in fake.bot_messages(GROUP)] == ["text"]


def test_finished_stream_is_closed(fake: FakeWeCom, bot: SdkBot) -> None:
    """A finished stream takes no further text, unless the platform is switched to the other reading."""
    frame = bot.hear()
    bot.use("replyStream", frame, "s", "done", True)
    assert bot.errcode_of("replyStream", frame, "s", "more", True) == 846608
    fake.points.finished_stream = "accept"
    assert bot.errcode_of("replyStream", frame, "s", "done again", True) == 0
    assert [shown.content for shown in fake.bot_messages(GROUP)] == ["done again"]


def test_stream_lives_six_minutes(fake: FakeWeCom, bot: SdkBot) -> None:
    """Six minutes after its first send a stream is refused, and a pushed message still arrives."""
    frame = bot.hear()
    bot.use("replyStream", frame, "s", "begun", False)
    fake.do("skip", seconds=355)
    assert bot.errcode_of("replyStream", frame, "s", "still", False) == 0
    fake.do("skip", seconds=6)
    assert bot.errcode_of("replyStream", frame, "s", "late", True) == 846608
    assert bot.errcode_of("sendMessage", GROUP, {"msgtype": "markdown", "markdown": {"content": "the rest"}}) == 0
    assert [shown.content for shown in fake.bot_messages(GROUP)] == ["still", "the rest"]
    assert len(fake.unfinished_streams()) == 1


def test_time_scale_shrinks_six_minutes(node: NodePeer) -> None:
    """With a time scale of a thousandth the six minutes pass by themselves in 0.36 s."""
    with FakeWeCom(time_scale=0.001) as fake:
        bot = SdkBot(node, "fast", fake)
        bot.wait("authenticated")
        frame = bot.hear()
        bot.use("replyStream", frame, "s", "begun", False)
        end_s = fake.bot_messages(GROUP)[0].expires_at_s
        fake.wait_for(lambda: fake.clock.now_s() > end_s)
        assert bot.errcode_of("replyStream", frame, "s", "late", True) == 846608
        bot.close()
    node.events.clear()


def test_req_id_must_be_known_and_younger_than_a_day(fake: FakeWeCom, bot: SdkBot) -> None:
    """Replies need the req_id of a message that is at most 24 h old; an event's will not do."""
    frame = bot.hear()
    assert bot.errcode_of("replyStream", {"headers": {"req_id": "made up"}}, "s", "x", True) == 846605
    fake.do("event", eventtype="enter_chat")
    assert bot.errcode_of("replyStream", bot.wait("enter_chat")["frame"], "s", "x", True) == 846605
    fake.do("skip", seconds=24 * 3600 - 60)
    assert bot.errcode_of("replyStream", frame, "s", "x", True) == 0
    fake.do("skip", seconds=61)
    assert bot.errcode_of("replyStream", frame, "t", "x", True) == 846605


@pytest.mark.parametrize(("survives", "errcode"), [(True, 0), (False, 846605)])
def test_req_id_after_a_reconnect(fake: FakeWeCom, bot: SdkBot, survives: bool, errcode: int) -> None:
    """Whether a req_id is good on a later connection is switched, for the vendor does not say."""
    fake.points.req_ids_survive_reconnect = survives
    frame = bot.hear()
    fake.do("close")
    bot.wait("authenticated", 2)
    assert bot.errcode_of("replyStream", frame, "s", "x", True) == errcode


def test_content_limit_is_in_bytes(fake: FakeWeCom, bot: SdkBot) -> None:
    """20,480 bytes are shown; one more is refused, or cut within no character, as it is switched."""
    frame = bot.hear()
    full = "香" * 6826 + "ab"
    assert bot.errcode_of("replyStream", frame, "full", full, True) == 0
    assert bot.errcode_of("replyStream", frame, "over", full + "c", True) == 45002
    fake.points.oversize = "cut"
    assert bot.errcode_of("replyStream", frame, "cut", "a" + "香" * 6827, True) == 0
    assert [shown.content for shown in fake.bot_messages(GROUP)] == [full, "a" + "香" * 6826]
    assert len(fake.violations("content_bytes")) == 2


def test_thirty_sends_a_minute(fake: FakeWeCom, bot: SdkBot) -> None:
    """A conversation takes 30 messages a minute, replies and pushes together; refreshes are free by default."""
    frame, other = bot.hear(), bot.hear(chatid="wr_other")
    markdown = {"msgtype": "markdown", "markdown": {"content": "x"}}
    for at in range(15):
        bot.use("replyStream", frame, f"s{at}", "x", False)
        bot.use("replyStream", frame, f"s{at}", "y", True)
        bot.use("sendMessage", GROUP, markdown)
    assert bot.errcode_of("sendMessage", GROUP, markdown) == 45009
    assert bot.errcode_of("replyStream", other, "s", "x", True) == 0
    assert len(fake.sends_above_rate()) == 1
    fake.do("skip", seconds=60)
    assert bot.errcode_of("sendMessage", GROUP, markdown) == 0


def test_refreshes_counted(fake: FakeWeCom, bot: SdkBot) -> None:
    """Switched to the other reading, a stream's refreshes count as sends too."""
    fake.points.refreshes_count = True
    frame = bot.hear()
    codes = [bot.errcode_of("replyStream", frame, "s", f"text {at}", False) for at in range(31)]
    assert codes == [0] * 30 + [45009]


def test_thousand_sends_an_hour(fake: FakeWeCom) -> None:
    """A conversation takes 1,000 messages an hour, however slowly they come."""
    markdown = {"msgtype": "markdown", "markdown": {"content": "x"}}
    for _ in range(1000):
        fake.board.show("c", markdown, "push")
        fake.clock.skip(3)
    with pytest.raises(RefusedError, match="45009"):
        fake.board.show("c", markdown, "push")
    fake.clock.skip(3600)
    assert fake.board.show("c", markdown, "push").content == "x"


def test_push_needs_a_conversation(fake: FakeWeCom, bot: SdkBot) -> None:
    """A message is pushed only where somebody has spoken to the bot, by the group's or the person's id."""
    markdown = {"msgtype": "markdown", "markdown": {"content": "hello"}}
    assert bot.errcode_of("sendMessage", USER, markdown) == 86001
    bot.hear(chatid="")
    assert bot.errcode_of("sendMessage", USER, markdown) == 0
    assert bot.errcode_of("sendMessage", USER, {"msgtype": "text", "text": {"content": "no"}}) == 40058
    assert [shown.via for shown in fake.bot_messages(USER)] == ["push"]


# --- events


def test_welcome_within_five_seconds(fake: FakeWeCom, bot: SdkBot) -> None:
    """Somebody who opens the chat is welcomed within five seconds, and not later."""
    welcome = {"msgtype": "text", "text": {"content": "你好"}}
    fake.do("event", eventtype="enter_chat")
    frame = bot.wait("enter_chat")["frame"]
    assert bot.errcode_of("replyWelcome", frame, welcome) == 0
    assert [(shown.via, shown.content) for shown in fake.bot_messages(USER)] == [("welcome", "你好")]
    fake.do("event", eventtype="enter_chat")
    late = bot.wait("enter_chat", 2)["frame"]
    fake.do("skip", seconds=5)
    assert bot.errcode_of("replyWelcome", late, welcome) == 846605


def test_feedback(fake: FakeWeCom, bot: SdkBot) -> None:
    """An answer carries a feedback id of up to 256 bytes, and a person's feedback brings it back."""
    frame = bot.hear()
    bot.use("replyStream", frame, "s", "answer", True, None, {"id": "question-1"})
    assert fake.bot_messages(GROUP)[0].feedback_id == "question-1"
    detail = {"id": "question-1", "type": 2, "content": "wrong", "inaccurate_reason_list": [3]}
    fake.do("event", eventtype="feedback_event", chatid=GROUP, detail=detail)
    event = bot.wait("feedback_event")["frame"]["body"]["event"]
    assert event == {"eventtype": "feedback_event", "feedback_event": detail}
    assert bot.errcode_of("replyStream", frame, "t", "answer", True, None, {"id": "香" * 86}) == 40058


def test_card_event_is_answered_by_an_update(fake: FakeWeCom, bot: SdkBot) -> None:
    """A click on a card is answered within five seconds with the card's new face."""
    fake.do("event", eventtype="template_card_event", detail={"event_key": "yes", "task_id": "t"})
    frame = bot.wait("template_card_event")["frame"]
    card = {"card_type": "text_notice", "main_title": {"title": "thanks"}, "task_id": "t"}
    assert bot.errcode_of("updateTemplateCard", frame, card) == 0
    assert [shown.content for shown in fake.bot_messages(USER)] == ["thanks"]


# --- faults of replies


def test_muted_answer(fake: FakeWeCom, open_bot: OpenBot) -> None:
    """A reply can take effect without an answer; the same stream sent again refreshes the same bubble."""
    bot = open_bot(ackTimeoutMs=100)
    frame = bot.hear()
    fake.fail("aibot_respond_msg", "mute")
    with pytest.raises(PeerError, match="ack timeout"):
        bot.use("replyStream", frame, "s", "answer", False)
    assert bot.use("replyStream", frame, "s", "answer", True)["errcode"] == 0
    assert [shown.content for shown in fake.bot_messages(GROUP)] == ["answer"]


def test_dropped_reply(fake: FakeWeCom, open_bot: OpenBot) -> None:
    """A reply can be swallowed without effect and without answer."""
    bot = open_bot(ackTimeoutMs=100)
    frame = bot.hear()
    fake.fail("aibot_respond_msg", "drop")
    with pytest.raises(PeerError, match="ack timeout"):
        bot.use("replyStream", frame, "s", "answer", True)
    assert fake.bot_messages(GROUP) == []


def test_reply_refused_by_fault(fake: FakeWeCom, bot: SdkBot) -> None:
    """A reply can be refused with any error code, and then shows nothing."""
    frame = bot.hear()
    fake.fail("aibot_respond_msg", "errcode", errcode=-1, errmsg="system busy")
    with pytest.raises(PeerError, match="system busy"):
        bot.use("replyStream", frame, "s", "answer", True)
    assert fake.bot_messages(GROUP) == []


@pytest.mark.parametrize("how", ["close", "abort"])
def test_link_breaks_instead_of_an_answer(fake: FakeWeCom, bot: SdkBot, how: str) -> None:
    """The link can end just after a send took effect: sent again, a stream is one bubble and a push is two."""
    frame = bot.hear()
    markdown = {"msgtype": "markdown", "markdown": {"content": "rest"}}
    fake.fail("aibot_respond_msg", how)
    with pytest.raises(PeerError, match="closed"):
        bot.use("replyStream", frame, "s", "answer", False)
    bot.wait("authenticated", 2)
    assert bot.errcode_of("replyStream", frame, "s", "answer", True) == 0
    fake.fail("aibot_send_msg", how)
    with pytest.raises(PeerError, match="closed"):
        bot.use("sendMessage", GROUP, markdown)
    bot.wait("authenticated", 3)
    assert bot.errcode_of("sendMessage", GROUP, markdown) == 0
    assert [shown.content for shown in fake.bot_messages(GROUP)] == ["answer", "rest", "rest"]


def test_slow_answer_and_overlap(fake: FakeWeCom) -> None:
    """An answer can come late, and a second reply for its req_id before that is noticed."""
    settings = fake.urls()

    async def talk() -> list[int]:
        async with aiohttp.ClientSession() as session, session.ws_connect(settings["FENNEL_WECOM__WS_URL"]) as link:
            subscription = {"bot_id": settings["FENNEL_WECOM__BOT_ID"], "secret": settings["FENNEL_WECOM__SECRET"]}
            await link.send_json({"cmd": "aibot_subscribe", "headers": {"req_id": "a"}, "body": subscription})
            await link.receive_json()
            await asyncio.to_thread(fake.say, "hello", chatid=GROUP)
            headers = (await link.receive_json())["headers"]
            fake.fail("aibot_respond_msg", "slow", delay_s=0.1)
            for text in ("one", "two"):
                body = {"msgtype": "stream", "stream": {"id": "s", "content": text}}
                await link.send_json({"cmd": "aibot_respond_msg", "headers": headers, "body": body})
            return [(await link.receive_json())["errcode"] for _ in range(2)]

    assert asyncio.run(talk()) == [0, 0]
    assert [violation.rule for violation in fake.violations()] == ["overlap"]
    assert [shown.content for shown in fake.bot_messages(GROUP)] == ["two"]


# --- alone, and other clients


def test_alone_with_control_over_http(open_bot: OpenBot, node: NodePeer) -> None:
    """Run alone, the fake prints the settings, and another process injects, breaks and looks over HTTP."""
    command = [sys.executable, "-m", "tests.fakes.wecom", "--port", "0", "--time-scale", "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        settings = dict(process.stdout.readline().strip().split("=", 1) for _ in range(6))
        assert set(settings) == set(FakeWeCom().urls())
        try:
            node.call("open", "alone", settings, {})
            node.wait_for_event("authenticated")
            asyncio.run(_control(settings["FENNEL_WEIXIN__BASE_URL"], node))
            node.call("close", "alone")
        finally:
            process.terminate()


async def _control(url: str, node: NodePeer) -> None:
    async with aiohttp.ClientSession(f"{url}/_control/") as session:

        async def post(path: str, body: dict[str, Any]) -> Any:
            async with session.post(path, json=body) as response:
                return await response.json()

        async def get(path: str) -> Any:
            async with session.get(path) as response:
                return await response.json()

        told = await post("inject", {"text": "hallo", "chatid": GROUP})
        frame = node.wait_for_event("message")["frame"]
        assert frame["body"]["msgid"] == told["msgid"]
        await post("fault", {"kind": "aibot_respond_msg", "name": "errcode", "detail": {"errcode": 7}})
        with pytest.raises(PeerError, match='"errcode":7'):
            node.call("use", "alone", "replyStream", frame, "s", "answer", True)
        node.call("use", "alone", "replyStream", frame, "s", "answer", True)
        state = await get("state")
        assert state["subscribed"] is True
        assert [shown["content"] for shown in state["conversations"][GROUP]] == ["@茴香 hallo", "answer"]
        assert "aibot_respond_msg" in [line["kind"] for line in await get("journal")]


@pytest.mark.filterwarnings("ignore:ConnectionClosed.code is deprecated:DeprecationWarning")  # the client's own
async def test_python_client(fake: FakeWeCom) -> None:
    """A Python client of the package index subscribes, hears a question, answers it, and comes back after a close."""
    sdk = importlib.import_module("wecom_aibot_sdk")  # it has no types
    settings = fake.urls()
    options = sdk.WSClientOptions(
        bot_id=settings["FENNEL_WECOM__BOT_ID"],
        secret=settings["FENNEL_WECOM__SECRET"],
        ws_url=settings["FENNEL_WECOM__WS_URL"],
        reconnect_interval=10,
    )
    client = sdk.WSClient(options)
    frames: asyncio.Queue[Any] = asyncio.Queue()
    subscribed: asyncio.Queue[Any] = asyncio.Queue()
    client.on("message.text", frames.put)
    client.on("authenticated", subscribed.put)
    await client.connect_async()
    try:
        await asyncio.wait_for(subscribed.get(), 10)
        await asyncio.to_thread(fake.say, "hallo", chatid=GROUP)
        frame = await asyncio.wait_for(frames.get(), 10)
        assert (await client.reply_stream(frame, "s", "answer", True)).errcode == 0
        await asyncio.to_thread(fake.do, "close")
        await asyncio.wait_for(subscribed.get(), 10)
    finally:
        await client.disconnect()
    assert [shown.content for shown in fake.bot_messages(GROUP)] == ["answer"]
    assert json.dumps(fake.state(), default=str)
