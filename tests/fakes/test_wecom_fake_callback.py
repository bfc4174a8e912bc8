"""The fake WeCom's callback mode and its encryption, proven with Tencent's own WecomCrypto."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.node_peer import NodePeer
from tests.fakes.wecom import FakeWeCom, OpenPoints, crypto
from tests.fakes.wecom.world import TINY_PNG
from tests.fakes.wecom_peers import GROUP, USER

VECTORS = Path(__file__).parent.parent / "data" / "wecom_crypto_vectors.json"


@pytest.fixture
def fake() -> Iterator[FakeWeCom]:
    with FakeWeCom(time_scale=0.02, points=OpenPoints(verify_wait_s=10, callback_wait_s=10)) as server:
        yield server


@pytest.fixture
def bot(node_packages: Path, fake: FakeWeCom) -> Iterator[NodePeer]:
    """A bot made of WecomCrypto, whose address the fake does not know yet."""
    with NodePeer("wecom_callback_bot.cjs", env=fake.urls()) as peer:
        peer.wait_for_event("listening")
        yield peer


@pytest.fixture
def saved(fake: FakeWeCom, bot: NodePeer) -> NodePeer:
    """The same bot, with its address verified."""
    assert fake.do("use_callback", url=address(bot))["verified"]
    return bot


def address(bot: NodePeer) -> str:
    return str(bot.events_named("listening")[0]["url"])


def stream(text: str, finish: bool = False, stream_id: str = "s") -> dict[str, Any]:
    return {"msgtype": "stream", "stream": {"id": stream_id, "finish": finish, "content": text}}


def use_response_url(url: str, body: dict[str, Any]) -> dict[str, Any]:
    async def post() -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    return asyncio.run(post())


def markdown(text: str) -> dict[str, Any]:
    return {"msgtype": "markdown", "markdown": {"content": text}}


# --- encryption


def test_vectors_are_those_of_wecom_crypto(node_packages: Path) -> None:
    """The recorded vectors are what Tencent's WecomCrypto makes today."""
    made = subprocess.run(["node", "wecom_vectors.cjs"], cwd=node_packages, check=True, capture_output=True).stdout
    assert json.loads(made) == json.loads(VECTORS.read_text())


def test_fake_encrypts_like_wecom_crypto() -> None:
    """The fake's own encryption and signature give the vectors, byte for byte, and open them again."""
    data = json.loads(VECTORS.read_text())
    for vector in data["vectors"]:
        random16 = bytes.fromhex(data["random16_hex"])
        encrypted = crypto.encrypt(data["aes_key"], vector["message"], vector["receive_id"], random16)
        assert encrypted == vector["encrypt"]
        assert crypto.decrypt(data["aes_key"], encrypted) == (vector["message"], vector["receive_id"])
        signature = crypto.sign(data["token"], vector["timestamp"], vector["nonce"], encrypted)
        assert signature == vector["msg_signature"]


def test_foreign_ciphertext_is_refused() -> None:
    """What another key made, half a block, or no base64 is refused and never gives a message."""
    key = crypto.new_aes_key()
    for encrypted in (crypto.encrypt(crypto.new_aes_key(), "hello"), "AAAA", "not base64!", ""):
        with pytest.raises(crypto.CipherTextError):
            crypto.decrypt(key, encrypted)


# --- the address


def test_address_is_verified(fake: FakeWeCom, bot: NodePeer) -> None:
    """Saving an address asks it once, signed and encrypted, and takes the plain echo for a yes."""
    told = fake.do("use_callback", url=address(bot))
    assert (told["verified"], told["status"]) == (True, 200)
    assert fake.state()["callback_url"] == address(bot)


def test_quoted_echo_is_no_verification(fake: FakeWeCom, bot: NodePeer) -> None:
    """An echo with quotes around it is refused, and the address is not kept."""
    bot.call("quoteEcho")
    assert fake.do("use_callback", url=address(bot))["verified"] is False
    assert fake.state()["callback_url"] == ""


def test_forged_verification(fake: FakeWeCom, bot: NodePeer) -> None:
    """A verification with a wrong signature can be sent, which a bot has to refuse."""
    fake.fail("verify", "forged")
    assert fake.do("use_callback", url=address(bot))["status"] == 403


def test_silent_address(fake: FakeWeCom) -> None:
    """An address that nobody answers at is not verified."""
    told = fake.do("use_callback", url="http://127.0.0.1:1/")
    assert (told["verified"], told["status"]) == (False, 0)


# --- messages and polls


