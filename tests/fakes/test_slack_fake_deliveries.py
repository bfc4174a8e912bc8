"""The fake Slack's deliveries: repeated until they are acknowledged, lost, doubled and out of order when told to."""

from __future__ import annotations

import functools
import itertools

import pytest

from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import MakeFake, Recorder, acked, delivery
from tests.fakes.slack_links import bare, connected

FAKE = functools.partial(FakeSlack, time_scale=0.001, rules=Rules(ack_timeout_s=0.5))
"""The last redelivery comes after 0.3 s, and an acknowledgement has 0.5 s."""


# --- acknowledging


async def test_an_unacknowledged_event_comes_four_times(make_fake: MakeFake) -> None:
    """Without an acknowledgement an event comes again at once, after a minute and after five, then it is lost."""
    fake = make_fake(rules=Rules(ack_timeout_s=0.1))
    async with bare(fake) as (socket,):
        injected = fake.happen("event", event={"type": "reaction_added"})
        envelopes = [await socket.receive_json() for _ in range(4)]
        await fake.eventually(lambda: delivery(fake, injected).state == "lost")
    assert [(e["retry_attempt"], e["retry_reason"]) for e in envelopes] == [
        (0, ""),
        (1, "timeout"),
        (2, "timeout"),
        (3, "timeout"),
    ]
    assert len({e["envelope_id"] for e in envelopes}) == 4
    assert {e["payload"]["event_id"] for e in envelopes} == set(injected["event_ids"])
    times_s = [attempt.at_s for attempt in delivery(fake, injected).attempts]
    waits_s = [later - earlier for earlier, later in itertools.pairwise(times_s)]
    assert [wait_s >= least_s for wait_s, least_s in zip(waits_s, [0.1, 0.16, 0.4], strict=True)] == [True] * 3
    assert waits_s[0] < waits_s[1] < waits_s[2]
    assert [event["state"] for event in fake.unacked_events()] == ["lost"]


async def test_a_failing_app_gets_its_event_again(make_fake: MakeFake) -> None:
    """An app whose listener fails does not acknowledge, and gets the same event again when it is well."""
    fake = make_fake(rules=Rules(ack_timeout_s=0.2))
    recorder = Recorder(fake)
    async with connected(fake, recorder):
        recorder.broken = True
        injected = fake.happen("app_mention", twin=False)
        await fake.eventually(lambda: len(delivery(fake, injected).attempts) == 2)
        recorder.broken = False
        await acked(fake)
    assert recorder.event_ids == injected["event_ids"]
    assert recorder.retries[0] in ("1", "2")


async def test_an_acknowledgement_counts_on_any_link_and_only_in_time(make_fake: MakeFake) -> None:
    """An event sent over one link can be acknowledged over another; a late acknowledgement does not count."""
    fake = make_fake(rules=Rules(ack_timeout_s=0.2, retry_delays_s=()))
    async with bare(fake, 2) as sockets:
        injected = fake.happen("event", event={"type": "reaction_added"})
        await fake.eventually(lambda: delivery(fake, injected).attempts)
        (number,) = delivery(fake, injected).attempts[0].sockets
        mine, other = sockets[number - 1], sockets[2 - number]
        await other.send_json({"envelope_id": (await mine.receive_json())["envelope_id"], "payload": {}})
        await acked(fake)
        late = fake.happen("event", event={"type": "reaction_added"})
        await fake.eventually(lambda: delivery(fake, late).state == "lost")
        await mine.send_json({"envelope_id": delivery(fake, late).attempts[0].envelope_ids[0]})
        await fake.eventually(lambda: [line for line in fake.journal if line.kind == "ack.late"])
        assert delivery(fake, late).state == "lost"


async def test_an_event_without_a_link_waits_for_one(fake: FakeSlack, recorder: Recorder) -> None:
    """What happens while no link is there comes with a later try."""
    injected = fake.happen("app_mention", twin=False)
    async with connected(fake, recorder):
        await acked(fake)
    assert delivery(fake, injected).attempts[0].failure == "no connection"
    assert len(recorder.events) == 1


# --- deliveries that go wrong


async def test_a_lost_acknowledgement_brings_the_event_again(make_fake: MakeFake) -> None:
    """An app that did acknowledge gets the event a second time when Slack did not hear it."""
    fake = make_fake(rules=Rules(ack_timeout_s=0.2))
    recorder = Recorder(fake)
    async with connected(fake, recorder):
        fake.fail("event", "lost_ack")
        injected = fake.happen("app_mention", twin=False)
        await acked(fake)
    assert recorder.event_ids == injected["event_ids"] * 2


async def test_an_event_comes_twice_at_once(fake: FakeSlack, recorder: Recorder) -> None:
    """The same event comes in two envelopes, over one link."""
    async with connected(fake, recorder):
        fake.fail("event", "duplicate")
        injected = fake.happen("app_mention", twin=False)
        await fake.eventually(lambda: len(recorder.events) == 2)
    assert recorder.event_ids == injected["event_ids"] * 2


async def test_an_event_comes_over_two_links(fake: FakeSlack) -> None:
    """The same event comes once over each of two links."""
    async with bare(fake, 2) as sockets:
        fake.fail("event", "two_sockets")
        injected = fake.happen("event", event={"type": "reaction_added"})
        first, second = [await socket.receive_json() for socket in sockets]
        assert first["payload"]["event_id"] == second["payload"]["event_id"] == injected["event_ids"][0]
        assert first["envelope_id"] != second["envelope_id"]


async def test_events_come_out_of_order(fake: FakeSlack) -> None:
    """An event that is held back comes after one that happened later, so an edit can come before its message."""
    async with bare(fake) as (socket,):
        fake.fail("event", "held")
        mention = fake.happen("app_mention", twin=False)
        fake.happen("edit", channel="C1", ts=mention["ts"], text="<@UBOT> better")
        edited, posted = [(await socket.receive_json())["payload"]["event"] for _ in range(2)]
    assert (edited.get("subtype"), posted["type"]) == ("message_changed", "app_mention")
    assert posted["event_ts"] < edited["event_ts"]


@pytest.mark.parametrize("name", ["disconnect_after", "close_after", "abort_after"])
async def test_a_link_ends_with_an_event_in_hand(make_fake: MakeFake, name: str) -> None:
    """A link ends right after it brought an event, which is acknowledged over the next link or comes again."""
    fake = make_fake(time_scale=0.005)  # the client's monitor must have looked before the last try
    recorder = Recorder(fake)
    async with connected(fake, recorder):
        fake.fail("event", name)
        injected = fake.happen("app_mention", twin=False)
        await acked(fake)
        await fake.eventually(lambda: fake.deliveries.sockets.accepted >= 2)
    assert set(recorder.event_ids) == set(injected["event_ids"])
