"""Settings: read once at the start, frozen, and wrong ones stop the program with a sentence.

This is the only module that reads the environment.
Precedence: environment, ``.env`` in the checkout, ``fennel.toml`` in the home folder, and the defaults in
``config/fennel.toml``, which is the list of all keys.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as PydanticSettingsError

from config.redis_address import RedisAddress, parse_sentinel
from config.redis_users import USERS_FOLDER, Role, password_file
from contract.errors import FennelError

DEFAULTS_FILE = Path(__file__).with_name("fennel.toml")
HOME_FILE = "fennel.toml"
CHECKOUT = Path(__file__).resolve().parent.parent
DOTENV_FILE = CHECKOUT / ".env"
PREFIX = "FENNEL_"
# Not in the file: where everything is, and which Redis server program `fennel up` runs.
OUTSIDE_THE_FILE = ("FENNEL_HOME", "FENNEL_REDIS_SERVER")
SUPERVISOR_PREFIX = "FENNEL_SUPERVISOR_"
NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")  # a folder for each, from the driver
MAX_SOCKET_PATH_BYTES = 107
# supervisord binds its socket under a name with its process id, and renames it.
LONGEST_SOCKET_SUFFIX = ".4194304"


TenantId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*:[^\s:]+$")]
MemberId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*:[^\s:]+:\S+$")]


class SettingsError(FennelError):
    """A setting that cannot be used; the sentence names the key, the value and what is wanted."""


class Section(BaseModel):
    """Base of the sections: frozen, and refusing keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


OwnSection = TypeVar("OwnSection", bound=Section)


class RedisSettings(Section):
    """Where the queue is, and who we are there."""

    url: str
    port: int = Field(ge=0, le=65535)
    replicas: int = Field(ge=0, le=16)
    user: str = Field(pattern=r"^\S*$")
    password: SecretStr
    sentinels: list[str]
    sentinel_service: str = Field(pattern=r"^\S*$")
    sentinel_tls: bool
    sentinel_user: str = Field(pattern=r"^\S*$")
    sentinel_password: SecretStr
    ca_file: str
    certificate_file: str
    key_file: str
    roles: bool

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        if url:
            RedisAddress.of_url(url)
        return url

    @field_validator("sentinels")
    @classmethod
    def _somewhere(cls, sentinels: list[str], info: ValidationInfo) -> list[str]:
        for one in sentinels:
            parse_sentinel(one)
        if sentinels and info.data.get("url"):
            raise ValueError("either sentinels tell where the server is, or redis.url: leave one of them empty")
        return sentinels

    @field_validator("sentinel_service")
    @classmethod
    def _which(cls, service: str, info: ValidationInfo) -> str:
        if info.data.get("sentinels") and not service:
            raise ValueError("the sentinels have to be told which server is meant, such as fennel")
        return service

    @field_validator("ca_file", "certificate_file", "key_file")
    @classmethod
    def _readable(cls, file: str, info: ValidationInfo) -> str:
        if not file:
            return file
        if not (info.data.get("sentinel_tls") or info.data.get("url", "").startswith("rediss://")):
            # Whoever names a certificate means to be encrypted.
            raise ValueError("it needs TLS: redis.url begins with rediss://, or redis.sentinel_tls is true")
        if not os.access(file, os.R_OK):
            raise ValueError("there is no such file, or this user may not read it")
        return file

    @property
    def is_embedded(self) -> bool:
        """Whether the server is the one that Fennel starts."""
        return not self.url and not self.sentinels


class QueueSettings(Section):
    """How long a question may wait, and how many may."""

    max_queued: int = Field(ge=1)
    queued_notice_after_s: float = Field(gt=0)
    answer_ttl_s: float = Field(gt=0)


class WorkerSettings(Section):
    """How many questions are answered at a time, and what happens when a worker stops."""

    processes: int = Field(ge=0, le=64)
    host: str = Field(pattern=r"^[A-Za-z0-9._-]*$")
    max_in_flight: int = Field(ge=1, le=1024)
    job_timeout_s: float = Field(gt=0)
    drain_s: float = Field(ge=0)
    lease_s: float = Field(ge=2)
    max_reclaims: int = Field(ge=0)
    partial_interval_s: float = Field(gt=0)


ENGINE_KINDS = ("transformers", "openai", "hybrid", "echo")


