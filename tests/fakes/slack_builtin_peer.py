"""A synchronous bolt app on the WebSocket client that the SDK brings itself; run by `PythonPeer`.

In a process of its own, because the client's threads outlive its close and leave sockets to the garbage collector.
"""

from __future__ import annotations

import os

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient

from tests.fakes.python_peer import serve

heard: list[str] = []
client = WebClient(token=os.environ["FENNEL_SLACK__BOT_TOKEN"], base_url=os.environ["FENNEL_SLACK__API_URL"])
app = App(client=client, signing_secret=os.environ["FENNEL_SLACK__SIGNING_SECRET"], process_before_response=True)
app.event("app_mention")(lambda event: heard.append(event["text"]))
app.event("message")(lambda event: None)
handler = SocketModeHandler(app, os.environ["FENNEL_SLACK__APP_TOKEN"], ping_interval=1)

if __name__ == "__main__":
    serve({"connect": handler.connect, "heard": lambda: heard})