def test_stream_is_polled_until_it_is_finished(fake: FakeWeCom, saved: NodePeer) -> None:
    """A message is answered by a stream, whose text the platform asks for again and again until the finish."""
    saved.call("answer", "text", stream("正在"))
    saved.call("answer", "stream", stream("正在想"))
    told = fake.say("怎么部署？", chatid=GROUP)
    assert told["statuses"] == [200]
    fake.wait_for(lambda: fake.bot_messages(GROUP)[0].content == "正在想")
    saved.call("answer", "stream", stream("答案", finish=True))
    fake.wait_for(lambda: not fake.unfinished_streams())
    polls = sum(line.kind == "poll" for line in fake.journal)
    assert polls >= 2
    (shown,) = fake.replies_to(told["msgid"])
    assert (shown.content, shown.via) == ("答案", "callback")
    message = saved.wait_for_event("callback")["message"]
    assert message["text"]["content"] == "@茴香 怎么部署？"
    poll = saved.events_named("callback")[-1]["message"]
    assert (poll["msgtype"], poll["stream"], poll["chatid"]) == ("stream", {"id": "s"}, GROUP)
    fake.do("skip", seconds=400)
    assert sum(line.kind == "poll" for line in fake.journal) == polls
    assert fake.violations() == []


def test_polls_end_after_six_minutes(fake: FakeWeCom, saved: NodePeer) -> None:
    """Six minutes after the person's message the platform stops asking, and the response URL takes the rest, once."""
    saved.call("answer", "text", stream("begun"))
    saved.call("answer", "stream", stream("still at it"))
    fake.say("a long one", chatid=GROUP)
    fake.wait_for(lambda: fake.bot_messages(GROUP)[0].content == "still at it")
    fake.do("skip", seconds=360)
    fake.wait_for(lambda: any(line.kind == "poll_ended" for line in fake.journal))
    url = saved.wait_for_event("callback")["message"]["response_url"]
    assert use_response_url(url, markdown("the rest"))["errcode"] == 0
    assert use_response_url(url, markdown("the rest"))["errcode"] != 0
    assert [shown.content for shown in fake.bot_messages(GROUP)] == ["still at it", "the rest"]
    assert [violation.rule for violation in fake.violations()] == ["response_code"]


def test_polls_can_stop_early(fake: FakeWeCom, saved: NodePeer) -> None:
    """The platform can stop asking before the stream is finished."""
    fake.fail("poll", "stop")
    saved.call("answer", "text", stream("begun"))
    fake.say("question", chatid=GROUP)
    fake.wait_for(lambda: any(line.kind == "poll_ended" for line in fake.journal))
    assert len(fake.unfinished_streams()) == 1


def test_empty_answer_and_failing_polls(fake: FakeWeCom, saved: NodePeer) -> None:
    """An empty 200 shows nothing; a poll that fails or answers for another stream changes nothing."""
    assert fake.say("no answer", chatid=GROUP)["delivered"] is True
    assert fake.bot_messages(GROUP) == []
    saved.call("answer", "text", stream("begun"))
    saved.call("answer", "stream", {"status": 500})
    fake.say("question", chatid=GROUP)
    fake.wait_for(lambda: sum(line.kind == "poll_answer" for line in fake.journal) >= 2)
    saved.call("answer", "stream", stream("other", stream_id="other"))
    fake.wait_for(lambda: fake.violations("stream_id"))
    assert [shown.content for shown in fake.bot_messages(GROUP)] == ["begun"]
    saved.call("answer", "stream", stream("done", finish=True))
    fake.wait_for(lambda: fake.bot_messages(GROUP)[0].finished)


def test_callback_comes_again(fake: FakeWeCom, saved: NodePeer) -> None:
    """A callback that is answered by an error or not in time comes again, with the same msgid, three times in all."""
    saved.call("answer", "text", {"status": 500})
    told = fake.say("question", chatid=GROUP)
    assert told["delivered"] is False
    fake.points.callback_wait_s = 0.05
    saved.call("answer", "text", {"hang": True})
    slow = fake.say("question", chatid=GROUP)
    saved.wait_for_event("callback", 6)
    heard = [event["message"]["msgid"] for event in saved.events_named("callback")]
    assert heard == [told["msgid"]] * 3 + [slow["msgid"]] * 3
    assert [body["msgid"] for body in fake.lost_messages()] == [told["msgid"], slow["msgid"]]


def test_duplicate_callback(fake: FakeWeCom, saved: NodePeer) -> None:
    """A callback can come twice although it was taken; the same stream for both is one bubble."""
    fake.fail("callback", "duplicate")
    saved.call("answer", "text", stream("answer", finish=True))
    assert fake.say("question", chatid=GROUP)["statuses"] == [200, 200]
    assert [shown.content for shown in fake.bot_messages(GROUP)] == ["answer"]
    saved.wait_for_event("callback", 2)
    first, second = [event["message"] for event in saved.events_named("callback")]
    assert first == second


