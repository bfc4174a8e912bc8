"""`fennel doctor` looks at the servers that answers come from."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from cli.checks import model
from config.loading import load_settings
from config.settings import Settings
from tests.fakes.openai.server import KEY, MODEL, OpenAIServer


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    """A server."""
    server = OpenAIServer()
    yield server
    server.stop()


def settings_of(url: str, key: str = KEY, name: str = MODEL) -> Settings:
    settings = load_settings()
    remote = {"kind": "openai", "remote_urls": [url], "remote_key": SecretStr(key), "remote_model": name}
    return settings.model_copy(update={"engine": settings.engine.model_copy(update=remote)})


def test_a_server_that_is_well(server: OpenAIServer) -> None:
    """A server that has the model is well, and no model of this machine is looked for."""
    (found,) = model.findings(settings_of(server.url), is_loaded=False)
    assert (found.is_well, found.says) == (True, f"it has the model {MODEL}")


def test_what_is_wrong_with_a_server(server: OpenAIServer) -> None:
    """Wrong key, model and address, and a server that is not there, are each told with a cure and without the key."""
    root = server.url.removesuffix("/v1")
    wrong = {
        "does not take the key": settings_of(server.url, key="sk-wrong-0123456789"),
        f"it has no model gpt-0, but {MODEL}": settings_of(server.url, name="gpt-0"),
        "has no list of models": settings_of(root),
        "cannot be reached": settings_of("http://127.0.0.1:9/v1"),
    }
    for said, settings in wrong.items():
        (found,) = model.findings(settings, is_loaded=False)
        assert said in found.says
        assert found.is_well == ("no list" in said)
        assert "sk-" not in str(found)