class EngineSettings(Section):
    """The language model."""

    kind: str
    model: str = Field(min_length=1)
    device: Literal["auto", "cpu", "cuda"]
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"]
    threads: int = Field(ge=0, le=1024)
    max_prompt_tokens: int = Field(ge=64)
    max_new_tokens: int = Field(ge=1)
    start_timeout_s: float = Field(gt=0)
    step_timeout_s: float = Field(gt=0)
    remote_urls: list[Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]]
    remote_key: SecretStr
    remote_model: str
    remote_timeout_s: float = Field(gt=0)
    remote_retries: int = Field(ge=0, le=20)
    remote_requests_per_minute: int = Field(ge=0)
    remote_tokens_per_minute: int = Field(ge=0)
    remote_price: float = Field(ge=0)
    remote_price_new: float = Field(ge=0)
    hybrid_first: Literal["local", "remote"]
    hybrid_in_hand: int = Field(ge=1)

    @field_validator("kind")
    @classmethod
    def _known_or_a_place(cls, kind: str) -> str:
        if kind not in ENGINE_KINDS and not re.fullmatch(r"\w+(\.\w+)+:\w+", kind):
            wish = ", ".join(f"'{one}'" for one in ENGINE_KINDS)
            raise PydanticCustomError("engine_kind", f"input should be {wish}, or MODULE:CLASS of an engine of yours")
        return kind

    @field_validator("remote_urls")
    @classmethod
    def _somewhere(cls, urls: list[str], info: ValidationInfo) -> list[str]:
        kind = info.data.get("kind")
        if kind in ("openai", "hybrid") and not urls:
            raise ValueError(f'engine.kind={kind} needs the address of a server, such as ["http://gpu-host:8000/v1"]')
        return urls


class KnowledgeSettings(Section):
    """How documents are cut and found."""

    embedder: str = Field(min_length=1)
    reranker: Literal["none", "sentences", "likelihood"]
    reranker_model: str
    postgres_url: SecretStr
    max_file_mb: int = Field(ge=1)
    parse_memory_mb: int = Field(ge=64)
    parse_timeout_s: float = Field(gt=0)
    passage_tokens: int = Field(ge=20)
    passages: int = Field(ge=1, le=20)


class GateSettings(Section):
    """When to say that it is not here."""

    min_score: float = Field(ge=0, le=1)
    why_ttl_s: float = Field(gt=0)


class ConversationSettings(Section):
    """How much of a thread is remembered."""

    ttl_s: float = Field(gt=0)
    max_turns: int = Field(ge=0)
    max_tokens: int = Field(ge=0)


class AccessSettings(Section):
    """Who may ask, by the platforms' own ids and never by a name, which anybody can take."""

    allow_tenants: list[TenantId]
    deny_tenants: list[TenantId]
    allow_channels: list[MemberId]
    deny_channels: list[MemberId]
    allow_people: list[MemberId]
    deny_people: list[MemberId]
    allow_bots: list[MemberId]
    admins: list[MemberId]
    direct_messages: Literal["allow", "people", "deny"]


class LimitsSettings(Section):
    """How many questions are taken from whom."""

    window_s: float = Field(gt=0)
    person_questions: int = Field(ge=0)
    group_questions: int = Field(ge=0)
    overall_questions: int = Field(ge=0)
    bot_turns: int = Field(ge=1)
    bot_window_s: float = Field(gt=0)


