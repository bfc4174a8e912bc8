"""One bot process from its start to its end: the link, the inbox, the delivery, the sweeper and the lock."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import structlog
from redis.asyncio import Redis

from bot.assembly import make_reception
from bot.delivery import Delivery
from bot.history import History
from bot.lock import AccountLock
from bot.platform import Platform
from bot.reception import Reception
from bot.redis_link import patient_client, plain_client, wait_for_redis
from bot.reply_slot import AtStep, go_on
from bot.sweeper import Sweeper
from bot.waiting import unless_set
from config.settings import Settings
from contract import names

SAFE_POINT_WITHIN_S = 10.0
"""On stop: how long a send that is under way may take. What is cut off then is looked up by the next process."""
LOOK_AGAIN_S = 0.2

log = structlog.get_logger(__name__)


async def run_bot(
    platform: Platform, settings: Settings, stop: asyncio.Event, *, at_step: AtStep = go_on, lease_s: float = 15.0
) -> None:
    """Serve the platform until `stop` is set, or its link was closed and every open question has been answered.

    Raises LinkDeadError, LockHeldError, LockLostError, RedisUnusableError.
    """
    await wait_for_redis(settings.redis_address)
    async with AsyncExitStack() as cleanup:
        redis = await cleanup.enter_async_context(patient_client(settings.redis_address))
        reader = await cleanup.enter_async_context(plain_client(settings.redis_address))
        lock = AccountLock(redis, platform.name, platform.account, lease_s)
        await unless_set(lock.acquire(), stop)
        if stop.is_set():
            return
        cleanup.push_async_callback(_release, lock)
        platform.hold(lock)
        cleanup.push_async_callback(platform.close)
        history = History(redis, settings.retention.history_days)
        delivery = Delivery(
            platform,
            redis,
            reader,
            lock,
            interval_s=settings.bot.delivery_interval_s,
            history=history,
            at_step=at_step,
        )
        # A restore happens while no bot runs, so that it is enough to ask once.
        restored_at_s = float(await redis.get(names.RESTORED_KEY) or 0)
        reception = make_reception(settings, redis, platform.name, delivery, history, restored_at_s)
        try:
            async with asyncio.TaskGroup() as tasks:
                await _serve(platform, settings, stop, redis, delivery, reception, lock, tasks)
        except* Exception as group:
            # One cause is enough, and a caller can say it in one sentence.
            raise _first(group) from None


async def _serve(
    platform: Platform,
    settings: Settings,
    stop: asyncio.Event,
    redis: Redis,
    delivery: Delivery,
    reception: Reception,
    lock: AccountLock,
    tasks: asyncio.TaskGroup,
) -> None:
    sweeper = Sweeper(
        redis,
        reception.inbox,
        delivery,
        platform=platform.name,
        queued_notice_after_s=settings.queue.queued_notice_after_s,
        answer_ttl_s=settings.queue.answer_ttl_s,
    )
    delivering = tasks.create_task(delivery.run())
    keeping = tasks.create_task(lock.keep())
    sweeping = tasks.create_task(sweeper.run())
    overheard = tasks.create_task(reception.overhearing.run(reception.overheard))
    listening = tasks.create_task(platform.listen(reception.receive))
    log.info("ready", platform=platform.name)
    await unless_set(_until_all_shown(listening, redis, platform.name), stop)
    log.info("stopping", platform=platform.name)
    sweeping.cancel()
    overheard.cancel()
    delivery.stop()
    await _let_end(delivering)
    await platform.close()
    await _let_end(listening)
    keeping.cancel()


async def _let_end(task: asyncio.Task[None]) -> None:
    """Wait for the task, and cancel it when it takes too long."""
    _done, late = await asyncio.wait([task], timeout=SAFE_POINT_WITHIN_S)
    for one in late:
        log.warning("not at a safe point in time: cut off")
        one.cancel()


async def _until_all_shown(listening: asyncio.Task[None], redis: Redis, platform: str) -> None:
    """Return when the link was closed from the other side and no question is open."""
    await asyncio.wait([listening])
    while await redis.zcard(names.open_key(platform)):  # noqa: ASYNC110 -- Redis does not call back
        await asyncio.sleep(LOOK_AGAIN_S)


async def _release(lock: AccountLock) -> None:
    """Let go of the lock, unless Redis is away: then the lease ends by itself."""
    try:
        async with asyncio.timeout(2):
            await lock.release()
    except TimeoutError:
        log.warning("the lock could not be released; it ends with its lease")


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else RuntimeError(str(error))
