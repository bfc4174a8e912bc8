"""A channel's own settings in the home folder's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loading import load_settings
from config.settings_error import SettingsError


def test_a_channel_says_only_what_is_different_there(home: Path) -> None:
    """What its table leaves out is as in [channel]."""
    (home / "fennel.toml").write_text(
        '[channel]\nquiet_s = 7.0\n[channels."slack:T1:C1"]\nlisten = "ambient"\nmaintainers = ["U9"]\n'
    )
    (channel,) = load_settings().channels.values()

    assert (channel.listen, channel.quiet_s, channel.maintainers) == ("ambient", 7.0, ["U9"])


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ('[channels."slack:T1:C1"]\ntime_zone = "Mars"', "channels.slack:T1:C1.time_zone='Mars' cannot be used"),
        ('[channels."slack:T1:C1"]\nwork_hours = "9-18"', "channels.slack:T1:C1.work_hours='9-18' cannot be used"),
        ('[channels."slack:T1:C1"]\ntimezone = "UTC"', "channels.slack:T1:C1.timezone is no setting of Fennel"),
        ('[channels."general"]\nquiet_s = 1.0', "channels.general='general' cannot be used"),
        ("[channels]\na = 3", "channels.a='a' cannot be used"),
        ("channels = 3", "channels=3 cannot be used"),
        ('[access]\nadmins = ["Ann"]', "FENNEL_ACCESS__ADMINS__0='Ann' cannot be used"),
    ],
)
def test_a_wrong_channel_is_told(home: Path, table: str, wanted: str) -> None:
    """The sentence names the channel and the key."""
    (home / "fennel.toml").write_text(table)

    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(wanted)
