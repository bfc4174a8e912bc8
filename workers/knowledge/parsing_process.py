"""The parsing process: reads strangers' files, one after another, with its hands tied.

Started by `parsing.py` as a fresh program with an empty environment. It gets bytes through a pipe and gives text back;
it cannot open a file or a connection, and lives no longer than its pipes.
"""

from __future__ import annotations

import codecs
import contextlib
import json
from multiprocessing.connection import Connection
from typing import Any

from workers.knowledge.document import DocumentError
from workers.knowledge.kind import KINDS
from workers.knowledge.parse import load, parse
from workers.knowledge.sandbox import allow_cpu, lock_down

_CODECS = (
    *("ascii", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1251", "cp1252"),
    *("gb18030", "gbk", "gb2312", "big5", "big5hkscs", "shift_jis", "euc_jp", "iso2022_jp", "euc_kr", "koi8-r"),
    *("iso8859-2", "iso8859-15", "cp437", "idna", "unicode_escape", "raw_unicode_escape", "charmap"),
)
_GRACE_S = 5.0  # over the time limit that the other side keeps: it ends us first


def main() -> None:
    """Serve until the pipe ends."""
    requests, replies = Connection(0, writable=False), Connection(1, readable=False)
    with contextlib.suppress(EOFError, BrokenPipeError):
        settings = json.loads(requests.recv_bytes())
        _import_all(settings["names"])
        isolated = lock_down(settings["memory_bytes"])
        replies.send_bytes(json.dumps({"isolated": isolated}).encode())
        while True:
            name = json.loads(requests.recv_bytes())
            content = requests.recv_bytes()
            allow_cpu(settings["timeout_s"] + _GRACE_S)
            replies.send_bytes(json.dumps(_reply(name, content, settings["max_unpacked_bytes"])).encode())


def _reply(name: str, content: bytes, max_unpacked_bytes: int) -> dict[str, Any]:
    try:
        reading = parse(name, content, max_unpacked_bytes)
    except DocumentError as error:
        return {"reason": str(error)}
    except MemoryError:
        return {"out_of_memory": True}
    except Exception as error:  # a library's fault on a stranger's file: the file's reason, whatever it is
        return {"reason": f"breaks the library that reads it ({type(error).__name__}: {str(error)[:120]})"}
    sections = [[section.heading, section.blocks, section.page] for section in reading.sections]
    return {"title": reading.title, "sections": sections, "note": reading.note}


def _import_all(names: list[str]) -> None:
    """Import what files of these names need, of all kinds where a name tells none."""
    import puremagic  # noqa: F401 -- used where a reason names what a file is

    for codec in _CODECS:
        codecs.lookup(codec)
    for name in names:
        load(name)
    if not names:
        for kind in KINDS:
            for suffix in kind.suffixes:
                load(f"a{suffix}")


if __name__ == "__main__":
    main()
