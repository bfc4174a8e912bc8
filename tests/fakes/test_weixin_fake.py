"""The fake's iLink, for direct messages of personal WeChat, proven with the client of Tencent's own plug-in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.node_peer import NodePeer, PeerError
from tests.fakes.wecom import FakeWeCom

USER = "o9cq80zhang@im.wechat"


@pytest.fixture
def fake() -> Iterator[FakeWeCom]:
    with FakeWeCom(time_scale=0.01) as server:
        yield server


@pytest.fixture
def client(node_packages: Path, fake: FakeWeCom, tmp_path: Path) -> Iterator[NodePeer]:
    home = {"HOME": str(tmp_path), "FAKES_TMP": str(tmp_path), "OPENCLAW_STATE_DIR": str(tmp_path)}
    with NodePeer("weixin_ilink.mjs", env=fake.urls() | home) as peer:
        peer.wait_for_event("ready")
        yield peer


@pytest.fixture
def token(fake: FakeWeCom, client: NodePeer) -> str:
    client.call("startLogin")
    return str(fake.do("scan"))


def reply(told: dict[str, Any], text: str, client_id: str = "question-1") -> dict[str, Any]:
    return {
        "from_user_id": "",
        "to_user_id": USER,
        "client_id": client_id,
        "message_type": 2,
        "message_state": 2,
        "item_list": [{"type": 1, "text_item": {"text": text}}],
        "context_token": told["context_token"],
    }


def test_login_by_qr_code(fake: FakeWeCom, client: NodePeer) -> None:
    """A code is shown, scanned and confirmed, and brings a token that works."""
    assert client.call("startLogin")["qrcodeUrl"].startswith(fake.url)
    waiting = client.begin("waitForLogin", 20_000)
    fake.do("scan", status="scaned")
    fake.wait_for(lambda: any(line.kind == "get_qrcode_status" for line in fake.journal))
    fake.do("scan")
    login = client.finish(waiting)
    assert (login["connected"], login["baseUrl"]) == (True, fake.url)
    assert client.call("notifyStart", login["botToken"])["ret"] == 0
    assert client.call("getUpdates", login["botToken"], "", 10_000)["msgs"] == []


def test_qr_code_expires(fake: FakeWeCom, client: NodePeer) -> None:
    """A code that nobody scans expires, and the next one can be scanned."""
    client.call("startLogin")
    fake.do("skip", seconds=301)
    waiting = client.begin("waitForLogin", 20_000)
    fake.wait_for(lambda: sum(line.kind == "get_bot_qrcode" for line in fake.journal) == 2)
    fake.do("scan")
    assert client.finish(waiting)["connected"] is True
    statuses = [line.payload["status"] for line in fake.journal if line.kind == "get_qrcode_status"]
    assert statuses == ["expired", "confirmed"]


def test_messages_come_again_until_the_cursor_moves(fake: FakeWeCom, client: NodePeer, token: str) -> None:
    """A message is delivered again for the same cursor, and no more once the client came back with the next one."""
    fake.do("weixin", text="你好")
    first = client.call("getUpdates", token, "")
    again = client.call("getUpdates", token, "")
    assert [message["item_list"][0]["text_item"]["text"] for message in first["msgs"]] == ["你好"]
    assert first["msgs"] == again["msgs"]
    assert len(fake.ilink.unacknowledged()) == 1
    fake.do("weixin", text="still there?", msgtype="voice")
    second = client.call("getUpdates", token, first["get_updates_buf"])
    assert [message["item_list"][0]["voice_item"]["text"] for message in second["msgs"]] == ["still there?"]
    assert client.call("getUpdates", token, second["get_updates_buf"])["msgs"] == []
    assert fake.ilink.unacknowledged() == []


def test_long_poll_waits_for_a_message(fake: FakeWeCom, client: NodePeer, token: str) -> None:
    """A poll is held until a message comes, or for the (scaled) 35 s."""
    empty = client.call("getUpdates", token, "")
    assert empty["msgs"] == []
    calls = fake.journal
    asked_s = [line.at_s for line in calls if (line.direction, line.kind) == ("in", "getupdates")]
    told_s = [line.at_s for line in calls if (line.direction, line.kind) == ("out", "getupdates")]
    assert told_s[0] - asked_s[0] >= 0.35 * 0.99
    polling = client.begin("getUpdates", token, empty["get_updates_buf"], 30_000)
    fake.wait_for(lambda: sum(line.kind == "getupdates" and line.direction == "in" for line in fake.journal) == 2)
    fake.do("weixin", text="now")
    assert len(client.finish(polling)["msgs"]) == 1


def test_ids_are_uint64(fake: FakeWeCom, client: NodePeer, token: str) -> None:
    """Message ids are larger than a double or an int64 can hold, and come through a lossless parser whole."""
    told = fake.do("weixin", text="你好")
    (message,) = client.call("getUpdates", token, "")["msgs"]
    assert message["message_id"] == told["message_id"]
    assert int(message["message_id"]) > 2**63
    sent = client.call("sendMessage", token, reply(told, "answer"))
    assert int(sent["message_id"]) == int(told["message_id"]) + 1


def test_answer_is_shown(fake: FakeWeCom, client: NodePeer, token: str) -> None:
    """An answer appears in the person's chat; the typing sign is accepted."""
    told = fake.do("weixin", text="你好")
    ticket = client.call("getConfig", token, USER)["typing_ticket"]
    client.call("sendTyping", token, {"ilink_user_id": USER, "typing_ticket": ticket, "status": 1})
    client.call("sendMessage", token, reply(told, "answer"))
    assert [(shown.author, shown.content) for shown in fake.visible_messages(USER)] == [
        (USER, "你好"),
        ("bot", "answer"),
    ]


