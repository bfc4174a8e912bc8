"""The REST client, against the fake."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.platform import SendAmbiguousError, SendLaterError
from bot.platforms.lark.api import LarkApi
from bot.platforms.lark.errors import LarkRefusedError
from tests.fakes.lark import FakeLark

INFO = "/open-apis/bot/v3/info"


@pytest.fixture
async def api(fake: FakeLark) -> AsyncIterator[LarkApi]:
    client = LarkApi(fake.url, fake.app_id, fake.app_secret, timeout_s=0.4)
    yield client
    await client.close()


def tokens_asked(fake: FakeLark) -> int:
    return sum(line.kind == "token" and line.direction == "in" for line in fake.journal)


async def test_one_token_serves_many_calls(fake: FakeLark, api: LarkApi) -> None:
    """The access token is asked for once."""
    for _ in range(3):
        assert (await api.call("GET", INFO))["bot"]["open_id"] == fake.bot_open_id
    assert tokens_asked(fake) == 1


async def test_a_token_that_became_invalid_is_replaced(fake: FakeLark, api: LarkApi) -> None:
    """A call that is refused for its token is done with a new one."""
    await api.call("GET", INFO)
    fake.void_tokens()
    await api.call("GET", INFO)
    assert tokens_asked(fake) == 2


async def test_a_token_is_renewed_before_it_ends(fake: FakeLark, api: LarkApi) -> None:
    """A token that is about to end is not used any more."""
    fake.change_rules(token_ttl_s=0)
    await api.call("POST", "/open-apis/auth/v3/tenant_access_token/internal", api._app)
    fake.change_rules(token_ttl_s=7200)
    fake.void_tokens()
    api._token_end_s = 0
    await api.call("GET", INFO)
    assert tokens_asked(fake) == 3


async def test_a_wrong_secret_is_told_in_words(fake: FakeLark) -> None:
    """A wrong secret is a refusal that names the setting."""
    client = LarkApi(fake.url, fake.app_id, "wrong")
    with pytest.raises(LarkRefusedError, match="FENNEL_LARK__APP_SECRET"):
        await client.call("GET", INFO)
    await client.close()


@pytest.mark.parametrize("fault", ["html", "broken_json", "drop", "hang"])
async def test_an_unclear_end_is_ambiguous(fake: FakeLark, api: LarkApi, fault: str) -> None:
    """A gateway's page, half an answer, a cut connection and no answer leave open what happened."""
    path = "/open-apis/cardkit/v1/cards"
    await api.call("GET", INFO)
    fake.fail("card.create", fault)
    with pytest.raises(SendAmbiguousError):
        await api.call("POST", path, {"type": "card_json", "data": "{}"})
    fake.release_hung()


async def test_a_rate_that_is_reached_says_how_long_to_wait(fake: FakeLark, api: LarkApi) -> None:
    """HTTP 429 means later, after the seconds in the header."""
    fake.fail("bot.info", "rate_limited", reset_s=7)
    with pytest.raises(SendLaterError) as caught:
        await api.call("GET", INFO)
    assert caught.value.after_s == 7


async def test_a_failed_token_call_is_later(fake: FakeLark, api: LarkApi) -> None:
    """Where even the token cannot be had, nothing was sent."""
    fake.fail("token", "html")
    with pytest.raises(SendLaterError):
        await api.call("GET", INFO)


async def test_a_code_is_told_in_words(fake: FakeLark, api: LarkApi) -> None:
    """A known code is a sentence, an unknown one the platform's own words, and both name the code."""
    fake.fail("bot.info", "code", code=99991672)
    with pytest.raises(LarkRefusedError, match=r"permission.*99991672"):
        await api.call("GET", INFO)
    fake.fail("bot.info", "code", code=777, msg="strange")
    with pytest.raises(LarkRefusedError, match=r"strange \(code 777\)"):
        await api.call("GET", INFO)


async def test_nobody_there_is_later() -> None:
    """A refused connection has sent nothing."""
    with FakeLark() as gone:
        client = LarkApi(gone.url, gone.app_id, gone.app_secret)
    with pytest.raises(SendLaterError):
        await client.call("GET", INFO)
    await client.close()
