"""Migrations lead to the tables that the code has, and what goes wrong is said in a sentence."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, inspect, text

from maskgate.errors import StoreError
from maskgate.events.credentials import Address
from maskgate.events.database import open_database, reading, upgrade, writing
from maskgate.events.database.layout import OUTBOX, STORE, waiting


@pytest.fixture
def engine(address: Address) -> Any:
    opened = open_database(address)
    yield opened
    opened.dispose()


@pytest.fixture
def outbox(tmp_path: Path) -> Any:
    opened = open_database(Address(f"sqlite:///{tmp_path / 'outbox.db'}"))
    upgrade(opened, "outbox")
    yield opened
    opened.dispose()


def add(engine: Any, *rows: dict[str, Any], before: str = "SELECT 1") -> None:
    """Writes rows in one transaction, after a statement."""
    with writing(engine) as connection:
        connection.exec_driver_sql(before)
        for row in rows:
            connection.execute(insert(waiting).values(row))


def fill(engine: Any) -> tuple[int, str]:
    """Writes until it fails: the number of rows written, and the error."""
    kept = 0
    while True:
        try:
            add(engine, {"id": str(kept), "made_ms": 1, "event": "x" * 20_000})
        except StoreError as error:
            return kept, str(error)
        kept += 1


def test_migrations_make_the_stores_tables(engine: Any) -> None:
    upgrade(engine, "store")
    upgrade(engine, "store")
    with reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), STORE) == []
        assert {"events", "counts"} <= set(inspect(connection).get_table_names())


def test_migrations_make_the_outboxs_tables(outbox: Any) -> None:
    with reading(outbox) as connection:
        assert compare_metadata(MigrationContext.configure(connection), OUTBOX) == []


def test_threads_may_migrate_at_once(engine: Any) -> None:
    errors: list[Exception] = []

    def run() -> None:
        try:
            upgrade(engine, "store")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_processes_may_migrate_at_once(address: Address) -> None:
    program = "import sys\n" + "\n".join(
        (
            "from maskgate.events.credentials import Address",
            "from maskgate.events.database import open_database, upgrade",
            "engine = open_database(Address(sys.argv[1]))",
            "print('ready', flush=True)",
            "sys.stdin.readline()",
            "upgrade(engine, 'store')",
        )
    )
    command = [sys.executable, "-c", program, address.reveal()]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        assert (process.communicate()[1], process.returncode) == ("", 0)


OPENING = """
import sys
from maskgate.events.credentials import Address
from maskgate.events.database.engine import open_database, writing
for line in sys.stdin:
    with writing(open_database(Address("sqlite:///" + line.strip()))):
        pass
    print("done", flush=True)
"""


def test_processes_may_make_an_sqlite_file_at_once(tmp_path: Path) -> None:
    """SQLite does not wait by itself while another one changes a new file's journal."""
    command = [sys.executable, "-c", OPENING]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    answers = []
    for number in range(25):
        for process in processes:
            process.stdin.write(f"{tmp_path}/{number}.db\n")
            process.stdin.flush()
        answers.append({process.stdout.readline() for process in processes})
    for process in processes:
        process.communicate(timeout=20)
    assert answers == [{"done\n"}] * 25


def test_a_database_of_a_newer_version_is_refused(engine: Any) -> None:
    upgrade(engine, "store")
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'store9999'"))
    with pytest.raises(StoreError, match="made by a newer maskgate"):
        upgrade(engine, "store")


def test_an_error_takes_all_of_a_transaction_back(outbox: Any) -> None:
    with pytest.raises(StoreError):
        add(outbox, {"id": "a", "made_ms": 1, "event": "{}"}, {"id": "a", "made_ms": 1, "event": "{}"})
    with reading(outbox) as connection:
        assert connection.execute(text("SELECT count(*) FROM waiting")).scalar() == 0


def test_files_are_for_their_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.db"
    engine = open_database(Address(f"sqlite:///{path}"))
    upgrade(engine, "store")
    for file in [path.parent, *path.parent.iterdir()]:
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    engine.dispose()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"something else, and rather long " * 100)
    engine = open_database(Address(f"sqlite:///{path}"))
    with pytest.raises(StoreError, match=f"the database {path} is damaged; move it away"):
        upgrade(engine, "store")
    assert path.read_bytes().startswith(b"something else")
    engine.dispose()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written: "):
        open_database(Address(f"sqlite:///{tmp_path / 'file' / 'a.db'}"))


def test_an_sqlite_database_that_may_not_grow(outbox: Any) -> None:
    """SQLite's own limit on pages gives the very error that a full disk gives."""
    with pytest.raises(StoreError, match="the disk is full; make room there"):
        add(outbox, {"id": "a", "made_ms": 1, "event": "x" * 100_000}, before="PRAGMA max_page_count = 20")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        engine = open_database(Address(f"sqlite:///{disk / 'a.db'}"))
        upgrade(engine, "outbox")
        kept, sentence = fill(engine)
        assert sentence.endswith("cannot be written: the disk is full; make room there")
        assert kept > 0
        with reading(engine) as connection:
            assert connection.execute(text("SELECT count(*) FROM waiting")).scalar() == kept
        engine.dispose()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