def test_stale_token(fake: FakeWeCom, client: NodePeer, token: str) -> None:
    """A stale token gets -14 from every call, also from a poll that is under way; a new login helps."""
    polling = client.begin("getUpdates", token, "", 30_000)
    fake.wait_for(lambda: any(line.kind == "getupdates" for line in fake.journal))
    fake.do("expire_token")
    assert client.finish(polling)["errcode"] == -14
    told = fake.do("weixin", text="你好")
    with pytest.raises(PeerError, match="ret=-14"):
        client.call("sendMessage", token, reply(told, "answer"))
    fresh = fake.do("scan")
    assert fresh != token
    assert len(client.call("getUpdates", fresh, "")["msgs"]) == 1


def test_context_token_is_needed_and_ends_after_a_day(fake: FakeWeCom, client: NodePeer, token: str) -> None:
    """A message needs a context token of its person that is at most 24 h old."""
    told = fake.do("weixin", text="你好")
    with pytest.raises(PeerError, match="ret=-2"):
        client.call("sendMessage", token, reply({"context_token": "made up"}, "answer"))
    fake.do("skip", seconds=24 * 3600 + 1)
    with pytest.raises(PeerError, match="ret=-2"):
        client.call("sendMessage", token, reply(told, "answer"))
    assert fake.bot_messages(USER) == []


def test_ten_unanswered_messages(fake: FakeWeCom, client: NodePeer, token: str) -> None:
    """After ten messages the person has to write before an eleventh is taken."""
    told = fake.do("weixin", text="你好")
    for at in range(10):
        client.call("sendMessage", token, reply(told, str(at), f"c{at}"))
    with pytest.raises(PeerError, match="ret=-2"):
        client.call("sendMessage", token, reply(told, "ten", "c10"))
    fake.do("weixin", text="go on")
    client.call("sendMessage", token, reply(told, "ten", "c10"))
    assert len(fake.bot_messages(USER)) == 11


@pytest.mark.parametrize(("dedups", "shown"), [(False, 2), (True, 1)])
def test_same_client_id_twice(fake: FakeWeCom, client: NodePeer, token: str, dedups: bool, shown: int) -> None:
    """Whether a second message with the same client id shows is switched, for nobody has proven either."""
    fake.points.ilink_dedups = dedups
    told = fake.do("weixin", text="你好")
    for _ in range(2):
        client.call("sendMessage", token, reply(told, "answer"))
    assert len(fake.bot_messages(USER)) == shown


def test_faults_of_calls(fake: FakeWeCom, client: NodePeer, token: str) -> None:
    """A call can fail before it took effect in several ways, or break off after it did."""
    told = fake.do("weixin", text="你好")
    for name, detail, error in (
        ("ret", {"ret": -2}, "ret=-2"),
        ("status", {"status": 502}, "502"),
        ("abort", {}, "fetch failed"),
        ("broken_json", {}, "JSON"),
    ):
        fake.fail("sendmessage", name, **detail)
        with pytest.raises(PeerError, match=error):
            client.call("sendMessage", token, reply(told, "answer"))
    assert fake.bot_messages(USER) == []
    fake.fail("sendmessage", "slow", delay_s=1)
    client.call("sendMessage", token, reply(told, "slow"))
    fake.fail("sendmessage", "commit_then_abort")
    with pytest.raises(PeerError, match="fetch failed"):
        client.call("sendMessage", token, reply(told, "committed"))
    assert [shown.content for shown in fake.bot_messages(USER)] == ["slow", "committed"]
    fake.fail("getupdates", "status", status=500)
    with pytest.raises(PeerError, match="500"):
        client.call("getUpdates", token, "")
    assert len(client.call("getUpdates", token, "")["msgs"]) == 1


def test_unreadable_cursor(fake: FakeWeCom, client: NodePeer, token: str) -> None:
    """A cursor that the server never gave is an error, and is noticed."""
    assert client.call("getUpdates", token, "bm8=")["ret"] == -1
    assert [violation.rule for violation in fake.violations()] == ["ilink_cursor"]