class ChannelSettings(Section):
    """How the bot behaves in a channel."""

    listen: Literal["mention", "ambient"]
    quiet_s: float = Field(gt=0)
    work_hours: str = Field(pattern=r"^$|^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
    work_days: list[Annotated[int, Field(ge=1, le=7)]]
    time_zone: str
    maintainers: list[str]

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("it is no time zone's name, such as Asia/Shanghai") from error
        return name


class RetentionSettings(Section):
    """How long what people said is kept."""

    history_days: float = Field(ge=0)
    feedback_days: float = Field(gt=0)


class BotSettings(Section):
    """The same on every platform."""

    name: str = Field(min_length=1, pattern=r"^\S+$")
    delivery_interval_s: float = Field(gt=0)


class SlackSettings(Section):
    """The Slack app."""

    mode: Literal["socket", "http"]
    bot_token: SecretStr
    app_token: SecretStr
    signing_secret: SecretStr
    api_url: str
    link_timeout_s: float = Field(gt=0)
    read_back_s: float = Field(ge=0)
    http_host: str
    http_port: int = Field(ge=0, le=65535)


class LarkSettings(Section):
    """The Lark or Feishu app."""

    app_id: str
    app_secret: SecretStr
    verification_token: SecretStr
    encrypt_key: SecretStr
    domain: str
    mode: Literal["long_connection", "webhook"]
    link_timeout_s: float = Field(gt=0)
    webhook_host: str
    webhook_port: int = Field(ge=0, le=65535)
    webhook_path: str = Field(pattern=r"^/\S*$")


class WecomSettings(Section):
    """The WeCom AI bot."""

    mode: Literal["long_connection", "callback"]
    bot_id: str
    secret: SecretStr
    token: SecretStr
    aes_key: SecretStr
    ws_url: str
    callback_host: str
    callback_port: int = Field(ge=0, le=65535)
    api_url: str


class HealthSettings(Section):
    """Where each program tells how it is."""

    host: str = Field(min_length=1)
    port: int = Field(ge=-1, le=65535)


class WeixinSettings(Section):
    """Direct messages of personal WeChat, over iLink."""

    enabled: bool
    base_url: str = Field(pattern=r"^https?://\S+$")


class WebSettings(Section):
    """The web page: a room to ask in, and tabs for operators."""

    enabled: bool
    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    password_hash: SecretStr
    operator_hash: SecretStr
    rooms: list[Annotated[str, Field(pattern=r"^[\w][\w-]{0,31}$")]] = Field(min_length=1)

    @field_validator("rooms")
    @classmethod
    def _nobodys_own(cls, rooms: list[str]) -> list[str]:
        if any(room.startswith("direct") for room in rooms):
            raise ValueError("a name that begins with direct is for the rooms of one person with the bot")
        return rooms


class TracingSettings(Section):
    """Where traces go."""

    endpoint: str = Field(pattern=r"^(https?://\S+)?$")


class DashboardSettings(Section):
    """RQ's dashboard, a program of others."""

    enabled: bool
    port: int = Field(ge=1, le=65535)
    username: str = Field(min_length=1)
    password: SecretStr


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["console", "json"]


class Settings(BaseSettings):
    """All settings. `home` is the one folder that holds all state."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=DOTENV_FILE,
        env_ignore_empty=False,
        # Unknown names are refused by load_settings: pydantic would refuse those of other programs in .env as well.
        extra="ignore",
        frozen=True,
    )

    _role: Role = PrivateAttr(Role.OPERATOR)

    home: Path = Field(default_factory=lambda: _home())
    redis: RedisSettings
    queue: QueueSettings
    worker: WorkerSettings
    engine: EngineSettings
    knowledge: KnowledgeSettings
    gate: GateSettings
    conversation: ConversationSettings
    access: AccessSettings
    limits: LimitsSettings
    channel: ChannelSettings
    channels: dict[MemberId, ChannelSettings]
    platforms: dict[str, dict[str, Any]]
    retention: RetentionSettings
    bot: BotSettings
    slack: SlackSettings
    lark: LarkSettings
    wecom: WecomSettings
    weixin: WeixinSettings
    web: WebSettings
    health: HealthSettings
    dashboard: DashboardSettings
    tracing: TracingSettings
    log: LogSettings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- the base class names it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources, the strongest first."""
        files = [_home() / HOME_FILE, DEFAULTS_FILE]
        return (
            init_settings,
            env_settings,
            dotenv_settings,
            *(TomlConfigSettingsSource(settings_cls, toml_file=file) for file in files),
        )

    @field_validator("channels", mode="before")
    @classmethod
    def _with_defaults(cls, channels: Any, info: ValidationInfo) -> Any:
        """A channel's own table says only what is different there."""
        common = info.data.get("channel")
        if not isinstance(channels, dict) or common is None:
            return channels
        return {
            name: {**common.model_dump(), **own} if isinstance(own, dict) else own for name, own in channels.items()
        }

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @property
    def run_folder(self) -> Path:
        """Sockets and pid files; mode 0700."""
        return self.home / "run"

    @property
    def health_folder(self) -> Path:
        """Where each program's metrics are, as Prometheus' file_sd reads it, and what it said last."""
        return self.run_folder / "health"

    @property
    def logs_folder(self) -> Path:
        """What the programs print."""
        return self.home / "logs"

    @property
    def models_folder(self) -> Path:
        """Model weights."""
        return self.home / "models"

    @property
    def index_file(self) -> Path:
        """The knowledge base."""
        return self.home / "knowledge" / "index.sqlite3"

    @property
    def bindings_copy_file(self) -> Path:
        """What a worker last saw of the channels' bindings."""
        return self.index_file.with_name("bindings.json")

    @property
    def gate_folder(self) -> Path:
        """Where `fennel kb tune` writes what it learned, a file for each knowledge base."""
        return self.home / "gate"

    @property
    def uploads_folder(self) -> Path:
        """The documents that were sent to the web page, a folder for each knowledge base."""
        return self.home / "documents"

    @property
    def redis_folder(self) -> Path:
        """The embedded server's append-only file."""
        return self.home / "redis"

    @property
    def redis_users_folder(self) -> Path:
        """The passwords of Redis' users, and the embedded server's ACL file; mode 0700."""
        return self.redis_folder / USERS_FOLDER

    @property
    def redis_socket(self) -> Path:
        """The embedded server's unix socket."""
        return self.run_folder / "redis.sock"

    @property
    def supervisor_socket(self) -> Path:
        """Where supervisord listens."""
        return self.run_folder / "supervisor.sock"

    @property
    def redis_address(self) -> RedisAddress:
        """The server that everything uses, and who this program is there."""
        address, redis = self._address_by_settings, self.redis
        if (redis.is_embedded or redis.roles) and not (address.user or address.password):
            file = str(password_file(self.redis_users_folder, self._role))
            return replace(address, user=self._role.value, password_file=file)
        return address

    @property
    def _address_by_settings(self) -> RedisAddress:
        redis = self.redis
        user, password = redis.user, redis.password.get_secret_value()
        files = {"ca_file": redis.ca_file, "certificate_file": redis.certificate_file, "key_file": redis.key_file}
        if redis.url:
            return RedisAddress.of_url(redis.url, user, password, **files)
        if not redis.sentinels:
            return RedisAddress.of_socket(self.redis_socket, user, password)
        return RedisAddress(
            user=user,
            password=password,
            tls=redis.sentinel_tls,
            sentinels=tuple(parse_sentinel(one) for one in redis.sentinels),
            service=redis.sentinel_service,
            sentinel_user=redis.sentinel_user,
            sentinel_password=redis.sentinel_password.get_secret_value(),
            **files,
        )

    def worker_name(self, program: str) -> str:
        """What a worker of this host is called in Redis, where those of other hosts are too."""
        return f"{program}@{self.worker.host}" if self.worker.host else program

    @property
    def secrets(self) -> list[str]:
        """Every secret in the settings, and the password of Redis: what no log may show."""
        sections = [getattr(self, name) for name in type(self).model_fields if name != "home"]
        values = [
            value
            for section in sections
            if isinstance(section, BaseModel)
            for _, value in section
            if isinstance(value, SecretStr)
        ]
        try:
            _, password = self.redis_address.login()
        except OSError:
            password = ""  # what we may not read we cannot tell either
        # As it stands in a URL too.
        found = (*(value.get_secret_value() for value in values), password, quote(password, safe=""))
        return list(dict.fromkeys(secret for secret in found if secret))

    def of_platform(self, name: str, model: type[OwnSection]) -> OwnSection:
        """The table ``[platforms.NAME]`` as the platform's own model reads it. Raises SettingsError."""
        try:
            return model.model_validate(self.platforms.get(name, {}))
        except ValidationError as error:
            raise SettingsError(f"[platforms.{name}] cannot be used: {_sentence(error)}") from error

    def make_folders(self) -> None:
        """Make the home folder and what stands in it; raises SettingsError where it cannot be written."""
        try:
            folders = (
                self.run_folder,
                self.health_folder,
                self.logs_folder,
                self.models_folder,
                self.redis_folder,
                self.index_file.parent,
            )
            for folder in (self.home, *folders):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.run_folder.chmod(0o700)
            probe = self.run_folder / f".probe-{os.getpid()}"
            probe.write_text("may this folder be written?\n")
            probe.unlink()
        except OSError as error:
            raise SettingsError(
                f"FENNEL_HOME={self.home} cannot be written ({error.strerror}): name a folder that can, "
                f"or free some space"
            ) from error
        if len(os.fsencode(self.supervisor_socket)) + len(LONGEST_SOCKET_SUFFIX) > MAX_SOCKET_PATH_BYTES:
            raise SettingsError(
                f"FENNEL_HOME={self.home} is too long a path for the sockets in it "
                f"(a socket's path has {MAX_SOCKET_PATH_BYTES} bytes at most): name a shorter one"
            )


def load_settings(role: Role = Role.OPERATOR) -> Settings:
    """Read all settings, for a program that is `role` to Redis.

    Raises SettingsError with one sentence for the first thing that is wrong.
    """
    try:
        defaults = _read(DEFAULTS_FILE)
        known = {(section, key) for section, keys in defaults.items() for key in keys}
        for name in sorted({*os.environ, *dotenv_values(DOTENV_FILE)}):
            if name.startswith(PREFIX) and name not in OUTSIDE_THE_FILE and not name.startswith(SUPERVISOR_PREFIX):
                _check_known(known, name)
        for section in _read(_home() / HOME_FILE):
            if section not in defaults:
                raise SettingsError(f"{_home() / HOME_FILE} has {section}, which is no section; see config/fennel.toml")
        settings = Settings()
        settings._role = role
        return settings
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from error
    except (PydanticSettingsError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise SettingsError(f"the settings cannot be read: {error}") from error


def redis_server() -> str | None:
    """The server program that FENNEL_REDIS_SERVER names in place of the one that came with Fennel."""
    return os.environ.get("FENNEL_REDIS_SERVER") or dotenv_values(DOTENV_FILE).get("FENNEL_REDIS_SERVER") or None


def environment(**added: str) -> dict[str, str]:
    """This process's environment with these added, for a program that it starts."""
    return {**os.environ, **added}


def tell_libraries(**values: str) -> None:
    """Set these in this process's environment, for libraries that are imported afterwards and read nothing else."""
    os.environ.update(values)


def supervised_program() -> str:
    """The name that supervisord gave this process, such as ``worker_0``; empty where a person started it."""
    return os.environ.get(f"{SUPERVISOR_PREFIX}PROGRAM", "")


def take_one_gpu(settings: Settings, name: str, gpus: Path = NVIDIA_GPUS) -> None:
    """Have this process and those it starts see one GPU, where workers share a machine: each by the number in its name.

    Counts in CUDA_VISIBLE_DEVICES where somebody has set it, else in all that the driver has; more workers than GPUs
    share them. Before anything looks for GPUs.
    """
    number = name.rpartition("_")[2]
    if settings.worker.processes == 1 or not number.isdigit():
        return
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = [one for one in (named or "").split(",") if one.strip()]
    if named is None and gpus.is_dir():
        visible = [str(index) for index, _ in enumerate(gpus.iterdir())]
    if visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[int(number) % len(visible)]


def _home() -> Path:
    named = os.environ.get("FENNEL_HOME") or dotenv_values(DOTENV_FILE).get("FENNEL_HOME")
    return Path(named or CHECKOUT / "var").expanduser().absolute()


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            return tomllib.load(opened)
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _check_known(known: set[tuple[str, str]], name: str) -> None:
    section, _, key = name.removeprefix(PREFIX).lower().partition("__")
    # An added platform knows its own settings.
    if (section, key) in known or section == "platforms":
        return
    names = [f"{PREFIX}{one}__{other}".upper() for one, other in known]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise SettingsError(f"{name} is no setting of Fennel{hint}; config/fennel.toml lists them all")


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"] if part != "[key]"]
    # A channel's table stands in the file alone: its name is no name for the environment.
    name = ".".join(path) if path[0] == "channels" else PREFIX + "__".join(path).upper()
    if first["type"] == "extra_forbidden":
        return f"{name} is no setting of Fennel; config/fennel.toml lists them all"
    # A secret's value must not reach a log, even where it is wrong.
    secret = any(word in part for part in path[1:] for word in ("token", "secret", "key", "url", "hash", "password"))
    shown = "(not shown)" if secret else repr(first["input"])
    return f"{name}={shown} cannot be used: {first['msg'][0].lower()}{first['msg'][1:]}"
