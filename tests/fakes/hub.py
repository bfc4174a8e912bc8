"""A model hub on loopback, as far as `huggingface_hub` asks one: a model's list of files, and the files."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

REVISION = "0123456789abcdef0123456789abcdef01234567"


class _Server(ThreadingHTTPServer):
    """Serves one folder as the model of this name."""

    def __init__(self, owner_and_name: str, folder: Path, spoilt: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner_and_name, self.folder, self.spoilt = owner_and_name, folder, spoilt


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        model, folder, name = self.server.owner_and_name, self.server.folder, path.rpartition("/")[2]
        if path.startswith(f"/api/models/{model}/tree/"):
            files = [_listed(file) for file in sorted(folder.iterdir())]
            self._send(json.dumps(files).encode(), {"Content-Type": "application/json"}, with_body=with_body)
        elif path.startswith(f"/api/models/{model}"):
            siblings = [{"rfilename": file.name} for file in sorted(folder.iterdir())]
            info = {"id": model, "sha": REVISION, "siblings": siblings, "private": False, "tags": []}
            self._send(json.dumps(info).encode(), {"Content-Type": "application/json"}, with_body=with_body)
        elif path.startswith(f"/{model}/resolve/") and (folder / name).is_file():
            content = (folder / name).read_bytes()
            headers = {"ETag": f'"{_checksum(name, content)}"', "X-Repo-Commit": REVISION}
            if name == self.server.spoilt:
                content = content[:-1] + bytes([content[-1] ^ 1])
            self._send(content, headers, with_body=with_body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, content: bytes, headers: dict[str, str], *, with_body: bool) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
        pass


@contextmanager
def hub(owner_and_name: str, folder: Path, *, spoilt: str = "") -> Iterator[str]:
    """Serve a folder as a model; the file named `spoilt` is given with one byte changed. Gives the hub's address."""
    with _Server(owner_and_name, folder, spoilt) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _listed(file: Path) -> dict[str, object]:
    content = file.read_bytes()
    listed: dict[str, object] = {"type": "file", "path": file.name, "size": len(content), "oid": _git_checksum(content)}
    if file.suffix == ".safetensors":
        listed["lfs"] = {"oid": _checksum(file.name, content), "size": len(content), "pointerSize": 130}
    return listed


def _checksum(name: str, content: bytes) -> str:
    """A hub's: sha256 of large files, git's sha1 of a blob of others."""
    return hashlib.sha256(content).hexdigest() if name.endswith(".safetensors") else _git_checksum(content)


def _git_checksum(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