@pytest.mark.parametrize("forgery", ["forged", "other_key", "other_token", "plain", "garbage", "unsigned"])
def test_forgeries_are_refused_by_a_careful_bot(fake: FakeWeCom, saved: NodePeer, forgery: str) -> None:
    """Each forged callback is something that Tencent's WecomCrypto does not take for a message."""
    fake.fail("callback", forgery)
    assert fake.say("let me in", chatid=GROUP)["statuses"] == [403]
    assert saved.events_named("callback") == []
    saved.wait_for_event("refused")


def test_receiver_of_another(fake: FakeWeCom, saved: NodePeer) -> None:
    """A callback for somebody else's receiver id is rightly signed, so that a bot has to look inside."""
    fake.fail("callback", "other_receiver")
    assert fake.say("let me in", chatid=GROUP)["statuses"] == [200]  # this bot gave WecomCrypto no id to check


def test_wrong_nonce_in_the_answer(fake: FakeWeCom, saved: NodePeer) -> None:
    """An answer with another nonce than the request's is noticed, and nobody sees it."""
    saved.call("answer", "text", stream("answer", finish=True) | {"wrongNonce": "other"})
    fake.say("question", chatid=GROUP)
    (violation,) = fake.violations()
    assert (violation.rule, violation.detail) == ("passive_answer", "the nonce is not the request's")
    assert fake.bot_messages(GROUP) == []


def test_too_long_stream_is_not_shown(fake: FakeWeCom, saved: NodePeer) -> None:
    """The byte limit holds for passive answers too."""
    saved.call("answer", "text", stream("香" * 6827, finish=True))
    fake.say("question", chatid=GROUP)
    assert [violation.rule for violation in fake.violations()] == ["content_bytes"]


def test_welcome_and_feedback(fake: FakeWeCom, saved: NodePeer) -> None:
    """An opened chat is welcomed in the answer to its event, and feedback needs no answer."""
    saved.call("answer", "enter_chat", {"msgtype": "text", "text": {"content": "你好"}})
    fake.do("event", eventtype="enter_chat")
    assert [(shown.via, shown.content) for shown in fake.bot_messages(USER)] == [("welcome", "你好")]
    detail = {"id": "q1", "type": 1}
    assert fake.do("event", eventtype="feedback_event", detail=detail)["delivered"] is True
    saved.wait_until(
        lambda: any(
            one["message"].get("event", {}).get("feedback_event") == detail for one in saved.events_named("callback")
        )
    )


def test_image_is_encrypted_with_the_account_key(fake: FakeWeCom, saved: NodePeer) -> None:
    """In callback mode an image brings no key of its own: the bot's EncodingAESKey opens it."""
    fake.say("", msgtype="image")
    image = saved.wait_for_event("callback")["message"]["image"]
    assert list(image) == ["url"]
    _, content = fake.world.media[image["url"].rsplit("/", 1)[1]]
    key = crypto.key_bytes(fake.account.aes_key)
    assert content == crypto.encrypt_media(key, TINY_PNG)


# --- response_url


@pytest.fixture
def response_url(fake: FakeWeCom, saved: NodePeer) -> str:
    fake.say("question", chatid=GROUP)
    return str(saved.wait_for_event("callback")["message"]["response_url"])


def test_response_url_expires(fake: FakeWeCom, response_url: str) -> None:
    """A response URL ends after its life; nothing but markdown and cards goes there."""
    assert use_response_url(response_url, {"msgtype": "text", "text": {"content": "x"}})["errcode"] == 40058
    fake.do("skip", seconds=3601)
    assert use_response_url(response_url, markdown("late"))["errcode"] == 40058
    assert fake.bot_messages(GROUP) == []


def test_response_url_fails_before_or_after_it_took_effect(fake: FakeWeCom, response_url: str) -> None:
    """A call can fail without effect, or break off although the message is there."""
    fake.fail("response_url", "errcode", errcode=-1)
    assert use_response_url(response_url, markdown("one"))["errcode"] == -1
    fake.fail("response_url", "status", status=502)
    with pytest.raises(aiohttp.ContentTypeError):
        use_response_url(response_url, markdown("one"))
    assert fake.bot_messages(GROUP) == []
    fake.fail("response_url", "commit_then_abort")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        use_response_url(response_url, markdown("one"))
    assert [shown.content for shown in fake.bot_messages(GROUP)] == ["one"]
