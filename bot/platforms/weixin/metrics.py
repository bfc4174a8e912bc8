"""What the link to WeChat counts."""

from __future__ import annotations

from prometheus_client import Counter

polls_failed = Counter("fennel_weixin_polls_failed_total", "Polls for messages that brought no answer.")
sent_again = Counter("fennel_weixin_sent_again_total", "Messages that nobody saw the end of, tried once more, marked.")
waits_for_a_person = Counter(
    "fennel_weixin_waits_for_a_person_total", "Tries that had to wait until the person writes again."
)
messages_lost = Counter(
    "fennel_weixin_messages_lost_total", "Messages that were passed over, as they cannot be taken in."
)
