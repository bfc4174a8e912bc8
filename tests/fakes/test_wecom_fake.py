"""The fake WeCom's long connection, proven with the clients that Tencent and others wrote for the real one."""

import asyncio
import base64
import importlib
import json
import subprocess
import sys
from typing import Any

import aiohttp
import pytest

from tests.fakes.node_peer import NodePeer, PeerError
from tests.fakes.wecom import FakeWeCom, OpenPoints
from tests.fakes.wecom.world import TINY_PNG
from tests.fakes.wecom_peers import GROUP, OpenBot, SdkBot

# --- the link


def test_subscription_heartbeat_and_journal(wecom: FakeWeCom, open_wecom_bot: OpenBot) -> None:
    """The client subscribes, its heartbeat is answered, and every frame is in the journal."""
    open_wecom_bot(heartbeatInterval=20)
    wecom.wait_for(lambda: sum(line.kind == "ping" for line in wecom.journal) >= 4)
    kinds = [(line.direction, line.kind) for line in wecom.journal]
    assert kinds[:4] == [("in", "connect"), ("in", "aibot_subscribe"), ("in", "subscribed"), ("out", "ack")]
    assert wecom.journal[1].payload["body"]["bot_id"] == wecom.account.bot_id
    assert sum(line.kind == "connect" for line in wecom.journal) == 1
    assert [line.at_s for line in wecom.journal] == sorted(line.at_s for line in wecom.journal)


def test_wrong_secret_is_refused(wecom: FakeWeCom, open_wecom_bot: OpenBot) -> None:
    """A subscription with another secret is refused, and Tencent's client gives up after its tries."""
    open_wecom_bot(secret="wrong", subscribed=False).wait("error", 4)
    assert len(wecom.violations("credential")) == 3
    assert wecom.long_link.live is None


