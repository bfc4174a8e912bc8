"""The chat platforms that ``python -m benchmarks.bot`` can load, one module each, with ``create()`` in it."""
