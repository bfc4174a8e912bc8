"""What Lark's error codes mean for us, and in words for whoever reads the log.

Sources: the vendor's lists of error codes for ``im/v1`` and ``cardkit/v1``, and what users report beyond them.
The meaning of single 2300xx codes is not established further: a code that is not here is a refusal with its own words.
"""

from __future__ import annotations

from bot.platform import SendRefusedError

TOKEN_INVALID = frozenset({99991661, 99991663, 99991664, 99991668, 99991671, 99991677})
"""The access token is not valid any more: nothing was done, and a new token helps."""
TOO_OFTEN = frozenset({99991400, 230020, 11232, 11233, 11247})
"""Sent too fast: nothing was done, and waiting helps."""
SECRET_WRONG = frozenset({514, 10003, 10014, 10015})
MESSAGE_GONE = frozenset({230005, 230011, 230017, 230031, 230050, 230110})
"""The message cannot be changed any more: recalled, deleted, or too old."""
STREAMING_CLOSED = frozenset({200850, 300309})
SEQUENCE_REJECTED = 300317
PLACE_REFUSED = MESSAGE_GONE | {230002, 230006, 230013, 230018, 230027, 99991672, 99991679}
"""Nothing may be said here, in any form. Any other refusal of a card may be one of its form: text is tried then."""

_WORDS = {
    514: "the app id or the app secret is wrong (FENNEL_LARK__APP_ID, FENNEL_LARK__APP_SECRET)",
    10003: "the app id or the app secret is wrong (FENNEL_LARK__APP_ID, FENNEL_LARK__APP_SECRET)",
    10014: "the app secret is wrong (FENNEL_LARK__APP_SECRET)",
    10015: "the app id or the app secret is wrong (FENNEL_LARK__APP_ID, FENNEL_LARK__APP_SECRET)",
    11310: "the card is not accepted",
    200570: "the card shows a picture that is not there",
    200621: "the card is not well formed",
    200750: "the card is not there any more",
    200850: "the card's streaming time is over",
    200860: "the card is too big",
    230001: "the content is not accepted",
    230002: "the bot is not in this chat: a member has to add it again",
    230005: "the message was deleted",
    230006: "the app has no bot: switch the bot on in the developer console and publish a version",
    230011: "the message was recalled",
    230013: "the person is not within the app's availability range: widen it in the developer console",
    230017: "the bot may not reach this message",
    230018: "only the group's owner and administrators may write here",
    230020: "too many messages to this chat at a time",
    230025: "the content is too long",
    230027: "the app lacks a permission for this: see docs/lark.md for the list",
    230031: "the message is too old to be changed",
    230071: "the message is not the bot's own",
    230072: "the message has been edited as often as is allowed",
    230099: "the card's content is not accepted",
    300309: "the card's streaming mode is closed",
    300313: "the card's element is not there",
    300317: "the card has seen a later change",
    212100: "the app is not installed in the organisation: publish a version of it",
    1000040350: "the app has as many long connections as is allowed (50): end the others",
    99991400: "too many calls at a time",
    99991661: "the access token is missing",
    99991663: "the access token is not valid any more",
    99991672: "the app lacks a permission for this: see docs/lark.md for the list, and publish a version afterwards",
    99991679: "the app lacks a permission for this: see docs/lark.md for the list, and publish a version afterwards",
}


class LarkRefusedError(SendRefusedError):
    """Lark answered with an error code: nothing was done. `code` is 0 where only an HTTP status came."""

    def __init__(self, what: str, code: int, message: str) -> None:
        super().__init__(f"Lark refused {what}: {in_words(code, message)}")
        self.code = code


def in_words(code: int, message: str) -> str:
    """What the code means, with the code; the platform's own message where we do not know it."""
    return f"{_WORDS.get(code) or message or 'no reason given'} (code {code})"
