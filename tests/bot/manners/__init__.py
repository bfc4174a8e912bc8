"""The bot as a member of a group: the same tests on every platform."""
