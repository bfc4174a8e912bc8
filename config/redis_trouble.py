"""What is wrong between us and Redis, in sentences that an operator can act on."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import redis.asyncio.sentinel as aiosentinel
from redis import sentinel
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.redis_address import RedisAddress, shown_sentinels


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong between us and Redis, in words and without secrets. `may_pass`: waiting may cure it."""

    says: str
    cure: str
    may_pass: bool = True

    def __str__(self) -> str:
        return f"{self.says}: {self.cure}"


def trouble(error: RedisError, address: RedisAddress) -> Trouble:
    """The sentence for an error that a client of `redis_clients` raised."""
    shown = f"Redis at {address.shown}"
    if (found := _untrusted(error, shown)) is not None:
        return found
    # redis-py may wrap what the server said while a connection was made.
    refused = next((one for one in _causes(error) if isinstance(one, (NoPermissionError, AuthenticationError))), None)
    if isinstance(refused, NoPermissionError):
        who = address.user or "default"
        return Trouble(f"{shown} does not let the user {who} do that ({refused})", "look at its ACL LIST", False)
    if refused is not None:
        cure = "FENNEL_REDIS__PASSWORD, and FENNEL_REDIS__USER unless it is the default user"
        if not address.password:
            return Trouble(f"{shown} wants a password", f"set {cure}", False)
        return Trouble(f"{shown} refuses the password ({refused})", f"correct {cure}", False)
    if isinstance(error, (sentinel.MasterNotFoundError, aiosentinel.MasterNotFoundError)):
        return _not_found(error, address)
    where = "start that server, or correct FENNEL_REDIS__URL"
    if address.tls and isinstance(error, RedisTimeoutError):
        # A server without TLS waits for the end of the line that it takes our greeting for.
        where += ", which begins with redis:// where the server speaks no TLS"
    if address.sentinels:
        where = (
            "the sentinels name another server when they agree that it is gone; SENTINEL MASTERS shows what they see"
        )
    return Trouble(f"{shown} does not answer ({error})", where)


def _not_found(error: RedisError, address: RedisAddress) -> Trouble:
    watchers = shown_sentinels(address.sentinels)
    if "AuthenticationError" in str(error):
        cure = "set FENNEL_REDIS__SENTINEL_PASSWORD (and FENNEL_REDIS__SENTINEL_USER) to what they know"
        return Trouble(f"the sentinels {watchers} refuse the password", cure, False)
    if " : " in str(error):
        says = f"of the sentinels {watchers} not all answer, and those that do know no server for {address.service}"
        return Trouble(says, "start them, or correct FENNEL_REDIS__SENTINELS")
    cure = "correct FENNEL_REDIS__SENTINEL_SERVICE, or wait until they have agreed on a server"
    return Trouble(f"the sentinels {watchers} know no server for {address.service} that is up", cure)


def _untrusted(error: BaseException, shown: str) -> Trouble | None:
    """What is wrong with TLS, found in what the library's error was made of."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Trouble(
                f"{shown} shows a certificate that is not trusted ({cause.verify_message})",
                "name the authority that signed it in FENNEL_REDIS__CA_FILE, and the host as the certificate does",
                False,
            )
        if isinstance(cause, ssl.SSLError):
            reason = (cause.reason or str(cause)).replace("_", " ").lower()
            if "certificate required" in reason or "handshake failure" in reason:
                return Trouble(
                    f"{shown} wants a certificate of ours ({reason})",
                    "name it in FENNEL_REDIS__CERTIFICATE_FILE",
                    False,
                )
            if "eof occurred" in reason:
                # It is closing down, or our lack of a certificate came through as an end.
                cure = "look at its log; where it asks for a certificate, name ours in FENNEL_REDIS__CERTIFICATE_FILE"
                return Trouble(f"{shown} ended the greeting of TLS ({reason})", cure)
            cure = "for TLS the URL begins with rediss://, without it with redis://"
            return Trouble(f"{shown} does not speak TLS as we do ({reason})", cure, False)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
