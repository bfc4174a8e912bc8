"""Which parts a bot's reception is made of."""

from __future__ import annotations

from redis.asyncio import Redis

from bot.access import Access
from bot.admission import Admissions
from bot.channel_rules import ChannelRules
from bot.chat_commands import ChatCommands
from bot.conversations import Conversations
from bot.delivery import Delivery
from bot.feedback import FeedbackBook
from bot.handover import Handover
from bot.history import History
from bot.inbox import Inbox
from bot.intake import Intake, IntakeLimits
from bot.overhearing import Overhearing
from bot.reception import Reception
from config.settings import Settings


def make_reception(
    settings: Settings,
    redis: Redis,
    platform: str,
    delivery: Delivery,
    history: History,
    restored_at_s: float = 0.0,
) -> Reception:
    """The reception of one platform. `redis` waits for Redis (`patient_client`).

    `restored_at_s`: when Redis' data came out of a backup; 0 where it did not.
    """
    access = Access(settings.access)
    rules = ChannelRules(settings.channel, settings.channels)
    inbox = Inbox(
        redis,
        max_queued=settings.queue.max_queued,
        job_timeout_s=settings.worker.job_timeout_s,
        replicas=settings.redis.replicas,
    )
    feedback = FeedbackBook(redis, settings.retention.feedback_days)
    handover = Handover(redis, rules, inbox)
    conversations = Conversations(redis, settings.conversation.ttl_s)
    limits = IntakeLimits(settings.queue.answer_ttl_s, access=access, channels=rules, restored_at_s=restored_at_s)
    return Reception(
        intake=Intake(limits),
        access=access,
        rules=rules,
        admissions=Admissions(redis, settings.limits),
        inbox=inbox,
        delivery=delivery,
        commands=ChatCommands(redis, inbox, history, conversations, feedback, handover, rules, settings.limits),
        feedback=feedback,
        handover=handover,
        overhearing=Overhearing(redis, platform),
    )
