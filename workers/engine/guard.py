"""The guard against the one failure that must never happen: CUDA touched before the engine process starts."""

from __future__ import annotations

import sys

from workers.engine.engine import EngineError


def refuse_initialised_cuda(where: str) -> None:
    """Raise EngineError where this process has already touched CUDA, or was forked from one that had.

    CUDA cannot be used in a fork of a process that has initialised it, and holds memory in each process that has.
    `where` names the process for the sentence. Imports nothing: a process without torch has touched nothing.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return
    # is_initialized() is False in a forked child although CUDA cannot be used there; torch marks it so.
    forked = getattr(torch.cuda, "_is_in_bad_fork", lambda: False)()
    if forked or torch.cuda.is_initialized():
        cause = "was forked from a process that had initialised CUDA" if forked else "has initialised CUDA already"
        raise EngineError(
            f"{where} {cause}: the model belongs into the engine process alone, which is started by spawn; "
            f"take whatever uses torch out of the process before it, and start it as a fresh program "
            f"(`python -m workers`), not from RQ's forking Worker or WorkerPool"
        )
