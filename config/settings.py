"""All settings together, and the folders and addresses that follow from them; frozen.

Precedence: environment, ``.env`` in the checkout, ``fennel.toml`` in the home folder, and the defaults in
``config/fennel.toml``, which is the list of all keys.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, Field, PrivateAttr, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from config.environment import DOTENV_FILE, PREFIX, home_folder
from config.platform_sections import (
    BotSettings,
    LarkSettings,
    SlackSettings,
    WebSettings,
    WecomSettings,
    WeixinSettings,
)
from config.redis_address import RedisAddress
from config.redis_users import USERS_FOLDER, Role, password_file
from config.section import MemberId, Section
from config.sections import (
    AccessSettings,
    ChannelSettings,
    ConversationSettings,
    DashboardSettings,
    EngineSettings,
    GateSettings,
    HealthSettings,
    KnowledgeSettings,
    LimitsSettings,
    LogSettings,
    QueueSettings,
    RedisSettings,
    RetentionSettings,
    TracingSettings,
    WorkerSettings,
)
from config.settings_error import SettingsError, sentence_of

DEFAULTS_FILE = Path(__file__).with_name("fennel.toml")
HOME_FILE = "fennel.toml"
MAX_SOCKET_PATH_BYTES = 107
# supervisord binds its socket under a name with its process id, and renames it.
LONGEST_SOCKET_SUFFIX = ".4194304"

OwnSection = TypeVar("OwnSection", bound=Section)


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

    home: Path = Field(default_factory=home_folder)
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
        files = [home_folder() / HOME_FILE, DEFAULTS_FILE]
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
        redis = self.redis
        address = redis.address(self.redis_socket)
        if (redis.is_embedded or redis.roles) and not (address.user or address.password):
            file = str(password_file(self.redis_users_folder, self._role))
            return replace(address, user=self._role.value, password_file=file)
        return address

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
            raise SettingsError(f"[platforms.{name}] cannot be used: {sentence_of(error)}") from error

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
