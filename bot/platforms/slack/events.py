"""From Slack's events to chat events: pure functions, tried on recorded events.

Slack's own shapes: https://docs.slack.dev/reference/events/message and …/app_mention. A mention in a channel comes as
two events, ``app_mention`` and ``message``, with the same channel and ts: both give the same message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bot.chat_event import ChatEvent, FeedbackGiven, MessageDeleted, MessageEdited
from bot.chat_message import ChatMessage
from bot.platforms.slack.identity import Identity

NAME = "slack"
FEEDBACK_ACTION = "fennel_feedback"
SPOKEN_SUBTYPES = frozenset({"", "bot_message", "file_share", "me_message", "thread_broadcast"})
"""Kinds of messages that somebody wrote; the others tell of joins, topics, pins."""
_ENTITY = re.compile(r"<([^<>\n]+)>")
_ESCAPES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


class EventError(ValueError):
    """A payload that lacks what every payload of its kind has."""


def chat_event(body: Mapping[str, Any], me: Identity) -> ChatEvent | None:
    """What a payload that Slack delivered says; None where it is nothing of ours to act on. Raises EventError."""
    try:
        return _chat_event(body, me)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise EventError(f"a part of the payload is not what it should be: {error}") from error


def _chat_event(body: Mapping[str, Any], me: Identity) -> ChatEvent | None:
    if body.get("type") == "block_actions":
        return _feedback(body)
    event = body.get("event")
    if not isinstance(event, dict) or event.get("type") not in ("app_mention", "message"):
        return None
    team = str(body.get("team_id") or me.team_id)
    subtype = event.get("subtype")
    if subtype == "message_changed":
        return _changed(event, team, me)
    if subtype == "message_deleted":
        return _deleted(event, str(event.get("deleted_ts", "")), team, me)
    return chat_message(event, team, me)


def chat_message(event: Mapping[str, Any], team: str, me: Identity) -> ChatMessage | None:
    """A message as an event or the history gives it; None for our own, and for what nobody wrote."""
    ts, channel = event.get("ts"), event.get("channel")
    if not ts or not channel or (event.get("subtype") or "") not in SPOKEN_SUBTYPES or _is_ours(event, me):
        return None
    raw = str(event.get("text") or "")
    is_direct = event.get("channel_type") == "im" or str(channel).startswith("D")
    return ChatMessage(
        platform=NAME,
        tenant=team,
        channel=str(channel),
        # Each message of a channel begins a thread of its own, direct messages too: that is where the answer goes.
        thread=str(event.get("thread_ts") or ts),
        message_id=str(ts),
        sender=str(event.get("user") or event.get("bot_id") or ""),
        sender_name="",
        text=plain(raw, me),
        at_s=float(ts),
        mentions_us=event.get("type") == "app_mention" or _mentions(raw, me),
        is_direct=is_direct,
        from_bot=bool(event.get("bot_id")) or event.get("subtype") == "bot_message",
        # Where streams need to know for whom they are; someone of another workspace belongs to theirs.
        address={"team": str(event.get("user_team") or event.get("team") or team)},
    )


def plain(raw: str, me: Identity) -> str:
    """A message's text as it was typed: without our mention, links as their address, escapes undone."""
    text = _ENTITY.sub(lambda match: _entity(match.group(1), me), raw)
    for escaped, character in _ESCAPES:
        text = text.replace(escaped, character)
    return re.sub(r"[ \t]{2,}", " ", text).strip()


def _entity(inner: str, me: Identity) -> str:
    target, _, label = inner.partition("|")
    if target == f"@{me.user_id}":
        return " "
    if target.startswith("#"):
        return f"#{label or target[1:]}"
    if target.startswith("!"):
        return f"@{label.lstrip('@') or target[1:].partition('^')[0]}"
    if target.startswith("@"):
        return f"@{label or target[1:]}"
    return f"{label} ({target})" if label and label not in target else target


def _mentions(raw: str, me: Identity) -> bool:
    return f"<@{me.user_id}>" in raw or f"<@{me.user_id}|" in raw


def _is_ours(message: Mapping[str, Any], me: Identity) -> bool:
    return message.get("user") == me.user_id or (bool(me.bot_id) and message.get("bot_id") == me.bot_id)


def _changed(event: Mapping[str, Any], team: str, me: Identity) -> ChatEvent | None:
    after, before = event.get("message") or {}, event.get("previous_message") or {}
    # A deleted message with replies is not gone: it is changed into a tombstone.
    if after.get("subtype") == "tombstone":
        return _deleted(event, str(after.get("ts", "")), team, me)
    # Slack also calls it a change when it unfurls a link, or when a thread gets a reply.
    if after.get("text") == before.get("text"):
        return None
    place = {"channel": event.get("channel"), "channel_type": event.get("channel_type")}
    message = chat_message({**after, **place}, team, me)
    return MessageEdited(message) if message and not message.from_bot else None


def _deleted(event: Mapping[str, Any], ts: str, team: str, me: Identity) -> MessageDeleted | None:
    if not ts or _is_ours(event.get("previous_message") or {}, me):
        return None
    return MessageDeleted(NAME, team, str(event.get("channel", "")), ts)


def _feedback(body: Mapping[str, Any]) -> FeedbackGiven | None:
    for action in body.get("actions") or ():
        verdict, _, question_id = str(action.get("value") or "").partition(":")
        if action.get("action_id") == FEEDBACK_ACTION and question_id and verdict in ("good", "bad"):
            by = str((body.get("user") or {}).get("id", ""))
            at_s = float(action.get("action_ts") or 0)
            return FeedbackGiven(NAME, question_id, by, "good" if verdict == "good" else "bad", at_s)
    return None
