"""What the tests of the fake WeCom use of the clients that Tencent wrote."""

import json
from collections.abc import Callable
from typing import Any

from tests.fakes.node_peer import NodePeer, PeerError
from tests.fakes.wecom import FakeWeCom

GROUP = "wr_team"
USER = "zhang.san"


class SdkBot:
    """A bot of ``@wecom/aibot-node-sdk``, one of those that a Node process holds."""

    def __init__(self, node: NodePeer, name: str, fake: FakeWeCom, **options: Any) -> None:
        self._node = node
        self._name = name
        self._fake = fake
        node.call("open", name, fake.urls(), options)

    def use(self, method: str, *args: Any) -> Any:
        """What a method of the client gives. Raises PeerError with what it throws."""
        return self._node.call("use", self._name, method, *args)

    def errcode_of(self, method: str, *args: Any) -> int:
        """The error code with which the platform answers, which the client throws."""
        try:
            return int(self.use(method, *args)["errcode"])
        except PeerError as error:
            return int(json.loads(str(error))["errcode"])

    @property
    def is_connected(self) -> bool:
        """Whether the client thinks so."""
        return bool(self._node.call("isConnected", self._name))

    def download(self, url: str, key: str) -> str:
        """A downloaded and decrypted file, as base64."""
        return str(self._node.call("download", self._name, url, key))

    def wait(self, event: str, count: int = 1) -> dict[str, Any]:
        """The `count`-th event of that name that this bot has seen."""
        self._node.wait_until(lambda: len(self.seen(event)) >= count)
        return self.seen(event)[count - 1]

    def seen(self, event: str) -> list[dict[str, Any]]:
        """The events of that name that this bot has seen until now."""
        return [line for line in self._node.events_named(event) if line.get("bot") == self._name]

    def hear(self, text: str = "怎么部署？", chatid: str = GROUP, **event: Any) -> dict[str, Any]:
        """Somebody asks the bot; gives the frame of the callback as the client saw it."""
        before = len(self.seen("message"))
        self._fake.say(text, chatid=chatid, **event)
        frame: dict[str, Any] = self.wait("message", before + 1)["frame"]
        return frame

    def close(self) -> None:
        """Disconnect for good."""
        self._node.call("close", self._name)


OpenBot = Callable[..., SdkBot]
