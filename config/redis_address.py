"""Where Redis is, and who we are to it: all that a program has to know before it connects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

SCHEMES = ("redis", "rediss", "unix")
SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A server by its URL, or the one that sentinels name: then `url` is empty.

    `url` has no user and no password in it. Where `password` is empty, it is what stands in `password_file` when a
    connection is made, and none as long as there is no such file. `tls` says whether the server and the sentinels speak
    TLS; the files are PEM and empty where nothing is named: then the system's authorities are trusted, and no
    certificate is shown.
    """

    url: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_user: str = ""
    sentinel_password: str = field(default="", repr=False)

    @classmethod
    def of_url(
        cls,
        url: str,
        user: str = "",
        password: str = "",
        ca_file: str = "",
        certificate_file: str = "",
        key_file: str = "",
    ) -> Self:
        """The server at a URL, whose own user and password win. Raises ValueError, without the URL in it."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError("it has to begin with redis://, rediss:// or unix://")
        host = parts.netloc.rpartition("@")[2]
        try:
            named, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError("its port is no number, or a sign in the password has to be written as %XX") from None
        if parts.scheme == "unix" and not parts.path:
            raise ValueError("it names no path: unix:///run/redis.sock")
        if parts.scheme != "unix" and not named:
            raise ValueError("it names no host: redis://HOST:6379")
        return cls(
            url=parts._replace(netloc=host).geturl() if parts.scheme != "unix" else _unix(parts.path, parts.query),
            user=unquote(parts.username or "") or user,
            password=unquote(parts.password or "") or password,
            tls=parts.scheme == "rediss",
            ca_file=ca_file,
            certificate_file=certificate_file,
            key_file=key_file,
        )

    @classmethod
    def of_socket(cls, path: Path, user: str = "", password: str = "") -> Self:
        """The server behind a unix socket."""
        return cls(url=_unix(str(path)), user=user, password=password)

    def login(self) -> tuple[str, str]:
        """User and password as they are now; both empty where we come as nobody. Raises OSError."""
        if self.password or not self.password_file:
            return self.user, self.password
        try:
            password = Path(self.password_file).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            password = ""
        return (self.user, password) if password else ("", "")

    @property
    def shown(self) -> str:
        """For people: where it is, without user, password and options."""
        if self.sentinels:
            return f"{self.service} of the sentinels {shown_sentinels(self.sentinels)}"
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}"

    @property
    def url_with_password(self) -> str:
        """For programs of others that take a URL, with the password and the TLS files in it: not to be shown.

        With sentinels it has the form that rq-dashboard reads.
        """
        user, password = self.login()
        who = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
        if self.sentinels:
            return f"redis+sentinel://{who}{shown_sentinels(self.sentinels)}/{quote(self.service, safe='')}/0"
        parts = urlsplit(self.url)
        files = {"ssl_ca_certs": self.ca_file, "ssl_certfile": self.certificate_file, "ssl_keyfile": self.key_file}
        query = dict(parse_qsl(parts.query)) | {name: file for name, file in files.items() if file and self.tls}
        whole = f"{parts.scheme}://{who}{parts.netloc}{parts.path}"
        return whole + (f"?{urlencode(query)}" if query else "")


def parse_sentinel(text: str) -> tuple[str, int]:
    """``host``, ``host:port`` or ``[IPv6]:port``. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.path or "@" in text or any(letter.isspace() for letter in text):
        raise ValueError(f"{text!r} is no sentinel: write HOST:{SENTINEL_PORT}")
    return host, SENTINEL_PORT if port is None else port


def shown_sentinels(sentinels: Sequence[tuple[str, int]]) -> str:
    """The sentinels as they are written in settings, with commas between."""
    return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in sentinels)


def _unix(path: str, query: str = "") -> str:
    return f"unix://{path}" + (f"?{query}" if query else "")
