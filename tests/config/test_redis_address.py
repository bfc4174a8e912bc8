"""Where Redis is: what settings may say of it, and what is shown of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.environment import PREFIX
from config.loading import load_settings
from config.redis_address import RedisAddress, parse_sentinel
from config.settings import Settings
from config.settings_error import SettingsError

PASSWORD = "p/ä ss:w@rd"
IN_A_URL = "p%2F%C3%A4%20ss%3Aw%40rd"


def settings(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"FENNEL_REDIS__{name.upper()}", value)
    return load_settings()


def test_without_any_setting_it_is_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing named: the unix socket below the home folder."""
    found = settings(monkeypatch)
    assert found.redis.is_embedded
    assert found.redis_address.url == f"unix://{found.redis_socket}"


def test_user_and_password_come_from_the_url_or_from_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL's own user and password win; without them the settings' are taken."""
    found = settings(monkeypatch, url="rediss://redis.internal:6380/0", user="bot", password=PASSWORD).redis_address
    assert (found.user, found.password, found.tls) == ("bot", PASSWORD, True)
    found = settings(monkeypatch, url=f"rediss://other:{IN_A_URL}@redis.internal:6380/0").redis_address
    assert (found.user, found.password, found.url) == ("other", PASSWORD, "rediss://redis.internal:6380/0")


def test_no_password_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what is shown to people nor the record itself has a password in it, and logs mask both spellings."""
    found = settings(monkeypatch, url=f"redis://bot:{IN_A_URL}@redis.internal/0", sentinel_password="s3ntinel")
    for shown in (found.redis_address.shown, repr(found.redis_address), found.redis_address.url):
        assert PASSWORD not in shown
        assert IN_A_URL not in shown
    assert {PASSWORD, IN_A_URL, "s3ntinel"} <= set(found.secrets)


def test_programs_of_others_get_all_of_it_in_one_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """RQ's own commands take a URL: with the password, and the files as redis-py reads them."""
    authority = tmp_path / "ca.pem"
    authority.write_text("-")
    found = settings(
        monkeypatch, url="rediss://redis.internal:6380/0", user="bot", password=PASSWORD, ca_file=str(authority)
    )
    again = RedisAddress.of_url(found.redis_address.url_with_password)
    assert (again.user, again.password) == ("bot", PASSWORD)
    assert "ssl_ca_certs=" in again.url


def test_sentinels_name_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentinels stand in place of a URL; their port is 26379 unless it is said."""
    found = settings(monkeypatch, sentinels='["host-a", "[fd00::1]:26380"]', sentinel_service="queue")
    assert found.redis_address.sentinels == (("host-a", 26379), ("fd00::1", 26380))
    assert found.redis_address.shown == "queue of the sentinels host-a:26379,[fd00::1]:26380"
    assert not found.redis.is_embedded


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"url": "http://redis.internal"}, "begin with redis://, rediss:// or unix://"),
        ({"url": "redis://bot:hunter2/3@redis.internal"}, "written as %XX"),
        ({"url": "redis://"}, "it names no host"),
        ({"url": "unix://"}, "it names no path"),
        ({"sentinels": '["user@host-a"]'}, "HOST:26379"),
        ({"sentinels": '["host-a:many"]'}, "HOST:26379"),
        ({"sentinels": '["host-a"]', "url": "redis://host-b"}, "leave one of them empty"),
        ({"sentinels": '["host-a"]', "sentinel_service": ""}, "which server is meant"),
        ({"url": "redis://host-a", "ca_file": "/etc/hosts"}, "it needs TLS"),
        ({"url": "rediss://host-a", "ca_file": "/nonexistent.pem"}, "no such file"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], says: str
) -> None:
    """Each wrong setting is named, and no password stands in the sentence."""
    with pytest.raises(SettingsError) as caught:
        settings(monkeypatch, **values)
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert PREFIX + "REDIS__" in str(caught.value)


def test_a_sentinel_is_read_with_and_without_its_port() -> None:
    """Names, IPv4 and IPv6."""
    assert parse_sentinel("10.0.0.1:5000") == ("10.0.0.1", 5000)
    assert parse_sentinel("[::1]") == ("::1", 26379)