def test_rotated_secret_ends_the_link(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """After the secret is rotated the link closes, and the old secret opens none."""
    wecom.do("rotate_secret", secret="new secret")
    assert "40001" in wecom_bot.wait("error")["message"]
    assert wecom.urls()["FENNEL_WECOM__SECRET"] == "new secret"
    assert wecom.long_link.live is None


def test_subscribing_too_often_is_refused(wecom_node: NodePeer) -> None:
    """The subscription's rate protection refuses what is above its number, until a minute has passed."""
    with FakeWeCom(points=OpenPoints(subscribes_per_min=1)) as wecom:
        first = SdkBot(wecom_node, "first", wecom)
        first.wait("authenticated")
        second = SdkBot(wecom_node, "second", wecom, reconnectInterval=1)
        assert "45009" in second.wait("error")["message"]
        wecom.do("skip", seconds=60)
        second.close()
        third = SdkBot(wecom_node, "third", wecom)
        third.wait("authenticated")
        third.close()
        first.close()
    wecom_node.events.clear()


def test_newest_subscription_has_the_bot(wecom: FakeWeCom, open_wecom_bot: OpenBot) -> None:
    """A second instance gets the link; the first is told, closed, and does not come back."""
    first, second = open_wecom_bot("first"), open_wecom_bot("second")
    assert first.wait("disconnected_event")["frame"]["body"]["msgtype"] == "event"
    assert second.hear("who is there?")["body"]["msgtype"] == "text"
    assert not first.is_connected
    assert first.seen("message") == []
    assert sum(line.kind == "connect" for line in wecom.journal) == 2


def test_kick_without_a_second_instance(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """The control plays a second instance's subscription to the bot that is there."""
    wecom.do("kick")
    wecom_bot.wait("disconnected_event")
    wecom.wait_for(lambda: not wecom.long_link.links)


@pytest.mark.parametrize(("act", "detail"), [("close", {"code": 1000}), ("close", {"code": 1012}), ("abort", {})])
def test_broken_link_comes_back(wecom: FakeWeCom, wecom_bot: SdkBot, act: str, detail: dict[str, Any]) -> None:
    """After a close or a cut the client comes back, and what was said meanwhile is lost for good."""
    wecom.do(act, **detail)
    lost = wecom.say("does anybody hear me?", chatid=GROUP)
    wecom_bot.wait("authenticated", 2)
    assert wecom_bot.hear("and now?")["body"]["text"]["content"] == "@茴香 and now?"
    assert lost["delivered"] is False
    assert [body["msgid"] for body in wecom.lost_messages()] == [lost["msgid"]]
    assert len(wecom_bot.seen("message")) == 1


def test_refused_handshake(wecom: FakeWeCom, open_wecom_bot: OpenBot) -> None:
    """A handshake can be refused with a status, and the client tries again."""
    wecom.fail("connect", "status", status=502)
    bot = open_wecom_bot()
    assert "502" in bot.seen("error")[0]["message"]


def test_heartbeat_without_answer(wecom: FakeWeCom, open_wecom_bot: OpenBot) -> None:
    """When pings stay unanswered, the client takes the link for dead after two and connects again."""
    wecom.fail("ping", "mute", times=2)
    bot = open_wecom_bot(heartbeatInterval=30)
    bot.wait("disconnected")
    bot.wait("authenticated", 2)


def test_unsubscribed_and_malformed_frames(wecom: FakeWeCom) -> None:
    """Before its subscription a connection may do nothing, and what is no frame is noticed."""

    async def talk() -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.ws_connect(wecom.urls()["FENNEL_WECOM__WS_URL"]) as link:
            await link.send_str("{broken")
            await link.send_json({"cmd": "ping", "headers": {"req_id": "ping_1"}})
            answer: dict[str, Any] = await link.receive_json()
            return answer

    answer = asyncio.run(talk())
    assert (answer["headers"], answer["errcode"]) == ({"req_id": "ping_1"}, 40001)
    assert "cmd" not in answer
    assert [violation.rule for violation in wecom.violations()] == ["shape", "not_subscribed"]


# --- what people send


def test_group_text(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """A group's text names the bot, the group and the person; what does not name the bot stays in the group."""
    body = wecom_bot.hear("怎么部署？", user="li.si")["body"]
    assert body["text"] == {"content": "@茴香 怎么部署？"}
    assert (body["chattype"], body["chatid"], body["from"]) == ("group", GROUP, {"userid": "li.si"})
    assert body["aibotid"] == wecom.account.bot_id
    assert wecom.say("just us", chatid=GROUP, mention=False)["delivered"] is False
    assert [shown.content for shown in wecom.visible_messages(GROUP)] == ["@茴香 怎么部署？", "just us"]
    assert wecom.lost_messages() == []


def test_single_text_and_quote(wecom_bot: SdkBot) -> None:
    """A single chat's text has no chatid and no mention; a quote comes with what it quotes."""
    body = wecom_bot.hear("and this?", chatid="", quote="the older text")["body"]
    assert "chatid" not in body
    assert body["text"] == {"content": "and this?"}
    assert body["quote"] == {"msgtype": "text", "text": {"content": "the older text"}}


def test_mixed_and_voice(wecom_bot: SdkBot) -> None:
    """Mixed text and images come as items, a voice as its text."""
    mixed = wecom_bot.hear("what is this?", msgtype="mixed")["body"]["mixed"]["msg_item"]
    assert [item["msgtype"] for item in mixed] == ["text", "image"]
    assert mixed[0]["text"]["content"] == "@茴香 what is this?"
    assert wecom_bot.hear("spoken", chatid="", msgtype="voice")["body"]["voice"] == {"content": "spoken"}


def test_image_is_encrypted_and_expires(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """An image's link serves it encrypted with the key beside it, for five minutes, and only in single chats."""
    image = wecom_bot.hear("", chatid="", msgtype="image")["body"]["image"]
    assert base64.b64decode(wecom_bot.download(image["url"], image["aeskey"])) == TINY_PNG
    wecom.do("skip", seconds=301)
    with pytest.raises(PeerError, match="404"):
        wecom_bot.download(image["url"], image["aeskey"])
    with pytest.raises(ValueError, match="does not reach the bot"):
        wecom.say("", chatid=GROUP, msgtype="image")


def test_duplicate_has_another_req_id(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """A message can come twice, with the same msgid and another req_id."""
    wecom.fail("aibot_msg_callback", "duplicate")
    first = wecom_bot.hear()
    second = wecom_bot.wait("message", 2)["frame"]
    assert first["body"] == second["body"]
    assert first["headers"] != second["headers"]


def test_message_into_a_dead_link(wecom: FakeWeCom, wecom_bot: SdkBot) -> None:
    """A message can be lost although the link looks alive."""
    wecom.fail("aibot_msg_callback", "lose")
    assert wecom.say("hello?", chatid=GROUP)["delivered"] is False
    assert wecom_bot.hear("again")["body"]["text"]["content"] == "@茴香 again"
    assert len(wecom.lost_messages()) == 1


# --- alone, and other clients


def test_alone_with_control_over_http(open_wecom_bot: OpenBot, wecom_node: NodePeer) -> None:
    """Run alone, the fake prints the settings, and another process injects, breaks and looks over HTTP."""
    command = [sys.executable, "-m", "tests.fakes.wecom", "--port", "0", "--time-scale", "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        settings = dict(process.stdout.readline().strip().split("=", 1) for _ in range(6))
        assert set(settings) == set(FakeWeCom().urls())
        try:
            wecom_node.call("open", "alone", settings, {})
            wecom_node.wait_for_event("authenticated")
            asyncio.run(_control(settings["FENNEL_WEIXIN__BASE_URL"], wecom_node))
            wecom_node.call("close", "alone")
        finally:
            process.terminate()


async def _control(url: str, wecom_node: NodePeer) -> None:
    async with aiohttp.ClientSession(f"{url}/_control/") as session:

        async def post(path: str, body: dict[str, Any]) -> Any:
            async with session.post(path, json=body) as response:
                return await response.json()

        async def get(path: str) -> Any:
            async with session.get(path) as response:
                return await response.json()

        told = await post("inject", {"text": "hello", "chatid": GROUP})
        frame = wecom_node.wait_for_event("message")["frame"]
        assert frame["body"]["msgid"] == told["msgid"]
        await post("fault", {"kind": "aibot_respond_msg", "name": "errcode", "detail": {"errcode": 7}})
        with pytest.raises(PeerError, match='"errcode":7'):
            wecom_node.call("use", "alone", "replyStream", frame, "s", "answer", True)
        wecom_node.call("use", "alone", "replyStream", frame, "s", "answer", True)
        state = await get("state")
        assert state["subscribed"] is True
        assert [shown["content"] for shown in state["conversations"][GROUP]] == ["@茴香 hello", "answer"]
        assert "aibot_respond_msg" in [line["kind"] for line in await get("journal")]


@pytest.mark.filterwarnings("ignore:ConnectionClosed.code is deprecated:DeprecationWarning")  # the client's own
async def test_python_client(wecom: FakeWeCom) -> None:
    """A Python client of the package index subscribes, hears a question, answers it, and comes back after a close."""
    sdk = importlib.import_module("wecom_aibot_sdk")  # it has no types
    settings = wecom.urls()
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
        await asyncio.to_thread(wecom.say, "hello", chatid=GROUP)
        frame = await asyncio.wait_for(frames.get(), 10)
        assert (await client.reply_stream(frame, "s", "answer", True)).errcode == 0
        await asyncio.to_thread(wecom.do, "close")
        await asyncio.wait_for(subscribed.get(), 10)
    finally:
        await client.disconnect()
    assert [shown.content for shown in wecom.bot_messages(GROUP)] == ["answer"]
    assert json.dumps(wecom.state(), default=str)
