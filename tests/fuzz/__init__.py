"""Rubbish for everything that reads what comes from outside. `make fuzz` for a night, `test_fuzz.py` for CI."""
