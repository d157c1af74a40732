"""What children say while they run stays within bounds on the disk that holds PostgreSQL's data."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stack.log_file import LARGE_LOG_BYTES, bound_log
from stack.monitoring.beside_service import BesideService, Choice, MonitoringOptions
from stack.monitoring.free_ports import AskedPorts
from stack.ports import free_port
from stack.postgres.passwords import read_passwords
from stack.process import wait_until
from stack.user_settings import read_user_settings
from tests.monitoring_programs import monitoring_programs
from tests.stack.launched import PATIENCE, Launcher

# Twelve megabytes, no faster than they can be looked at.
TALKATIVE = """
import sys, time
for round in range(120):
    sys.stdout.write(f"{round:099d}\\n" * 1000)
    sys.stdout.flush()
    time.sleep(0.01)
print("that is all", flush=True)
time.sleep(600)
"""
SAID_BYTES = 12_000_000


@pytest.fixture
def beside(folder: Path) -> Iterator[BesideService]:
    """The monitoring beside a service, whose incident receiver talks much."""
    monitoring_programs()
    ports = AskedPorts(free_port(), free_port(), free_port())
    options = MonitoringOptions(Choice.ON, ports, (sys.executable, "-c", TALKATIVE))
    beside = BesideService(options, folder, lambda _: None)
    beside.prepare("127.0.0.1", free_port(), read_user_settings())
    beside.begin()
    yield beside
    beside.stop()


def test_the_log_of_a_part_that_talks_for_days_stays_within_bounds(folder: Path, beside: BesideService) -> None:
    log = folder / "monitoring" / "incidents.log"
    aside = log.with_name("incidents.log.1")
    largest = 0

    def has_said_all() -> bool:
        nonlocal largest
        beside.look()
        largest = max(largest, log.stat().st_size)
        return b"that is all" in log.read_bytes()

    assert wait_until(has_said_all, PATIENCE)

    assert largest < LARGE_LOG_BYTES * 2
    assert log.stat().st_size + aside.stat().st_size < SAID_BYTES
    # A hole would be there if the part wrote on where it was before, instead of appending.
    assert b"\0" not in log.read_bytes() + aside.read_bytes()
    assert aside.read_bytes().count(b"\n") > 1000
    assert aside.stat().st_mode & 0o077 == log.stat().st_mode & 0o077


def test_the_log_of_postgresql_stays_within_bounds_while_it_runs(launch: Launcher) -> None:
    launched = launch()
    launched.wait_ready()
    log = launched.data / "postgres.log"
    aside = log.with_name("postgres.log.1")
    port = int((launched.data / "postgres.port").read_text())
    password = read_passwords(launched.data).superuser
    address = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    with psycopg.connect(address, autocommit=True) as connection:
        for _ in range(3):
            connection.execute("DO $$ BEGIN RAISE LOG '%', repeat('much ', 500000); END $$")
        assert wait_until(aside.exists, PATIENCE)
        assert wait_until(lambda: log.stat().st_size < LARGE_LOG_BYTES, PATIENCE)
        connection.execute("DO $$ BEGIN RAISE LOG 'still heard'; END $$")

    assert wait_until(lambda: "still heard" in log.read_text(), PATIENCE)
    assert "\0" not in log.read_text()
    assert aside.stat().st_mode & 0o777 == 0o600
    assert launched.end(signal.SIGINT) == 0


def test_a_log_that_cannot_be_set_aside_is_emptied_all_the_same(folder: Path) -> None:
    log = folder / "a.log"
    log.write_bytes(b"x" * LARGE_LOG_BYTES)
    log.with_name("a.log.1").mkdir()

    assert bound_log(log)

    assert log.read_bytes() == b""


def test_a_log_that_somebody_removed_is_no_fault(folder: Path) -> None:
    assert not bound_log(folder / "none.log")
