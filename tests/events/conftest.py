"""Events to send, and real servers to send them to: PostgreSQL, Mosquitto, HTTP."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from maskgate.events.credentials import Address

_MEMORY = Path("/dev/shm")


def _quick_folder() -> Path | None:
    """Where files are kept in memory, and waiting for a disk costs nothing; None: nowhere here."""
    roomy = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 1 << 28
    return _MEMORY if roomy else None


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder of the test's own, where the many small writes of databases are quick."""
    folder = Path(tempfile.mkdtemp(prefix="maskgate-", dir=_quick_folder()))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(name="free_port", scope="session")
def _free_port() -> Callable[[], int]:
    return free_port


class PostgreSQL:
    """A cluster of its own, on a port of 127.0.0.1, with a password. It can be stopped and started."""

    user, password = "gate", "s3cret-of-the-cluster"

    def __init__(self, programs: Path, folder: Path, account: str | None) -> None:
        self._programs, self._folder, self._account = programs, folder, account
        self.port = free_port()
        (folder / "password").write_text(self.password)
        if account is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, account)
        options = [
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "--wal-segsize=1",
            "-U",
            self.user,
        ]
        self._run("initdb", "-D", "data", "--pwfile", "password", *options)
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\n")
            file.write("unix_socket_directories = ''\nfsync = off\nshared_buffers = 16MB\n")
            file.write("max_wal_size = 16MB\nmin_wal_size = 2MB\n")

    def start(self) -> None:
        self._run("pg_ctl", "-D", "data", "-l", "log", "-w", "-t", "30", "start")

    def stop(self) -> None:
        """At once, connections are cut."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

    def address(self, database: str) -> Address:
        where = f"{self.user}:{self.password}@127.0.0.1:{self.port}"
        return Address(f"postgresql+psycopg://{where}/{database}")

    def empty(self) -> Address:
        """A database without tables; whoever uses it must be done with it."""
        self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return self.address("postgres")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        import psycopg

        where = f"host=127.0.0.1 port={self.port} user={self.user} password={self.password} dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *words: str) -> None:
        # files, not pipes: the server keeps what it inherits
        with tempfile.TemporaryFile() as out:
            command = [str(self._programs / program), *words]
            environment = os.environ | {"LC_ALL": "C"}
            done = subprocess.run(
                command, cwd=self._folder, user=self._account, group=self._account, env=environment,
                extra_groups=[] if self._account else None, stdout=out, stderr=out, timeout=60,
            )  # fmt: skip
            out.seek(0)
            assert done.returncode == 0, out.read().decode(errors="replace")


def _postgresql_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3]))
    beside = shutil.which("initdb")
    path = found[-1] if found else Path(beside).resolve() if beside else None
    return path.parent if path and (path.parent / "pg_ctl").exists() else None


def _account() -> str | None:
    """PostgreSQL does not run as root: another user then."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    pytest.skip("needs a user other than root to run PostgreSQL")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A running cluster; a test that stops it starts it again."""
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip("needs PostgreSQL's programs; scripts/services installs them")
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="maskgate-pg-", dir=_quick_folder()))
    try:
        cluster = PostgreSQL(programs, folder, account)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return Address(f"sqlite:///{tmp_path / 'store' / 'events.db'}")
    cluster: PostgreSQL = request.getfixturevalue("postgresql")
    return cluster.empty()


@pytest.fixture
def postgresql_address(postgresql: PostgreSQL) -> Address:
    return postgresql.empty()


class Receiver:
    """An HTTP server that keeps what is posted, and answers as told.

    ``answers`` are taken one after the other, the last one for ever: a status, a tuple of status and
    headers, or ``"hang"``.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[Any] = [200]
        self.connections = 0
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                receiver.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {k.lower(): v for k, v in self.headers.items()}
                receiver.requests.append((self.path, headers, body))
                answers = receiver.answers
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if answer == "hang":
                    receiver.released.wait(30)
                    self.close_connection = True
                    return
                status, extra = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in extra.items():
                    self.send_header(name, value)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def do_GET(self) -> None:  # what a redirect would become
                receiver.requests.append((self.path, {}, b""))
                self.send_error(405)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that has gone

        self.server = Server(("127.0.0.1", port), Handler)
        self.port: int = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=lambda: self.server.serve_forever(0.02), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    """Starts HTTP receivers."""
    started: list[Receiver] = []

    def start(port: int = 0) -> Receiver:
        started.append(Receiver(port))
        return started[-1]

    yield start
    for receiver in started:
        receiver.close()


@pytest.fixture
def receiver(receivers: Callable[..., Receiver]) -> Receiver:
    return receivers()


class Broker:
    """A Mosquitto of its own; it can be stopped and started again, and forgets everything then."""

    user, password = "gate", "s3cret-of-the-broker"

    def __init__(self, program: str, folder: Path, eventually: Callable[..., Any]) -> None:
        self.port = free_port()
        self._eventually = eventually
        self._command = [program, "-c", str(folder / "mosquitto.conf")]
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        passwords = folder / "passwords"
        passwords.touch(mode=0o600)
        tool = shutil.which("mosquitto_passwd", path=f"{os.environ['PATH']}:/usr/bin:/usr/sbin")
        assert tool is not None
        subprocess.run([tool, "-b", str(passwords), self.user, self.password], check=True)
        (folder / "acl").write_text(
            f"user {self.user}\ntopic readwrite maskgate/#\ntopic readwrite homeassistant/#\n"
        )
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"password_file {passwords}",
            f"acl_file {folder / 'acl'}",
        ]
        if os.geteuid() == 0:
            lines.append("user root")
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        self._eventually(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@pytest.fixture
def broker(tmp_path: Path, eventually: Callable[..., Any]) -> Iterator[Broker]:
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs Mosquitto; scripts/services installs it")
    folder = tmp_path / "broker"
    folder.mkdir()
    started = Broker(program, folder, eventually)
    started.start()
    yield started
    started.stop()
