"""Who holds which pages of the cache of keys and values, and which pages can be shared.

A page holds the keys and values of `size` tokens that stand one after another. Sequences that begin with the same
tokens hold the same pages for that beginning, since keys and values at a position depend on nothing behind it: the
instructions before every question, and a document that several people ask about, are read once.
A page that nobody holds any more stays known until its room is wanted, the one unused for longest first.

Only numbers of pages are kept here, never what is in them.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Held:
    """The pages of one sequence, in the order of its tokens."""

    pages: list[int]
    known_tokens: int  # tokens at the beginning whose keys and values are there already
    names: list[bytes] = field(default_factory=list)  # of the pages that its prompt fills


class Pages:
    """Gives out `count` pages of `size` tokens each."""

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        self.size = size
        self._free = list(reversed(range(count)))
        self._holders = [0] * count
        self._named: dict[bytes, int] = {}
        self._name_of: dict[int, bytes] = {}
        # Pages that are known and held by nobody; the one unused for longest stands first.
        self._idle: OrderedDict[int, None] = OrderedDict()

    @property
    def free(self) -> int:
        """Pages that a new sequence could be given."""
        return len(self._free) + len(self._idle)

    def pages_for(self, tokens: int) -> int:
        """How many pages so many tokens fill or begin."""
        return -(-tokens // self.size)

    def hold(self, prompt: list[int], max_tokens: int) -> Held | None:
        """Pages for a sequence that begins with a prompt and grows to `max_tokens`; None where too few are left.

        All that it may ever need is set aside at once, so that no answer has to be given up half-way for want of room.
        """
        names = self._names(prompt)
        shared: list[int] = []
        # The last token is always read again, because its logits are wanted.
        for name in names[: (len(prompt) - 1) // self.size]:
            if name not in self._named:
                break
            shared.append(self._named[name])
        wanted = self.pages_for(max_tokens) - len(shared)
        if wanted > self.free - sum(page in self._idle for page in shared):
            return None
        for page in shared:
            self._holders[page] += 1
            self._idle.pop(page, None)
        return Held(shared + [self._take() for _ in range(wanted)], len(shared) * self.size, names)

    def make_known(self, held: Held) -> None:
        """The prompt of a sequence has been read: others may share the pages that it fills."""
        for name, page in zip(held.names, held.pages, strict=False):
            if name not in self._named and page not in self._name_of:
                self._named[name] = page
                self._name_of[page] = name

    def give_back(self, held: Held) -> None:
        """A sequence has ended. Those of its pages that are known stay so, idle."""
        for page in reversed(held.pages):  # the beginning, which others are likelier to share, is unused for less long
            self._holders[page] -= 1
            if self._holders[page]:
                continue
            if page in self._name_of:
                self._idle[page] = None
            else:
                self._free.append(page)
        held.pages = []

    def _take(self) -> int:
        if self._free:
            page = self._free.pop()
        else:
            page, _ = self._idle.popitem(last=False)
            del self._named[self._name_of.pop(page)]
        self._holders[page] = 1
        return page

    def _names(self, prompt: list[int]) -> list[bytes]:
        """A name for each page that the prompt fills: a digest of all tokens up to its end.

        A digest that nobody can make collide, because a page of the wrong name would show one asker another's text.
        """
        digest = hashlib.blake2b(digest_size=16)
        names = []
        for start in range(0, len(prompt) - self.size + 1, self.size):
            digest.update(array("q", prompt[start : start + self.size]).tobytes())
            names.append(digest.digest())
        return names
