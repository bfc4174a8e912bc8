"""Tests of personal WeChat's direct messages."""
