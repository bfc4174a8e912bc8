"""The next token is chosen as asked."""

import torch

from workers.engine.local.sampling import Sampler

LOGITS = torch.tensor([0.0, 1.0, 2.0, 0.5])


def draw(temperature: float, seed: int, count: int = 400) -> list[int]:
    sampler = Sampler(temperature, seed)
    return [sampler.choose(LOGITS) for _ in range(count)]


def test_greedy_takes_the_likeliest() -> None:
    """At temperature 0 the likeliest token is taken, whatever the seed."""
    assert {*draw(0, 1, 5), *draw(0, 2, 5)} == {2}


def test_a_seed_repeats() -> None:
    """The same seed gives the same tokens; another one gives others (they agree by chance once in 10^100)."""
    assert draw(1.0, 7) == draw(1.0, 7)
    assert draw(1.0, 7) != draw(1.0, 8)


def test_shares_follow_the_logits() -> None:
    """At temperature 1 each token comes as often as its logit says (5 standard deviations allowed)."""
    drawn = draw(1.0, 3, 4000)
    for token, share in enumerate(torch.softmax(LOGITS, -1).tolist()):
        allowed = 5 * (share * (1 - share) / len(drawn)) ** 0.5
        assert abs(drawn.count(token) / len(drawn) - share) < allowed


def test_extreme_temperatures_and_seeds() -> None:
    """The tiniest temperature is greedy, the largest flat, and any integer is a seed."""
    assert set(draw(1e-300, 1, 20)) == {2}
    assert set(draw(1e300, -(2**70), 200)) == {0, 1, 2, 3}
