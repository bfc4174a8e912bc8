"""Pages of the cache: who holds which, and what is shared."""

from __future__ import annotations

import random

from workers.engine.local.pages import Held, Pages


def test_a_beginning_that_was_read_is_held_twice_and_not_read_again() -> None:
    """Two prompts with the same first pages hold the same ones; what is shared ends at a whole page."""
    pages = Pages(10, 4)
    first = pages.hold([1, 2, 3, 4, 5, 6, 7, 8, 9], 12)
    assert first is not None
    pages.make_known(first)

    second = pages.hold([1, 2, 3, 4, 5, 6, 7, 8, 100], 12)

    assert second is not None
    assert second.known_tokens == 8
    assert second.pages[:2] == first.pages[:2]
    assert second.pages[2] not in first.pages


def test_a_beginning_is_known_only_when_it_has_been_read() -> None:
    """What another sequence is still reading is not there yet."""
    pages = Pages(10, 4)
    assert pages.hold([1, 2, 3, 4, 5], 8) is not None
    second = pages.hold([1, 2, 3, 4, 5], 8)
    assert second is not None
    assert second.known_tokens == 0


def test_the_same_tokens_elsewhere_are_not_the_same_page() -> None:
    """A page is known by all that stands before it, too."""
    pages = Pages(10, 2)
    first = pages.hold([1, 2, 3, 4, 5], 6)
    assert first is not None
    pages.make_known(first)
    other = pages.hold([9, 9, 3, 4, 5], 6)
    assert other is not None
    assert other.known_tokens == 0


def test_the_last_token_of_a_prompt_is_read_again() -> None:
    """A prompt that is known whole leaves its last page to be read, for the logits of its last token."""
    pages = Pages(10, 2)
    first = pages.hold([1, 2, 3, 4], 6)
    assert first is not None
    pages.make_known(first)
    again = pages.hold([1, 2, 3, 4], 6)
    assert again is not None
    assert again.known_tokens == 2


def test_where_too_few_pages_are_left_nothing_is_held() -> None:
    """A sequence gets all pages that it may ever need, or none."""
    pages = Pages(3, 4)
    assert pages.hold([1], 9) is not None
    assert pages.free == 0
    assert pages.hold([2], 1) is None


def test_a_page_that_is_known_gives_way_when_its_room_is_wanted() -> None:
    """The one unused for longest goes first, and is not known any more."""
    pages = Pages(4, 1)
    for token in (1, 2):
        held = pages.hold([token, 0], 2)
        assert held is not None
        pages.make_known(held)
        pages.give_back(held)
    assert pages.free == 4

    taking = pages.hold([7, 8, 9], 3)

    assert taking is not None
    pages.give_back(taking)
    renewed = pages.hold([2, 5], 2)
    assert renewed is not None
    assert renewed.known_tokens == 1
    pages.give_back(renewed)
    lost = pages.hold([1, 5], 2)
    assert lost is not None
    assert lost.known_tokens == 0


def test_whatever_comes_and_goes_no_page_is_lost_or_written_by_two() -> None:
    """In 3,000 random steps a page that one sequence will write into is held by nobody else, and all come back."""
    chance = random.Random(4)
    pages = Pages(40, 4)
    running: list[tuple[Held, list[int]]] = []
    for _ in range(3000):
        if running and chance.random() < 0.5:
            held, _prompt = running.pop(chance.randrange(len(running)))
            pages.give_back(held)
            continue
        prompt = [chance.randint(0, 1) for _ in range(chance.randint(1, 24))]
        held_now = pages.hold(prompt, len(prompt) + chance.randint(1, 8))
        if held_now is None:
            continue
        own = set(held_now.pages[held_now.known_tokens // 4 :])
        assert not any(own & set(held.pages) for held, _ in running)
        for held, other in running:
            for index in range(held_now.known_tokens // 4):
                if held_now.pages[index] in held.pages:
                    assert prompt[: index * 4 + 4] == other[: index * 4 + 4]
        if chance.random() < 0.8:
            pages.make_known(held_now)
        running.append((held_now, prompt))
    for held, _ in running:
        pages.give_back(held)
    assert pages.free == 40
