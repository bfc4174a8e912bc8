"""Facts: which numbers and names a text claims, and whether another text has them."""

from __future__ import annotations

import pytest

from workers.facts import FactSource, facts_of


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("It allows 1000 requests.", "Paddle: 1,000 requests a day"),
        ("It takes 10 minutes.", "within ten minutes"),
        ("It takes twenty-five minutes.", "within 25 minutes"),
        ("From 9:30 to 16:00.", "open 09:30 to 16:00"),
        ("At 10 in the morning.", "on Tuesday at 10:00"),
        ("It needs 2.5 V.", "at least 2.50 V"),
        ("需要 3 个工作日。", "三个工作日内"),
        ("需要十五天。", "15 天"),
        ("一共 12000 元。", "一万两千元"),
        ("星期三交接。", "每周三交接"),
        ("Ask Marta Lindqvist.", "it calls Marta Lindqvist, who leads the cloud team"),
        ("Run `./ship rollback tidewatch`.", "```\n./ship rollback tidewatch --env production\n```"),
        ("See code e14 on gauge-07.internal.", "ssh gauge-07.internal limpet clear E14"),
        ("Use the VPN.", "## VPN keys"),
        ("One of them is enough, and this is the one.", "nothing of the kind"),
        ("一般来说万一不行就这样。", "别的"),
    ],
)
def test_the_same_fact_in_another_writing_is_the_same(claim: str, text: str) -> None:
    """Numerals, words for numbers, marks and capitals do not make another fact; grammar is none."""
    assert FactSource(text).missing(facts_of(claim)) == []


@pytest.mark.parametrize(
    ("claim", "text", "missing"),
    [
        ("The status is 401.", "answers with status 429 after 4,010 requests", ["401"]),
        ("It takes one week.", "It takes four weeks", ["1"]),
        ("需要四周。", "需要三周", ["4"]),
        ("周四交接。", "周三交接，第四次", ["四"]),
        ("Ask Alex Chen.", "Ask Marta Lindqvist", ["alex", "chen"]),
        ("The leader is called Steve.", "The leader is Marta", ["steve"]),
        ("Steve.", "Marta", ["steve"]),
        ("Look at E17 now.", "E14 and E1 and 17", ["e17"]),
        ("The address is a@b.example.", "The address is c@b.example", ["a@b.example"]),
        ("It prints `done well`.", "It prints done badly", ["donewell"]),
        ("它叫“海狸”。", "它叫“海豹”。", ["海狸"]),
        ("Version 2.5.1 has it.", "Version 2.5 has it", ["2.5.1"]),
    ],
)
def test_a_fact_that_does_not_stand_there_is_missing(claim: str, text: str, missing: list[str]) -> None:
    """Another number, another name and other quoted words are seen, also where parts of them are the same."""
    assert FactSource(text).missing(facts_of(claim)) == missing


@pytest.mark.parametrize("name", ["PyTorch", "LoRa", "GHz", "PoE", "NavSatFix", "SDKs", "OpenAI"])
def test_a_name_with_capitals_inside_is_one_name(name: str) -> None:
    """It stands where the whole word stands, in English and between Chinese characters, and nowhere else."""
    for text in (f"We use {name} here.", f"这里用{name}来做。"):
        assert FactSource(text).missing(facts_of(text)) == []
    assert FactSource("We use nothing of the kind.").missing(facts_of(f"We use {name} here."))
