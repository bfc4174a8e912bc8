"""The function that a question's job names, for those who run it with the wrong worker."""

from __future__ import annotations

from contract.errors import FennelError


class WrongWorkerError(FennelError):
    """A question was taken by one of RQ's own workers."""


def answer(question: str) -> None:  # noqa: ARG001 -- the job's signature
    """Stand for the answer in the job; Fennel's worker knows the name and never calls it.

    RQ's forking worker does, and a model loaded before a fork dies with "Cannot re-initialize CUDA in forked
    subprocess", so this stops with the cure instead. `question` is the question's wire form.
    """
    raise WrongWorkerError(
        "Fennel's questions were taken by one of RQ's own workers (`rq worker`, `rq worker-pool`), which fork for each "
        "job and cannot share a model: stop it, start `python -m workers`, and then `rq requeue --all -q questions`"
    )
