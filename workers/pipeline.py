"""The way from a question to its answer: conversation, gate, retrieve, prompt, generate, cite.

Sees interfaces only: no Redis, no RQ, no torch.
"""
