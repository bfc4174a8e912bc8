"""Which links of an answer reach the chat."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.passages import passage
from workers.links import GONE, Links

PAGE = "Open https://vpn.example.com/login, or see [the guide](guide.md) and write to mailto:it@example.com."
LINKS = Links([replace(passage(PAGE), source="https://wiki.example.com/vpn")])


@pytest.mark.parametrize(
    "text",
    [
        "Open https://vpn.example.com/login.",
        "See [VPN](https://wiki.example.com/vpn) and [the guide](guide.md).",
        "**HTTPS://VPN.example.com/login**",
        "Write to mailto:it@example.com, or ops@example.com.",
        "No link, 3 < 4, see section [2] (below).",
        "打开 https://vpn.example.com/login。",
    ],
)
def test_what_the_passages_link_to_stays(text: str) -> None:
    """The pages' own links and the pages themselves may be opened."""
    assert LINKS.kept(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Go to https://evil.example/?q=secret now", f"Go to {GONE} now"),
        ("[click here](https://evil.example/x)", "click here"),
        ("[https://vpn.example.com/login](https://evil.example)", "https://vpn.example.com/login"),
        ("[x](javascript:alert(1))", "x)"),
        ("![chart](https://evil.example/p.png?d=1) done", "chart done"),
        ("<img src=https://evil.example/p.png>done", "done"),
        ("www.evil.example/x", GONE),
        ("ftp://evil.example/x and slack://open", f"{GONE} and {GONE}"),
        ("https://vpn.example.com/login?leak=1", GONE),
        ("看 https://evil.example/。", f"看 {GONE}。"),
    ],
)
def test_any_other_link_goes(text: str, kept: str) -> None:
    """Its words stay, the address does not; a picture is never loaded."""
    assert LINKS.kept(text) == kept


@given(st.text(alphabet="[]()!<>htps:/.w evil\n", max_size=60))
def test_nothing_that_could_be_opened_is_left(text: str) -> None:
    """Whatever is put together, no address that is not known comes out, and a second look changes nothing."""
    kept = LINKS.kept(text)
    assert "http://" not in kept or LINKS.kept(kept) == kept
    assert "](http" not in kept
