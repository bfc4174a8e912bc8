"""What stands in `deploy/` fits the program: its units, its image, and every metric that it names."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from config.environment import CHECKOUT
from config.loading import load_settings
from contract.answer import Outcome
from pages.metrics import metrics as definitions

DEPLOY = CHECKOUT / "deploy"


def metrics() -> dict[str, set[str]]:
    """Every series that the programs have, as Prometheus shows it, with its labels."""
    return {
        shown: {*metric.labels, "le", "program", "job", "instance"}
        for metric in definitions()
        for shown in metric.shown
    }


def expressions() -> list[str]:
    """All PromQL in the dashboard and the alert rules."""
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    alerts = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]] + [
        rule["expr"] for group in alerts["groups"] for rule in group["rules"]
    ]


def test_every_metric_that_is_named_exists() -> None:
    """A dashboard of metrics that nobody counts would look healthy for ever."""
    known = metrics()
    named = {name for expression in expressions() for name in re.findall(r"fennel_\w+", expression)}

    assert len(named) > 15
    assert named - set(known) == set()


def test_every_label_that_is_named_exists() -> None:
    """Labels in selectors and in `by (…)` are those of the metric beside them."""
    known = metrics()
    wrong = [
        (name, label)
        for expression in expressions()
        for name in re.findall(r"fennel_\w+", expression)
        for label in re.findall(r"(\w+)=", expression)
        + ", ".join(re.findall(r"by \(([^)]*)\)", expression)).split(", ")
        if label and label not in known[name]
    ]
    outcomes = {value for expression in expressions() for value in re.findall(r'outcome="(\w+)"', expression)}

    assert wrong == []
    assert outcomes <= {outcome.value for outcome in Outcome}


def test_every_alert_says_what_to_do() -> None:
    """Whoever is woken by one gets a sentence and a command of ours."""
    alerts = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())
    for group in alerts["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["cure"]


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "fennel.service")
    return parser


def test_the_systemd_unit_is_sound(tmp_path: Path) -> None:
    """It starts supervisord in the foreground, waits for the drain, and systemd itself has nothing against it."""
    service = unit()["Service"]
    limits_s = 20 + load_settings().worker.drain_s + 15 + 60

    assert service["ExecStart"].endswith("fennel up --nodaemon")
    assert float(service["TimeoutStopSec"]) > limits_s
    assert service["KillMode"] == "mixed"
    if shutil.which("systemd-analyze"):  # else the parser above has to do
        text = (DEPLOY / "fennel.service").read_text()
        (tmp_path / "fennel.service").write_text(text.replace("/opt/fennel/.venv/bin/fennel", "/bin/true"))
        said = subprocess.run(
            ["systemd-analyze", "verify", tmp_path / "fennel.service"], capture_output=True, text=True
        ).stderr
        assert "fennel.service" not in said


def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_compose_has_redis_a_worker_with_a_gpu_and_a_bot() -> None:
    """Each is one of our programs, with settings that exist and longer to stop than it may need."""
    services = compose()["services"]
    settings = load_settings()
    for name in ("worker", "bot"):
        for variable in services[name]["environment"]:
            section, _, key = variable.removeprefix("FENNEL_").lower().partition("__")
            assert hasattr(getattr(settings, section), key) if key else hasattr(settings, section)
        assert services[name]["depends_on"]["redis"]["condition"] == "service_healthy"
        assert "/healthz" in services[name]["healthcheck"]["test"][-1]

    assert sorted(services) == ["bot", "redis", "worker"]
    assert services["worker"]["command"][:3] == ["python", "-m", "workers"]
    assert services["bot"]["command"][:3] == ["python", "-m", "bot"]
    assert services["worker"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert float(services["worker"]["stop_grace_period"].removesuffix("s")) > settings.worker.drain_s + 15
    redis_options = services["redis"]["command"]
    assert redis_options[redis_options.index("--appendfsync") + 1] == "always"
    assert redis_options[redis_options.index("--maxmemory-policy") + 1] == "noeviction"


def test_the_image_has_every_package() -> None:
    """A folder that is new comes along, and what is copied exists and is not kept back."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]}
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    pyproject = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    packages = {name.rstrip("*") for name in pyproject["tool"]["setuptools"]["packages"]["find"]["include"]}

    assert packages <= copied
    assert copied == kept
    assert [name for name in copied if not (CHECKOUT / name).exists()] == []
    assert "USER fennel" in lines
