"""The engine: a process of its own that answers prompts, and the supervisor that keeps it alive."""
