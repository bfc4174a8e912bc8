"""Tests of the WeCom bot, against the fake WeCom."""
