"""What has to be so before the stack is started; each check raises a sentence that says what to do."""

from __future__ import annotations

import os
import socket

import psutil

from cli.stack import StackError
from config.environment import redis_server
from config.settings import Settings
from health.surroundings import FREE_MB, free_mb

LOOPBACK = "127.0.0.1"
FREE_FOR_MODEL_MB = 1000
"""More, as long as the model has not been put into the home folder."""


def check(settings: Settings) -> None:
    """Make the folders and check everything; raises SettingsError or StackError."""
    settings.make_folders()
    check_disk(settings)
    if settings.redis.is_embedded:
        check_redis_server()
        check_port(settings.redis.port)


def check_disk(settings: Settings) -> None:
    """Raise StackError where the home folder's disk is full."""
    wanted_mb = FREE_MB
    if (
        settings.worker.processes
        and settings.engine.kind in ("transformers", "hybrid")
        and not any(settings.models_folder.iterdir())
    ):
        wanted_mb += FREE_FOR_MODEL_MB
    left_mb = free_mb(settings)
    if left_mb < wanted_mb:
        raise StackError(
            f"the disk of {settings.home} has {left_mb} MB left and Fennel needs {wanted_mb}: "
            f"free some, or set FENNEL_HOME to a folder on another disk"
        )


def check_redis_server() -> None:
    """Raise StackError where FENNEL_REDIS_SERVER names something that cannot be run."""
    named = redis_server()
    if named is not None and not os.access(named, os.X_OK):
        raise StackError(
            f"FENNEL_REDIS_SERVER={named} is no program that can be run: name the path of a Redis or Valkey server, "
            f"or leave it out and Fennel uses its own"
        )


def check_port(port: int) -> None:
    """Raise StackError where somebody else listens on the embedded server's port; 0 is no port."""
    if port == 0:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server does it: connections that were closed a moment ago are in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise StackError(
                f"port {port} on {LOOPBACK} cannot be used ({_holder(port) or error.strerror}): "
                f"stop that, or set FENNEL_REDIS__PORT to another port (0: no port, the socket alone)"
            ) from error


def _holder(port: int) -> str:
    """Who listens there, as far as this user may know."""
    try:
        connections = psutil.net_connections("inet")
    except psutil.AccessDenied:
        return "another program listens there"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()}, process {connection.pid}, listens there"
            except psutil.NoSuchProcess:
                break
    return ""
