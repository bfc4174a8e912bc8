"""Two checkouts at work together."""
