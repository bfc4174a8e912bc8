"""Importing a module does nothing, and drags nothing heavy along.

Each module is imported in an interpreter of its own, because what one test imports another would find in `sys.modules`.
"""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.environment import CHECKOUT

PACKAGES = ("bot", "cli", "config", "contract", "health", "workers")
HEAVY = ("torch", "transformers", "numpy")
# numpy searches the vectors in the worker's own process, which must only never see torch.
TORCH = ("torch", "transformers")

# Runs in the fresh interpreter: an audit hook sees what no look at the module afterwards would.
PROBE = """
import json, multiprocessing, os, signal, sys, threading
seen = []
watching = True
forbidden = ("socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.exec", "os.posix_spawn", "os.mkdir",
             "os.remove", "os.rename", "os.kill", "sqlite3.connect")
def watch(event, arguments):
    if not watching:
        return
    # urllib3, which lark-oapi brings along, binds a socket for a moment to see whether there is IPv6.
    asks_for_ipv6 = event == "socket.bind" and sys._getframe(1).f_globals.get("__name__") == "urllib3.util.connection"
    if event in forbidden and not asks_for_ipv6:
        seen.append(event)
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes and "__pycache__" not in str(arguments[0]):
        seen.append(f"open {arguments[0]} to write")
environment = dict(os.environ)
handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
real = type(os.environ).__getitem__
def read(self, key):
    caller = sys._getframe(1)
    while caller.f_globals.get("__name__", "") in ("os", "collections.abc", "_collections_abc"):
        caller = caller.f_back
    module = caller.f_globals.get("__name__", "")
    if watching and module.partition(".")[0] in ("bot", "cli", "config", "contract", "health", "workers"):
        seen.append(f"{module} reads ${key}")
    return real(self, key)
type(os.environ).__getitem__ = read
sys.addaudithook(watch)
__import__(sys.argv[1])
watching = False
if dict(os.environ) != environment:
    seen.append("changes the environment")
if threading.active_count() > 1:
    seen.append(f"threads {[thread.name for thread in threading.enumerate()]}")
if multiprocessing.get_start_method(allow_none=True) is not None:
    seen.append("sets the start method")
if handlers != [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]:
    seen.append("sets a signal handler")
print(json.dumps({"seen": seen, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def module_names() -> list[str]:
    """Every module of ours."""
    found = []
    for package in PACKAGES:
        found.append(package)
        inside = pkgutil.walk_packages([str(CHECKOUT / package)], prefix=f"{package}.")
        found.extend(info.name for info in inside)
    return found


def below_engine(module: str) -> bool:
    """Whether the module is one of those that only the engine process imports."""
    return module.startswith(("workers.engine.engines.", "workers.engine.local"))


@pytest.mark.parametrize("module", [name for name in module_names() if not below_engine(name)])
def test_importing_has_no_effect(module: str) -> None:
    """Importing a module opens no connection, file to write or process, starts no thread, and reads no environment."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, module], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["seen"] == []
    heavy = TORCH if module.startswith("workers") else HEAVY
    assert sorted(set(heavy) & set(report["modules"])) == []


FAULTY = """
import multiprocessing, os, signal, socket, subprocess, sys, threading, time
os.environ.get("HOME")
os.environ["LEFT_BEHIND"] = "1"
socket.socket().bind(("127.0.0.1", 0))
subprocess.Popen([sys.executable, "-c", ""]).wait()
open("written", "w").close()
threading.Thread(target=time.sleep, args=(1,), daemon=True, name="lingering").start()
multiprocessing.set_start_method("spawn")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""


def test_the_probe_sees_what_it_is_for(tmp_path: Path) -> None:
    """A module that does everything it must not is told of each."""
    (tmp_path / "bot.py").write_text(FAULTY)

    done = subprocess.run(
        [sys.executable, "-c", PROBE, "bot"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)["seen"]
    for fault in (
        "bot reads $HOME",
        "changes the environment",
        "socket.bind",
        "subprocess.Popen",
        "open written to write",
        "threads ['MainThread', 'lingering']",
        "sets the start method",
        "sets a signal handler",
    ):
        assert fault in seen


def test_contract_imports_the_standard_library_alone() -> None:
    """The contract can be read by a program that has nothing of ours installed."""
    outside: set[str] = set()
    for file in (CHECKOUT / "contract").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""] if node.level == 0 else []
            outside.update(name.partition(".")[0] for name in names)

    assert sorted(outside - set(sys.stdlib_module_names)) == ["contract"]


def test_only_settings_read_the_environment() -> None:
    """Nobody reads the environment but the settings, so that `config/fennel.toml` lists all that can be set."""
    readers = []
    for package in PACKAGES:
        for file in (CHECKOUT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                    continue
                if node.value.id == "os" and node.attr in ("environ", "environb", "getenv", "getenvb"):
                    readers.append(str(file.relative_to(CHECKOUT)))

    assert sorted(set(readers)) == ["config/environment.py"]
