"""`fennel web password`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from argon2 import PasswordHasher
from dotenv import dotenv_values

from tests.cli.stack_home import BIN


def run(typed: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The command with what is typed into it."""
    return subprocess.run(
        [str(BIN / "fennel"), "web", "password", *options], input=typed, capture_output=True, text=True, timeout=60
    )


def test_the_line_goes_into_dotenv_as_it_is(tmp_path: Path) -> None:
    """What is printed is a setting whose hash fits the password, dollar signs and all."""
    for options, name in (((), "FENNEL_WEB__PASSWORD_HASH"), (("--operator",), "FENNEL_WEB__OPERATOR_HASH")):
        made = run("open sesame\n", *options)
        file = tmp_path / ".env"
        file.write_text(made.stdout)
        ((key, value),) = dotenv_values(file).items()
        assert key == name
        assert value
        assert PasswordHasher().verify(value, "open sesame")
        assert "open sesame" not in made.stdout + made.stderr


def test_a_short_password_is_refused() -> None:
    """It is told how long one has to be."""
    made = run("short\n")
    assert (made.returncode, made.stdout) == (1, "")
    assert "at least 8" in made.stderr
