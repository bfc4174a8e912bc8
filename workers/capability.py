"""What a model is able to do, as far as its answers may be trusted with it."""

from __future__ import annotations

from dataclasses import dataclass

from workers.knowledge.words import Language


@dataclass(frozen=True, slots=True)
class Capability:
    """`languages`: what it reads and writes well enough. `passages`: how many it can keep apart.

    `reads_closely`: whether it can be trusted to take the right one of two numbers that stand in a passage. One that
    cannot has to say what the best sentence says.
    """

    languages: frozenset[Language]
    passages: int
    reads_closely: bool


_ABLE = Capability(frozenset({"en", "zh"}), passages=20, reads_closely=True)
_BY_MODEL = {
    # 135 million parameters, English alone; its Chinese repeats itself, and of two numbers it takes either.
    "smollm2-135m": Capability(frozenset({"en"}), passages=1, reads_closely=False),
}


def capability_of(model: str) -> Capability:
    """The capability of a model by its name in `engine.model`; one that is not known is trusted."""
    return _BY_MODEL.get(model, _ABLE)
