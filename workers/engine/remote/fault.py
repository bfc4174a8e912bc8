"""What went wrong at a remote server, as a sentence, and what helps: another try, another server, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import openai

MAX_DETAIL_CHARACTERS = 200
# How servers say that a prompt is longer than their model takes: OpenAI's code, and words of vLLM, SGLang, llama.cpp.
_TOO_LONG = ("context_length_exceeded", "maximum context length", "context length", "context size", "too many tokens")

Scope = Literal["passing", "endpoint", "request", "too_long"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure in one sentence.

    `scope`: "passing" may go well at another time or server, "endpoint" may go well at another server alone, "request"
    and "too_long" nowhere. `retry_after_s`: how long the server wants to be left alone; 0 where it does not say.
    """

    sentence: str
    scope: Scope
    retry_after_s: float = 0.0


class RemoteError(Exception):
    """A request that no server answered."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.sentence)
        self.fault = fault


class BrokenStreamError(Exception):
    """A stream that ended without saying why."""


class RefusedError(Exception):
    """The server's own filter, or its model, refused to answer; nothing would help."""


def fault_of_error(error: Exception, url: str, model: str, timeout_s: float) -> Fault:
    """The fault behind an exception of the `openai` package or of what reads its streams."""
    if isinstance(error, openai.APIStatusError):
        return _fault_of_status(error, url, model)
    if isinstance(error, openai.APITimeoutError):
        return Fault(f"{url} said nothing for {timeout_s:g} s", "passing")
    if isinstance(error, openai.APIConnectionError):
        return Fault(f"{url} cannot be reached, or the connection broke", "passing")
    if isinstance(error, BrokenStreamError):
        return Fault(f"{url} broke off in the middle", "passing")
    if isinstance(error, RefusedError):
        return Fault(f"{url} refuses to answer this ({error})", "request")
    if isinstance(error, openai.APIError):
        return Fault(f"{url} failed in the middle: {_detail(error)}", "passing")
    # Rubbish in the place of JSON, or JSON of another form.
    return Fault(f"{url} says what no OpenAI-compatible server says ({type(error).__name__})", "passing")


def _fault_of_status(error: openai.APIStatusError, url: str, model: str) -> Fault:
    status, detail = error.status_code, _detail(error)
    if status == 401:  # without the server's own words: some repeat the key
        return Fault(f"{url} does not take the key: set FENNEL_ENGINE__REMOTE_KEY", "endpoint")
    if status == 403:
        return Fault(f"{url} does not let this key use the model {model}", "endpoint")
    if status == 404:
        return Fault(
            f"{url} knows no model {model}, or is not the address of an OpenAI-compatible server "
            f"(it often ends in /v1): see engine.remote_urls and engine.remote_model",
            "endpoint",
        )
    if status == 429:
        if error.code == "insufficient_quota":
            return Fault(f"the account at {url} has no credit left", "endpoint")
        return Fault(f"{url} takes no more requests for now", "passing", _retry_after_s(error))
    if status in (400, 413, 422):
        known = f"{error.code} {detail}".lower()
        if status == 413 or any(words in known for words in _TOO_LONG):
            return Fault(f"the prompt is longer than the model {model} takes", "too_long")
        return Fault(f"{url} refuses the request: {detail}", "request")
    if status in (408, 409) or status >= 500:
        return Fault(f"{url} fails (status {status})", "passing", _retry_after_s(error))
    return Fault(f"{url} refuses the request (status {status}): {detail}", "request")


def _retry_after_s(error: openai.APIStatusError) -> float:
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "0")))
    except ValueError:  # a date: rare, and the pause that grows serves as well
        return 0.0


def _detail(error: openai.APIError) -> str:
    said = error.body.get("message") if isinstance(error.body, dict) else None
    words = " ".join(str(said or error.message).split())
    return words if len(words) <= MAX_DETAIL_CHARACTERS else f"{words[:MAX_DETAIL_CHARACTERS]}…"
