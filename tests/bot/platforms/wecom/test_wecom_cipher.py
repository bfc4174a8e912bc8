"""The encryption of WeCom's callbacks."""

from __future__ import annotations

import json

import pytest

from bot.platform import PlatformError
from bot.platforms.wecom import create
from bot.platforms.wecom.crypto import CallbackCipher, ForgedError
from config.environment import CHECKOUT
from tests.bot.conftest import MakeSettings
from tests.fakes.wecom import crypto

VECTORS = json.loads((CHECKOUT / "tests" / "data" / "wecom_crypto_vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_the_cipher_is_that_of_wecoms_own_client(vector: dict[str, str]) -> None:
    """Sealed, signed and opened byte for byte as WecomCrypto does it; what names a receiver is refused."""
    cipher = CallbackCipher(VECTORS["token"], VECTORS["aes_key"])
    signed = (vector["msg_signature"], vector["timestamp"], vector["nonce"], vector["encrypt"])
    assert cipher.sign(*signed[1:]) == vector["msg_signature"]
    if vector["receive_id"]:
        with pytest.raises(ForgedError):
            cipher.open(*signed)
        return
    assert cipher.seal(vector["message"], bytes.fromhex(VECTORS["random16_hex"])) == vector["encrypt"]
    assert cipher.open(*signed) == vector["message"]


@pytest.mark.parametrize("length", range(0, 70, 3))
def test_what_is_sealed_is_opened(length: int) -> None:
    """A message of any length around the block's survives."""
    cipher = CallbackCipher("t", crypto.new_aes_key())
    sealed = cipher.seal("字" * length)
    assert cipher.open(cipher.sign("1", "n", sealed), "1", "n", sealed) == "字" * length


@pytest.mark.parametrize(
    ("token", "aes_key"),
    [("", "k"), ("t", ""), ("t", "tooshort"), ("t", "!" * 43), ("t", crypto.new_aes_key()[:-4])],
    ids=["no token", "no key", "short", "not base64", "cut"],
)
def test_without_proper_keys_it_does_not_start(token: str, aes_key: str, make_settings: MakeSettings) -> None:
    """No token, no key, or no real key: a sentence that names the settings, and no server."""
    with pytest.raises(PlatformError, match="FENNEL_WECOM__AES_KEY"):
        create(make_settings(wecom={"mode": "callback", "token": token, "aes_key": aes_key}))
