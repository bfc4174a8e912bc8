"""The platform's side of the callback encryption, and of the encryption of media.

The rules are those of the vendor's page 101033: SHA-1 over the sorted token, timestamp, nonce and ciphertext;
AES-256-CBC with the first 16 key bytes as IV; PKCS#7 padding to 32 bytes; the plaintext is 16 random bytes, the
message's length in 4 bytes (big endian), the message, and the receiver's id, which is empty for a company's own bot.
This is written apart from the client's own code, so that a mistake in one is not hidden by the same one in the other.
"""

import base64
import hashlib
import secrets
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK_BYTES = 32


class CipherTextError(ValueError):
    """A ciphertext that this key does not open, or whose inside is malformed."""


def new_aes_key() -> str:
    """An EncodingAESKey: 43 characters of base64, without the ``=`` at the end."""
    return base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")


def key_bytes(encoding_aes_key: str) -> bytes:
    """The 32 bytes behind an EncodingAESKey. Raises ValueError when it is no such key."""
    key = base64.b64decode(encoding_aes_key.rstrip("=") + "=", validate=True)
    if len(key) != 32:
        raise ValueError(f"an EncodingAESKey stands for 32 bytes, not {len(key)}")
    return key


def sign(token: str, timestamp: str, nonce: str, encrypted: str) -> str:
    """The ``msg_signature`` of a request or an answer, as lower-case hex."""
    return hashlib.sha1("".join(sorted((token, timestamp, nonce, encrypted))).encode()).hexdigest()  # noqa: S324


def encrypt(encoding_aes_key: str, message: str, receive_id: str = "", random16: bytes | None = None) -> str:
    """Base64 of the encrypted message; `random16` is for repeating a known ciphertext."""
    body = message.encode()
    head = (random16 or secrets.token_bytes(16)) + struct.pack("!I", len(body))
    return base64.b64encode(_aes_encrypt(key_bytes(encoding_aes_key), head + body + receive_id.encode())).decode()


def decrypt(encoding_aes_key: str, encrypted: str) -> tuple[str, str]:
    """The message and the receiver's id. Raises CipherTextError for anything that `encrypt` would not have made."""
    try:
        plain = _aes_decrypt(key_bytes(encoding_aes_key), base64.b64decode(encrypted, validate=True))
        (length,) = struct.unpack("!I", plain[16:20])
        if 20 + length > len(plain):
            raise CipherTextError(f"the message claims {length} bytes and {len(plain) - 20} are there")
        return plain[20 : 20 + length].decode(), plain[20 + length :].decode()
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise CipherTextError(str(error)) from error


def encrypt_media(key: bytes, content: bytes) -> bytes:
    """What a download link serves: AES-256-CBC, IV = the key's first half, padded to 32 bytes."""
    return _aes_encrypt(key, content)


def _aes_encrypt(key: bytes, plain: bytes) -> bytes:
    pad_bytes = BLOCK_BYTES - len(plain) % BLOCK_BYTES
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return encryptor.update(plain + bytes([pad_bytes]) * pad_bytes) + encryptor.finalize()


def _aes_decrypt(key: bytes, encrypted: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
    padded = decryptor.update(encrypted) + decryptor.finalize()
    pad_bytes = padded[-1] if padded else 0
    if not 1 <= pad_bytes <= BLOCK_BYTES or padded[-pad_bytes:] != bytes([pad_bytes]) * pad_bytes:
        raise CipherTextError("the padding is not PKCS#7 to 32 bytes")
    return padded[:-pad_bytes]
