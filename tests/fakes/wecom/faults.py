"""What can go wrong on the fake WeCom, by the kind of the call or frame: `FakeWeCom.fail(kind, name, times, **detail)`.

The details: ``errcode`` (errcode, errmsg), ``status`` (status), ``slow`` (delay_s), ``close`` (code), ``ret`` (ret).
"""

from tests.fakes.wecom.callback import FORGERIES

# A command of the link. drop: neither done nor answered; the others are done. mute: never answered; slow: answered
# late; close and abort: the connection ends instead of an answer.
_COMMAND = ("errcode", "drop", "mute", "slow", "close", "abort")
# A push down the link. duplicate: same msgid, another req_id; lose: into a dead connection; abort: broken just after.
_PUSH = ("duplicate", "lose", "abort")
_CALL = ("status", "abort", "broken_json", "commit_then_abort")
_ILINK_CALL = ("ret", "slow", *_CALL)

FAULTS: dict[str, tuple[str, ...]] = {
    "connect": ("status",),  # the WebSocket's handshake is refused
    "aibot_subscribe": _COMMAND,
    "ping": _COMMAND,
    "aibot_respond_msg": _COMMAND,
    "aibot_respond_welcome_msg": _COMMAND,
    "aibot_respond_update_msg": _COMMAND,
    "aibot_send_msg": _COMMAND,
    "aibot_msg_callback": _PUSH,
    "aibot_event_callback": _PUSH,
    "verify": ("forged",),
    "callback": ("duplicate", *FORGERIES),
    "poll": ("stop",),  # the platform stops polling early
    "response_url": ("errcode", *_CALL),
    "getupdates": _ILINK_CALL,
    "sendmessage": _ILINK_CALL,
    "getconfig": _ILINK_CALL,
    "sendtyping": _ILINK_CALL,
    "msg/notifystart": _ILINK_CALL,
    "msg/notifystop": _ILINK_CALL,
}
