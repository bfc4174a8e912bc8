"""The vendor's SDK as its own examples use it: acknowledges every message, and does nothing with it."""

from __future__ import annotations

import lark_oapi

from config.loading import load_settings


def main() -> None:
    """Serve until killed."""
    lark = load_settings().lark
    handler = lark_oapi.EventDispatcherHandler.builder("", "").register_p2_im_message_receive_v1(lambda _event: None)
    lark_oapi.ws.Client(
        lark.app_id, lark.app_secret.get_secret_value(), event_handler=handler.build(), domain=lark.domain
    ).start()


if __name__ == "__main__":
    main()
