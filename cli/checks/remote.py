"""The servers of engine.remote_urls: whether each can be reached, takes the key, and has the model."""

from __future__ import annotations

import http.client
import importlib.util
import json
import urllib.error
import urllib.request

from config.settings import Settings
from contract.finding import Finding

TIMEOUT_S = 10.0
SHOWN_MODELS = 5


def findings(settings: Settings) -> list[Finding]:
    """One finding of each server, and one of the package that asks them."""
    missing = [name for name in ("openai", "aiolimiter") if importlib.util.find_spec(name) is None]
    if missing:
        says = f"the package {missing[0]} is missing"
        return [Finding("servers", False, says, "pip install -e '.[openai]' in Fennel's environment")]
    return [_server(url, settings) for url in settings.engine.remote_urls]


def _server(url: str, settings: Settings) -> Finding:
    name = f"server {url}"
    wanted = settings.engine.remote_model or settings.engine.model
    key = settings.engine.remote_key.get_secret_value()
    request = urllib.request.Request(  # noqa: S310 -- the setting takes http and https alone
        f"{url.rstrip('/')}/models", headers={"Authorization": f"Bearer {key}"} if key else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            has = [str(one["id"]) for one in json.load(response)["data"]]
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return Finding(name, False, "it does not take the key", "set FENNEL_ENGINE__REMOTE_KEY")
        if error.code in (404, 405):
            return Finding(name, True, "it answers, and has no list of models to look into")
        return Finding(name, False, f"it fails (status {error.code})", "look at the server's log")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return Finding(name, False, f"it cannot be reached ({reason})", "start it, or correct engine.remote_urls")
    except (ValueError, KeyError, TypeError):
        cure = "correct engine.remote_urls: the address often ends in /v1"
        return Finding(name, False, "it is no OpenAI-compatible server", cure)
    if wanted not in has:
        says = f"it has no model {wanted}, but {', '.join(has[:SHOWN_MODELS]) or 'none'}"
        return Finding(name, False, says, "correct engine.remote_model, or engine.model where that is empty")
    return Finding(name, True, f"it has the model {wanted}")
