"""WeCom's encryption of callbacks: who cannot sign is turned away before anything of theirs is read.

Rules of the vendor's page 101033: SHA-1 over the sorted token, timestamp, nonce and ciphertext; AES-256-CBC with the
first 16 key bytes as IV; padding to 32 bytes; inside, 16 random bytes, the message's length (4 bytes, big endian), the
message, and the receiver's id, which is empty for a company's own AI bot.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from bot.platform import PlatformError

PADDING_BITS = 32 * 8
HEAD_BYTES = 20


class ForgedError(PlatformError):
    """A call that is not WeCom's, or not for this bot."""


class CallbackCipher:
    """Signs, opens and seals with the bot's Token and EncodingAESKey. Raises PlatformError for keys that are none."""

    def __init__(self, token: str, encoding_aes_key: str) -> None:
        if not token or not encoding_aes_key:
            raise PlatformError(
                "wecom.mode is callback, which needs FENNEL_WECOM__TOKEN and FENNEL_WECOM__AES_KEY: "
                "without them anybody could write in WeCom's name"
            )
        try:
            key = base64.b64decode(encoding_aes_key + "=", validate=True)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise PlatformError("FENNEL_WECOM__AES_KEY is no EncodingAESKey: it has 43 letters and digits")
        self._token = token
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16]))

    def sign(self, timestamp: str, nonce: str, encrypted: str) -> str:
        """The signature, as lower-case hex."""
        signed = "".join(sorted((self._token, timestamp, nonce, encrypted)))
        return hashlib.sha1(signed.encode("utf-8", "surrogatepass")).hexdigest()  # noqa: S324 -- WeCom's choice

    def open(self, signature: str, timestamp: str, nonce: str, encrypted: str) -> str:
        """The message, after its signature was found right in constant time. Raises ForgedError."""
        expected = self.sign(timestamp, nonce, encrypted)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass")):
            raise ForgedError("the signature is wrong")
        try:
            decryptor, unpadder = self._cipher.decryptor(), PKCS7(PADDING_BITS).unpadder()
            padded = decryptor.update(base64.b64decode(encrypted, validate=True)) + decryptor.finalize()
            plain = unpadder.update(padded) + unpadder.finalize()
            size_bytes = int.from_bytes(plain[16:HEAD_BYTES], "big")
            message, receiver = plain[HEAD_BYTES : HEAD_BYTES + size_bytes], plain[HEAD_BYTES + size_bytes :]
            if len(plain) < HEAD_BYTES + size_bytes or receiver:
                raise ForgedError("the message is cut, or for another receiver")
            return message.decode()
        except ValueError as error:
            raise ForgedError("the message cannot be decrypted") from error

    def seal(self, message: str, random16: bytes | None = None) -> str:
        """The encrypted message, in base64; `random16` repeats a known ciphertext."""
        body, padder, encryptor = message.encode(), PKCS7(PADDING_BITS).padder(), self._cipher.encryptor()
        plain = (random16 or secrets.token_bytes(16)) + len(body).to_bytes(4, "big") + body
        padded = padder.update(plain) + padder.finalize()
        return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()
