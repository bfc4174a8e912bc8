"""``python -m workers.engine.local.probe``: what would keep the model from loading, found without loading it.

Prints findings as a JSON list. With ``--loaded`` an engine holds the model already, and its memory is not looked for.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import AutoConfig

from config.loading import load_settings
from config.sections import EngineSettings
from config.settings import Settings
from contract.finding import Finding
from workers.engine.engine import ModelError
from workers.engine.local.loading import choose_device, need_with
from workers.engine.local.memory import check_memory
from workers.engine.local.weights import weights_here

DRIVER = Path("/proc/driver/nvidia/version")
GPU_EXTRA = "install the GPU build of torch: pip install --force-reinstall 'torch' and `pip install -e '.[gpu]'`"


def main() -> None:
    """Print the findings."""
    settings = load_settings()
    found = [gpu(settings.engine)]
    try:
        folder = weights_here(settings.engine.model, settings.models_folder)
    except ModelError as error:
        found.append(Finding("model", False, str(error), "correct engine.model, or put back what is missing"))
    else:
        found.extend(_model(settings, folder, is_loaded="--loaded" in sys.argv))
    print(json.dumps([asdict(one) for one in found]))


def gpu(settings: EngineSettings) -> Finding:
    """Whether torch, the driver and the GPU fit one another."""
    driver = _driver()
    built_for = torch.version.cuda
    if settings.device == "cpu":
        return Finding("GPU", True, f"torch {torch.__version__}; engine.device=cpu asks for none")
    if not torch.cuda.is_available():
        if driver and not built_for:
            says = f"a GPU is here (driver {driver}), and torch {torch.__version__} is built for the CPU alone"
            return Finding("GPU", False, says, GPU_EXTRA)
        if driver:
            says = f"torch {torch.__version__} is built for CUDA {built_for} and cannot use the driver {driver}"
            return Finding("GPU", False, says, "install a newer driver, or a torch that is built for an older CUDA")
        if settings.device == "cuda":
            return Finding("GPU", False, "engine.device is cuda and there is no GPU here", "set engine.device to auto")
        return Finding("GPU", True, f"torch {torch.__version__}; no GPU here, so the model runs on the CPU")
    name, (major, minor) = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    wanted = f"sm_{major}{minor}"
    built = torch.cuda.get_arch_list()
    # A build runs on later chips of the same major number too.
    if built and not any(one.removesuffix("a").startswith(f"sm_{major}") for one in built):
        says = f"torch {torch.__version__} has no code for {name} ({wanted}); it has {', '.join(built)}"
        return Finding("GPU", False, says, "install a torch that is built for this GPU")
    return Finding("GPU", True, f"{name} ({wanted}), driver {driver or 'not told'}, torch {torch.__version__}")


def _model(settings: Settings, folder: Path | None, *, is_loaded: bool) -> list[Finding]:
    engine = settings.engine
    if folder is None:
        return [Finding("model", True, f"{engine.model} is made or fetched at the first start")]
    try:
        device = choose_device(engine.device)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        need = need_with(engine, settings.worker.max_in_flight, folder, config, device)
    except (ModelError, OSError, ValueError) as error:
        return [Finding("model", False, str(error).splitlines()[0], "correct the settings, or fetch the model again")]
    there = Finding("model", True, f"{engine.model} is whole in {folder}")
    if is_loaded:
        return [there, Finding("memory", True, "the model is loaded")]
    try:
        check_memory(need, engine.model, device)
    except ModelError as error:
        what, _, cure = str(error).rpartition(": ")
        return [there, Finding("memory", False, what, cure)]
    return [there, Finding("memory", True, f"it needs {need}, and that is free")]


def _driver() -> str:
    """The NVIDIA driver's version as the kernel tells it; empty where there is none."""
    try:
        words = DRIVER.read_text().splitlines()[0].split()
    except (OSError, IndexError):
        return ""
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")


if __name__ == "__main__":
    main()
