"""20,000 bad inputs for everything that reads what comes from outside. `make fuzz` gives a million."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.strategies import inputs
from tests.fuzz.target import Target, opened
from tests.fuzz.targets import TARGETS, make_target

IN_CI = 20_000


@pytest.fixture(params=list(TARGETS))
def named(request: pytest.FixtureRequest) -> Iterator[tuple[str, Target]]:
    """Each target with its name."""
    with opened(make_target(request.param)) as target:
        yield request.param, target


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")  # an input may be long to print
def test_good_inputs_are_taken_and_bad_ones_refused(named: tuple[str, Target]) -> None:
    """No reader falls over: it takes an input or refuses it with its own error, within its time.

    Each seed is taken, or else nothing that is made from it would get far; a webhook's last two are forged.
    """
    name, target = named
    seeds = target.seeds()
    took = [target.read(seed) for seed in seeds]
    assert any(took)

    @settings(
        max_examples=TARGETS[name].in_ci,
        deadline=timedelta(seconds=target.LIMIT_S),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(inputs(seeds))
    def reads(data: bytes) -> None:
        target.read(data)

    reads()


def test_ci_gives_as_many_inputs_as_is_said() -> None:
    """The shares of the targets are 20,000 inputs in CI and a million at night."""
    assert sum(entry.in_ci for entry in TARGETS.values()) == IN_CI
    assert sum(entry.of_a_million for entry in TARGETS.values()) >= 1_000_000
