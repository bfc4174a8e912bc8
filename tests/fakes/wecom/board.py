"""What people see in their conversations, and the rules that every way of writing into one shares."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.fakes.wecom import rules
from tests.fakes.wecom.clock import Clock
from tests.fakes.wecom.rules import OpenPoints, RateWindow, RefusedError


@dataclass(slots=True)
class ShownMessage:
    """One bubble in a conversation; times are platform seconds."""

    chatid: str
    author: str  # a person's id, or "bot"
    kind: str  # stream, markdown, text, template_card, image, …
    content: str
    via: str  # person, reply, push, welcome, callback, response_url, ilink
    at_s: float
    finished: bool = True
    cleared: bool = False  # a finished stream without text leaves no bubble
    stream_id: str = ""
    expires_at_s: float = 0.0
    feedback_id: str = ""
    in_reply_to: str = ""  # msgid of the question, where the way of answering tells it
    history: list[str] = field(default_factory=list)  # the texts that it showed before, oldest first
    refreshed_at_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that the client broke; the platform refused, ignored or only noticed it."""

    at_s: float
    rule: str
    detail: str


class Board:
    """All conversations of one bot. Raises RefusedError where the platform would not show what was sent."""

    def __init__(self, clock: Clock, points: OpenPoints) -> None:
        self.violations: list[Violation] = []
        self._clock = clock
        self._points = points
        self._chats: dict[str, list[ShownMessage]] = defaultdict(list)
        self._streams: dict[tuple[str, str], ShownMessage] = {}
        self._spoken: set[str] = set()
        self._rates: dict[str, RateWindow] = {}

    # --- looking

    def visible(self, chatid: str) -> list[ShownMessage]:
        """The conversation as a person sees it now, oldest first."""
        return [shown for shown in self._chats.get(chatid, ()) if not shown.cleared]

    def by_bot(self) -> list[ShownMessage]:
        """Everything of the bot's that is visible now, in all conversations."""
        return [shown for chatid in list(self._chats) for shown in self.visible(chatid) if shown.author == "bot"]

    def stream(self, chatid: str, stream_id: str) -> ShownMessage | None:
        """The message of that stream, if it was ever sent."""
        return self._streams.get((chatid, stream_id))

    def as_state(self) -> dict[str, Any]:
        """The visible conversations and the violations, as JSON."""
        return {
            "conversations": {chatid: [asdict(shown) for shown in self.visible(chatid)] for chatid in self._chats},
            "violations": [asdict(violation) for violation in self.violations],
        }

    # --- writing

    def speak(self, chatid: str, person: str, kind: str, content: str) -> None:
        """A person writes into a conversation, which lets the bot write there too."""
        self._spoken.add(chatid)
        self._chats[chatid].append(ShownMessage(chatid, person, kind, content, "person", self._clock.now_s()))

    def has_spoken(self, chatid: str) -> bool:
        """Whether a person has ever written there."""
        return chatid in self._spoken

    def notice(self, rule: str, detail: str) -> None:
        """Record a broken rule."""
        self.violations.append(Violation(self._clock.now_s(), rule, detail))

    def guard(self, act: Callable[[], dict[str, Any]], detail: str) -> dict[str, Any]:
        """The answer of `act`, or of its refusal, which is also recorded."""
        try:
            return act()
        except RefusedError as refused:
            self.notice(refused.rule, f"{detail}: {refused}")
            return refused.as_answer()

    def show(self, chatid: str, body: dict[str, Any], via: str, in_reply_to: str = "") -> ShownMessage:
        """Show a message that is no stream: markdown, text, a card, or media."""
        kind, content, feedback_id = self._read(body)
        self._charge(chatid)
        shown = ShownMessage(chatid, "bot", kind, content, via, self._clock.now_s())
        shown.feedback_id, shown.in_reply_to = feedback_id, in_reply_to
        self._chats[chatid].append(shown)
        return shown

    def show_direct(self, user: str, content: str) -> ShownMessage:
        """Show a direct message of personal WeChat; the limits there are iLink's own."""
        shown = ShownMessage(user, "bot", "text", content, "ilink", self._clock.now_s())
        self._chats[user].append(shown)
        return shown

    def show_stream(
        self, chatid: str, stream: dict[str, Any], via: str, in_reply_to: str, expires_at_s: float
    ) -> ShownMessage:
        """Show a stream for the first time, or refresh it: the text is always the whole text."""
        stream_id = stream.get("id")
        if not isinstance(stream_id, str) or not stream_id:
            raise RefusedError(rules.INVALID_PARAMETER, "stream.id is missing", "shape")
        if stream.get("msg_item") and not stream.get("finish"):
            raise RefusedError(rules.INVALID_PARAMETER, "msg_item needs finish", "shape")
        content = self._fit(stream.get("content"))
        shown = self._streams.get((chatid, stream_id))
        if shown is None:
            feedback_id = _feedback_id(stream)
            self._charge(chatid)
            shown = ShownMessage(chatid, "bot", "stream", "", via, self._clock.now_s(), finished=False)
            shown.stream_id, shown.in_reply_to, shown.feedback_id = stream_id, in_reply_to, feedback_id
            shown.expires_at_s = expires_at_s
            self._streams[(chatid, stream_id)] = shown
            self._chats[chatid].append(shown)
        else:
            self._admit_refresh(shown, via)
        self._apply(shown, content, bool(stream.get("finish")))
        return shown

    # --- rules

    def _admit_refresh(self, shown: ShownMessage, via: str) -> None:
        now_s = self._clock.now_s()
        if now_s > shown.expires_at_s:
            raise RefusedError(rules.STREAM_EXPIRED, "stream message update expired", "stream_expired")
        if shown.finished and self._points.finished_stream == "refuse":
            raise RefusedError(rules.STREAM_EXPIRED, "stream message update expired: finished", "stream_finished")
        # In callback mode the platform itself asks for each refresh, more often than the rate allows.
        if self._points.refreshes_count and via != "callback":
            self._charge(shown.chatid)
        shown.refreshed_at_s.append(now_s)

    @staticmethod
    def _apply(shown: ShownMessage, content: str | None, finish: bool) -> None:
        """Blank text changes nothing, except that a finish with no text at all takes the bubble away."""
        if content is not None and content.strip():
            if shown.content:
                shown.history.append(shown.content)
            shown.content, shown.cleared = content, False
        elif finish and content == "":
            shown.cleared = True
        shown.finished = shown.finished or finish

    def _read(self, body: dict[str, Any]) -> tuple[str, str, str]:
        kind = body.get("msgtype", "")
        part = body.get(kind)
        if kind not in ("markdown", "text", "template_card", "image", "file", "voice", "video"):
            raise RefusedError(rules.INVALID_PARAMETER, f"msgtype {kind!r} is not one for this", "shape")
        if not isinstance(part, dict):
            raise RefusedError(rules.INVALID_PARAMETER, f"{kind} is missing", "shape")
        if kind in ("markdown", "text"):
            content = self._fit(part.get("content"))
            if not content:
                raise RefusedError(rules.INVALID_PARAMETER, "content is empty", "shape")
            return kind, content, _feedback_id(part)
        if kind == "template_card":
            title = part.get("main_title") or {}
            return kind, str(title.get("title", "")), _feedback_id(part)
        return kind, str(part.get("media_id", "")), ""

    def _fit(self, content: Any) -> str | None:
        if content is None:
            return None
        if not isinstance(content, str):
            raise RefusedError(rules.INVALID_PARAMETER, "content is not a text", "shape")
        size_bytes = len(content.encode())
        if size_bytes <= rules.CONTENT_BYTES:
            return content
        if self._points.oversize == "refuse":
            raise RefusedError(rules.TOO_LARGE, f"content has {size_bytes} bytes", "content_bytes")
        self.notice("content_bytes", f"{size_bytes} bytes, the tail is cut")
        return content.encode()[: rules.CONTENT_BYTES].decode(errors="ignore")

    def _charge(self, chatid: str) -> None:
        limits = {60.0: rules.SENDS_PER_MIN, 3600.0: rules.SENDS_PER_HOUR}
        if not self._rates.setdefault(chatid, RateWindow(limits)).admit(self._clock.now_s()):
            raise RefusedError(rules.TOO_OFTEN, "api freq out of limit", "send_rate")


def _feedback_id(part: dict[str, Any]) -> str:
    feedback_id = str((part.get("feedback") or {}).get("id", ""))
    if len(feedback_id.encode()) > rules.FEEDBACK_ID_BYTES:
        raise RefusedError(rules.INVALID_PARAMETER, "feedback.id is too long", "feedback_bytes")
    return feedback_id
