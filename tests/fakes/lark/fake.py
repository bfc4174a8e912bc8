"""The fake Lark: its parts put together, what a test does to it, and what it looks at afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.fakes.lark.card_api import CardApi
from tests.fakes.lark.chats import Chats, VisibleMessage, new_id
from tests.fakes.lark.delivery import Deliveries, Delivery, Road
from tests.fakes.lark.events import EventMaker
from tests.fakes.lark.gateway import CALL_FAULTS, Gateway
from tests.fakes.lark.happenings import Happenings
from tests.fakes.lark.link import HANDSHAKE_FAULTS, PING_FAULTS, PUSH_FAULTS, Link
from tests.fakes.lark.message_api import MessageApi
from tests.fakes.lark.rates import AboveRate
from tests.fakes.lark.rules import Rules
from tests.fakes.lark.webhook import VARIANTS, HttpAnswer, Webhook
from tests.fakes.server import FakeServer

Json = dict[str, Any]

# The Node SDK takes only app ids of this shape: cli_ and 16 hexadecimal digits.
APP_ID = "cli_a1b2c3d4e5f60718"
_SECRETS = {"app_secret": "fake-app-secret", "verification_token": "fake-token", "encrypt_key": "fake-encrypt-key"}
# Seconds. Not 0: lark-channel takes no value below 1 and falls back to minutes.
_CLIENT_CONFIG = {"ReconnectCount": -1, "ReconnectInterval": 1, "ReconnectNonce": 1, "PingInterval": 1}


class FakeLark(FakeServer):
    """One app with its bot in one tenant. Events go over the long connection, or to `webhook_url` when that is set."""

    def __init__(
        self,
        *,
        time_scale: float = 1.0,
        port: int = 0,
        rules: Rules | None = None,
        client_config: Mapping[str, float] | None = None,
        app_id: str = APP_ID,
        encrypt_key: str = _SECRETS["encrypt_key"],
    ) -> None:
        super().__init__(time_scale=time_scale, port=port)
        self.app_id, self.app_secret = app_id, _SECRETS["app_secret"]
        self.verification_token, self.encrypt_key = _SECRETS["verification_token"], encrypt_key
        self.tenant_key = "2ca1d211f64f6438"
        self.bot_open_id = new_id("ou")
        self.chats = Chats(self.tenant_key)
        self.gateway = Gateway(self, rules or Rules(), app_id, self.app_secret)
        self.cards = CardApi(self.gateway)
        self.link = Link(self.gateway, {**_CLIENT_CONFIG, **(client_config or {})})
        self.webhook = Webhook(self, encrypt_key, self.rules.ack_timeout_s)
        self.deliveries = Deliveries(self.gateway)
        maker = EventMaker(app_id, self.tenant_key, self.verification_token)
        self._happenings = Happenings(self.gateway, self.chats, maker, self.bot_open_id, self._tell)

    # --- the server

    @property
    def rules(self) -> Rules:
        """The platform's rules as they are now."""
        return self.gateway.rules

    def change_rules(self, **rules: Any) -> None:
        """Set rules by name, from now on."""
        self.gateway.rules = dataclasses.replace(self.gateway.rules, **rules)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve the platform's calls, and control beyond what every fake has: ``link``, ``webhook``, ``check``."""
        self.gateway.add_open(
            router, "/open-apis/auth/v3/tenant_access_token/internal", "token", self.gateway.issue_token
        )
        self.link.add_routes(router)
        MessageApi(self.gateway, self.chats, self.cards, self.app_id, self.bot_open_id).add_routes(router)
        self.cards.add_routes(router)
        router.add_post("/_control/link", self._control(self._control_link))
        router.add_post("/_control/webhook", self._control(self._control_webhook))
        router.add_get("/_control/check", self._control(self._control_check))

    def faults_of(self, kind: str) -> tuple[str, ...]:
        """Those of calls, by their names (`Gateway`), of the long connection (`Link`) and of the `Webhook`."""
        if kind in self.gateway.names:
            return CALL_FAULTS
        webhook = (*VARIANTS, "duplicate")
        return {
            "handshake": HANDSHAKE_FAULTS,
            "ping": PING_FAULTS,
            "event": (*PUSH_FAULTS, "out_of_order"),
            "event.again": PUSH_FAULTS,
            "webhook": (*webhook, "out_of_order"),
            "webhook.again": webhook,
        }.get(kind, ())

    def urls(self) -> dict[str, str]:
        """The settings that point a bot here."""
        return {
            "FENNEL_LARK__DOMAIN": self.url,
            "FENNEL_LARK__APP_ID": self.app_id,
            "FENNEL_LARK__APP_SECRET": self.app_secret,
            "FENNEL_LARK__VERIFICATION_TOKEN": self.verification_token,
            "FENNEL_LARK__ENCRYPT_KEY": self.encrypt_key,
        }

    def state(self) -> Json:
        """Chats as a person sees them, events, connections and cards."""
        return {
            "bot_open_id": self.bot_open_id,
            "connections": [connection.device_id for connection in self.link.connections],
            "people": dict(self.chats.people),
            "chats": {
                chat_id: [dataclasses.asdict(m) for m in self.visible_messages(chat_id)] for chat_id in self.chats.chats
            },
            "events": [dataclasses.asdict(delivery) for delivery in self.deliveries.all],
            "cards": {card_id: dataclasses.asdict(card) for card_id, card in self.cards.cards.items()},
        }

    # --- what people do

    def add_person(self, name: str = "Ada") -> str:
        """A new person; returns the open_id."""
        return self.chats.add_person(name)

    def add_chat(self, name: str = "", *, topic: bool = False) -> str:
        """A new group with the bot in it; returns the chat_id."""
        return self.chats.add_chat(name, topic=topic).chat_id

    def say(self, text: str, **how: Any) -> str:
        """A person writes; returns the message_id. `how` is as for `Happenings.message`."""
        return str(self.call(self.inject({"type": "message", "text": text, **how}))["message_id"])

    def recall(self, message_id: str) -> str:
        """A person recalls a message; returns the event_id."""
        return str(self.call(self.inject({"type": "recall", "message_id": message_id}))["event_id"])

    def press(self, message_id: str, value: Json, person: str | None = None) -> str:
        """A person presses a button of a card; returns the event_id."""
        event = {"type": "card_action", "message_id": message_id, "value": value, "person": person}
        return str(self.call(self.inject(event))["event_id"])

    def happen(self, event_type: str, body: Json) -> str:
        """Any other event, such as one that the app has no handler for; returns the event_id."""
        return str(self.call(self.inject({"type": "event", "event_type": event_type, "event": body}))["event_id"])

    def set_bot_inside(self, chat_id: str, inside: bool) -> str:
        """The bot is taken out of a chat or put into it; returns the event_id."""
        event = {"type": "bot_added" if inside else "bot_removed", "chat_id": chat_id}
        return str(self.call(self.inject(event))["event_id"])

    async def inject(self, event: Json) -> Json:
        """Let something happen, by `type`: see `Happenings`."""
        return self._happenings.happen(event)

    def _tell(self, event: Json) -> Delivery:
        road: Road = self.webhook if self.webhook.url else self.link
        return self.deliveries.send(event, road)

    # --- what the platform does

    @property
    def webhook_url(self) -> str | None:
        """Where events are posted; None means the long connection."""
        return self.webhook.url

    @webhook_url.setter
    def webhook_url(self, url: str | None) -> None:
        self.webhook.url = url

    def post_webhook(self, variant: str = "valid", body: Json | None = None, **detail: Any) -> HttpAnswer:
        """Post once, as one of `webhook.VARIANTS`, without repeating; `body` is a fresh question without one."""
        return self.call(self.webhook.post(body or self.question_event(), variant, **detail))

    def verify_webhook(self, variant: str = "valid") -> HttpAnswer:
        """Post the challenge with which the console checks an address."""
        body = {"challenge": "a-challenge", "token": self.verification_token, "type": "url_verification"}
        return self.call(self.webhook.post(body, variant))

    def question_event(self, text: str = "What is this?") -> Json:
        """A question to the bot in a new group, as an event that is told to nobody yet."""
        return self._happenings.untold_question(text)

    def close_links(self, code: int = 1000) -> None:
        """Close every long connection in good order."""
        self.call(self.link.close(code))

    def abort_links(self) -> None:
        """Cut every long connection."""
        self.call(self.link.abort())

    def silence_links(self) -> None:
        """Let every long connection there is now go dead while it stays open."""
        self.call(self.link.silence())

    def release_hung(self) -> None:
        """Let the calls go on that a fault ``hang`` holds."""

        async def release() -> None:
            self.gateway.release.set()
            self.gateway.release.clear()

        self.call(release())

    def void_tokens(self) -> None:
        """Every access token is invalid from now on."""
        self.gateway.void_tokens()

    async def _control_link(self, body: Json) -> Any:
        acts = {"close": self.link.close, "abort": self.link.abort, "silence": self.link.silence}
        await acts[body["action"]]()
        return {"connections": len(self.link.connections)}

    async def _control_webhook(self, body: Json) -> Any:
        if "url" in body:
            self.webhook.url = body["url"]
        if "variant" in body:
            return dataclasses.asdict(await self.webhook.post(self.question_event(), body["variant"]))
        return {"url": self.webhook.url}

    # --- what must hold

    def visible_messages(self, chat_id: str, thread_id: str | None = None) -> list[VisibleMessage]:
        """What a person would see in a chat (or one thread of it) now, oldest first."""
        return self.chats.visible(chat_id, thread_id)

    def answers_to(self, message_id: str) -> list[VisibleMessage]:
        """The bot's visible messages that answer this one."""
        chat_id = self.chats.messages[message_id].chat_id
        return [m for m in self.visible_messages(chat_id) if m.from_app and m.parent_id == message_id]

    def delivery(self, event_id: str) -> Delivery:
        """How an event fared."""
        return next(delivery for delivery in self.deliveries.all if delivery.event_id == event_id)

    def unacked_events(self) -> list[Delivery]:
        """The events that were never acknowledged, those still being tried included."""
        return self.deliveries.unacknowledged()

    def sends_above_rate(self) -> list[AboveRate]:
        """Every call that came sooner than the platform's rates allow."""
        return list(self.gateway.rates.above)

    async def _control_check(self, body: Json) -> Any:
        return {
            "unacked_events": [dataclasses.asdict(delivery) for delivery in self.unacked_events()],
            "sends_above_rate": [dataclasses.asdict(above) for above in self.sends_above_rate()],
        }
