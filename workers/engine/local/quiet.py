"""The libraries' own progress bars, switched off: they would fill the log."""

from __future__ import annotations

import threading

import transformers
from huggingface_hub.utils.tqdm import disable_progress_bars
from tqdm import tqdm  # type: ignore[import-untyped]


def quieten_libraries() -> None:
    """Switch them off in this process."""
    transformers.utils.logging.disable_progress_bar()
    disable_progress_bars()
    # Or else it makes one that all processes share, and a killed process leaves that behind.
    tqdm.set_lock(threading.RLock())
