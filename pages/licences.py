"""The licences of every package that Fennel's environment holds, as the packages themselves tell them."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement

from config.environment import CHECKOUT
from pages.table import table

LONGEST = 60
"""Where a package puts the whole text of its licence, its classifier has to do."""
# Told by the text of its licence alone.
IN_ITS_FILE = {"atheris": "Apache-2.0", "sigstore-models": "MIT"}
# One licence under several names.
SAME = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}


def pins() -> dict[str, str]:
    """Each package that is pinned for this Python, with its release."""
    lines = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    asked = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {
        one.name: str(one.specifier).removeprefix("==") for one in asked if one.marker is None or one.marker.evaluate()
    }


def licences() -> dict[str, str]:
    """The licence of each pinned package, in the words of its metadata; empty where it tells none."""
    return {name: _licence(name) for name in sorted(pins(), key=str.lower)}


def _licence(name: str) -> str:
    told = metadata.metadata(name).json
    if expression := str(told.get("license_expression", "")):
        return expression
    kinds = [str(one).rpartition("::")[2].strip() for one in told.get("classifier", []) if "License ::" in str(one)]
    named = " or ".join(SAME.get(kind, kind) for kind in kinds if kind not in ("OSI Approved", "DFSG approved"))
    line = str(told.get("license", "")).strip().partition("\n")[0]
    return named or SAME.get(line, line if len(line) <= LONGEST else "") or IN_ITS_FILE.get(name, "")


def table_of_all() -> str:
    """A row for each licence, with the packages under it."""
    under: dict[str, list[str]] = {}
    for name, licence in licences().items():
        under.setdefault(licence or "unknown", []).append(name)
    return table(["Licence", "Packages"], [[licence, ", ".join(names)] for licence, names in sorted(under.items())])
