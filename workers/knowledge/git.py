"""Git repositories as folders of documents: cloned by the git program, without hooks, filters or a shell."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import urllib.parse
from pathlib import Path

from config.environment import environment_with
from workers.knowledge.document import KnowledgeError

_SCHEMES = ("https", "ssh", "file")
_SHORT_SSH = re.compile(r"[\w.-]+@[\w.-]+:(?!//)[^\s:]+")  # git@host:owner/repository.git
_TIMEOUT_S = 900.0
_SAFE = (
    # A repository is a stranger's: nothing in it runs, and nothing outside the three ways is fetched.
    *("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.symlinks=false", "core.protectHFS=true"),
    *("core.protectNTFS=true", "submodule.recurse=false", "filter.lfs.smudge=", "filter.lfs.process="),
    *("filter.lfs.required=false", "advice.detachedHead=false", "gc.auto=0", "maintenance.auto=false"),
)
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": ":".join(_SCHEMES),
    "GIT_TERMINAL_PROMPT": "0",  # nobody sits there to answer
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "LC_ALL": "C",
}


def is_git_url(place: str) -> bool:
    """Whether this names a repository rather than a folder."""
    return urllib.parse.urlsplit(place).scheme != "" or bool(_SHORT_SSH.fullmatch(place))


def checkout(url: str, branch: str, folder: Path) -> Path:
    """Fetch the newest state of a branch (the main one where none is named) below the folder; returns where it is.

    Raises KnowledgeError with git's own words where that fails; what was fetched before stays.
    """
    _check(url, branch)
    place = folder / hashlib.sha256(f"{url}\0{branch}".encode()).hexdigest()[:24]
    if shutil.which("git") is None:
        raise KnowledgeError("there is no git program: install git, then run it again")
    if not (place / ".git").is_dir():
        # Cloned beside and then renamed, so that what stands in its place is whole.
        fresh = place.with_name(f"{place.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        named = ("--branch", branch) if branch else ()
        arguments = ("--template=", "--depth=1", "--single-branch", "--no-tags", "--no-recurse-submodules", *named)
        _git(None, "clone", "--quiet", *arguments, "--", url, str(fresh))
        fresh.rename(place)
    else:
        (place / ".git" / "index.lock").unlink(missing_ok=True)  # of a git that was killed: we alone use this folder
        _git(place, "fetch", "--quiet", "--depth=1", "--no-tags", "--force", "origin", branch or "HEAD")
        _git(place, "reset", "--quiet", "--hard", "FETCH_HEAD")
        _git(place, "clean", "--quiet", "-ffdx")
    return place


def web_address(url: str, branch: str) -> str:
    """Where the repository's files are shown, for a host that is known to show them; else nothing."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" and parts.hostname == "github.com":
        return f"{url.removesuffix('/').removesuffix('.git')}/blob/{branch or 'HEAD'}/{{path}}"
    if parts.scheme == "https" and parts.hostname == "gitlab.com":
        return f"{url.removesuffix('/').removesuffix('.git')}/-/blob/{branch or 'HEAD'}/{{path}}"
    return ""


def _check(url: str, branch: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in _SCHEMES and not _SHORT_SSH.fullmatch(url):
        raise KnowledgeError(f"{url} is no address that is fetched: https://, ssh://, file:// or git@HOST:PATH")
    if parts.password or (parts.username and parts.scheme == "https"):
        raise KnowledgeError(
            f"the address of {parts.hostname} holds a secret, which would stand in every list: "
            f"leave it to git's credential helper, or use ssh"
        )
    if url.startswith("-") or branch.startswith("-") or any(map(str.isspace, url + branch)):
        raise KnowledgeError(f"{url} {branch} is no address and branch of a repository")


def _git(place: Path | None, *arguments: str) -> None:
    where = ("-C", str(place)) if place else ()
    safe = [word for setting in _SAFE for word in ("-c", setting)]
    try:
        done = subprocess.run(
            ["git", *safe, *where, *arguments],
            env=environment_with(**_ENVIRONMENT),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise KnowledgeError(f"git {arguments[0]} took longer than {_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise KnowledgeError(f"git {arguments[0]} failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
