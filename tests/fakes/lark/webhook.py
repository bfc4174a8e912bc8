"""Events by HTTP: encrypted and signed as the platform does it, or forged in ways that a receiver has to refuse."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientConnectionError, ClientSession, ClientTimeout
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.fakes.lark.delivery import Answer
from tests.fakes.server import FakeServer, Fault

VARIANTS = (
    "valid",
    "bad_signature",
    "no_signature",
    "wrong_token",
    "stale",  # signed, but with a time of an hour ago
    "repeated",  # the bytes and headers of the last valid request again
    "unencrypted",  # plain although a key is set
    "wrong_key",
    "not_json",
    "oversized",
)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What the receiver said."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class _Request:
    headers: dict[str, str]
    body: bytes


class Webhook:
    """Pushes events to `url`. Faults of the kind ``webhook``: each name in VARIANTS, ``duplicate``, and
    ``out_of_order`` (after the next event). ``webhook.again``: the same but the last for pushes after the first.
    """

    fault_kind = "webhook"

    def __init__(self, server: FakeServer, encrypt_key: str, timeout_s: float) -> None:
        self.server = server
        self.encrypt_key = encrypt_key
        self.url: str | None = None
        self._timeout = ClientTimeout(total=timeout_s)
        self._last: _Request | None = None

    async def push(self, event: dict[str, Any], fault: Fault | None) -> Answer:
        """Post an event; HTTP 200 is the acknowledgement."""
        name, detail = (fault.name, fault.detail) if fault else ("valid", {})
        copies = detail.get("copies", 2) if name == "duplicate" else 1
        answers = [await self.post(event, "valid" if name == "duplicate" else name, **detail) for _ in range(copies)]
        try:
            data = json.loads(answers[0].body)
        except ValueError:
            data = None
        return Answer(answers[0].status, data)

    async def post(self, body: dict[str, Any], variant: str, **detail: Any) -> HttpAnswer:
        """Post `body` as `variant` says and return the answer. Raises ConnectionError when nobody listens."""
        if self.url is None:
            raise ConnectionError("no webhook address is set")
        request = self._request(body, variant, detail)
        self.server.note("out", "webhook", {"variant": variant, "event": body})
        # The environment's proxies are not asked, as a receiver under test is on this machine.
        async with ClientSession(timeout=self._timeout, trust_env=False) as session:
            try:
                response = await session.post(self.url, data=io.BytesIO(request.body), headers=request.headers)
            except ClientConnectionError as error:
                raise ConnectionError(str(error)) from error
            answer = HttpAnswer(response.status, await response.text())
        self.server.note("in", "webhook", {"status": answer.status, "body": answer.body})
        return answer

    def _request(self, body: dict[str, Any], variant: str, detail: dict[str, Any]) -> _Request:
        if variant not in VARIANTS:
            raise ValueError(f"no such variant: {variant}")
        if variant == "repeated":
            if self._last is None:
                raise ValueError("nothing valid was posted before")
            return self._last
        timestamp_s = int(time.time()) - (detail.get("age_s", 3600) if variant == "stale" else 0)
        request = self._signed(self._raw(body, variant, detail), timestamp_s, variant)
        if variant == "valid":
            self._last = request
        return request

    def _raw(self, body: dict[str, Any], variant: str, detail: dict[str, Any]) -> bytes:
        if variant == "not_json":
            return b"{" + secrets.token_bytes(32)
        if variant == "wrong_token":
            body = (
                {**body, "header": {**body["header"], "token": "forged"}}
                if "header" in body
                else {**body, "token": "x"}
            )
        if variant == "oversized":
            body = {**body, "padding": "x" * detail.get("size_bytes", 4 * 2**20)}
        # Compact: the Node SDK checks the signature over JSON.stringify of what it parsed, not over the raw bytes.
        plain = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        if variant == "unencrypted" or not self.encrypt_key:
            return plain
        key = "another key" if variant == "wrong_key" else self.encrypt_key
        return json.dumps({"encrypt": encrypt(plain, key)}, separators=(",", ":")).encode()

    def _signed(self, raw: bytes, timestamp_s: int, variant: str) -> _Request:
        headers = {"Content-Type": "application/json; charset=utf-8", "X-Request-Id": secrets.token_hex(16)}
        if self.encrypt_key and variant != "no_signature":
            nonce = secrets.token_hex(8)
            proof = signature(str(timestamp_s), nonce, self.encrypt_key, raw)
            headers["X-Lark-Request-Timestamp"] = str(timestamp_s)
            headers["X-Lark-Request-Nonce"] = nonce
            headers["X-Lark-Signature"] = "0" * 64 if variant == "bad_signature" else proof
        return _Request(headers, raw)


def signature(timestamp: str, nonce: str, encrypt_key: str, raw: bytes) -> str:
    """The header ``X-Lark-Signature``: SHA-256 over time, nonce, key and the raw body, in hex."""
    return hashlib.sha256((timestamp + nonce + encrypt_key).encode() + raw).hexdigest()


def encrypt(plain: bytes, encrypt_key: str) -> str:
    """AES-256-CBC with PKCS7, the key being the SHA-256 of `encrypt_key`; 16 bytes of IV in front, all in base64."""
    iv = secrets.token_bytes(16)
    padder = PKCS7(128).padder()
    padded = padder.update(plain) + padder.finalize()
    cipher = Cipher(algorithms.AES(hashlib.sha256(encrypt_key.encode()).digest()), modes.CBC(iv)).encryptor()
    return base64.b64encode(iv + cipher.update(padded) + cipher.finalize()).decode()
