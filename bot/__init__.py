"""The bots: one process for each chat platform. They take questions in and show answers."""
