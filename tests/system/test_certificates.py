"""docker/certs.sh: what it makes, what of it is secret, and what it does not overwrite."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from tests.tls_servers import EXPIRED, GOOD, SCRIPT, SELF_SIGNED, WRONG_HOST, make_certificates


def _called(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False, cwd=cwd)


def _verified(folder: Path, kind: str, host: str) -> subprocess.CompletedProcess[str]:
    """As strictly as any client looks, by another program than the drivers."""
    option = "-verify_ip" if host[-1].isdigit() or ":" in host else "-verify_hostname"
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", option, host]
    command += ["-CAfile", str(folder / "ca.crt"), str(folder / kind / "server.crt")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("host", ["db", "localhost", "127.0.0.1", "::1"])
def test_the_certificate_is_for_the_names_that_clients_of_the_compose_file_use(tmp_path: Path, host: str) -> None:
    folder = make_certificates(tmp_path / "tls")

    assert _verified(folder, GOOD, host).returncode == 0
    assert _verified(folder, GOOD, "elsewhere.example.com").returncode != 0


def test_it_is_for_the_names_that_are_given(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls", "--host", "db-1.example.com", "--host", "10.0.0.7")

    assert _verified(folder, GOOD, "db-1.example.com").returncode == 0
    assert _verified(folder, GOOD, "10.0.0.7").returncode == 0
    assert _verified(folder, GOOD, "localhost").returncode != 0


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls", "--bad")

    keys = sorted(folder.rglob("*.key"))
    assert len(keys) == 5
    assert {_mode(key) for key in keys} == {0o600}
    assert {_mode(certificate) for certificate in folder.rglob("*.crt")} == {0o644}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (EXPIRED, "certificate has expired"),
        (SELF_SIGNED, "self-signed certificate"),
        (WRONG_HOST, "hostname mismatch"),
    ],
)
def test_the_bad_ones_are_bad_for_one_reason_each(tmp_path: Path, kind: str, words: str) -> None:
    folder = make_certificates(tmp_path / "tls", "--bad")

    refused = _verified(folder, kind, "db")

    assert refused.returncode != 0
    assert words in refused.stdout + refused.stderr
    assert (refused.stdout + refused.stderr).count("lookup:") == 1


def test_nothing_is_overwritten_unless_it_is_asked_for(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    refused = _called(folder)

    assert refused.returncode == 1
    assert refused.stderr.startswith(f"certs: {folder}/ca.crt is there already; --renew makes")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    make_certificates(folder, "--force")
    assert all(path.read_bytes() != content for path, content in before.items())
    assert _verified(folder, GOOD, "db").returncode == 0


def test_a_renewed_certificate_is_of_the_same_authority_in_the_same_file(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls")
    authority, certificate = folder / "ca.crt", folder / "server/server.crt"
    before, old, inode = authority.read_bytes(), certificate.read_bytes(), certificate.stat().st_ino

    done = _called("--renew", folder)

    assert done.returncode == 0, done.stderr
    assert "renew.sh" in done.stdout
    assert (authority.read_bytes(), certificate.stat().st_ino) == (before, inode)
    assert certificate.read_bytes() != old
    assert _verified(folder, GOOD, "db").returncode == 0


def test_it_says_what_it_made_and_how_it_is_used(tmp_path: Path) -> None:
    done = _called("--bad", "--days", "7", tmp_path / "tls")

    assert f"made {tmp_path}/tls/server/server.crt for DNS:db,DNS:localhost,IP:127.0.0.1,IP:::1, valid for 7 days" in (
        done.stdout
    )
    assert "sslmode=verify-full&sslrootcert=" in done.stdout
    assert done.stdout.count("which clients must refuse") == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--days", "0"], "--days wants a number of days"),
        (["--days"], "--days wants a number of days"),
        (["--host"], "--host wants a name or an address"),
        (["--host", "a b"], "'a b' is neither a host's name nor an address"),
        (["--host", "db/x"], "'db/x' is neither a host's name nor an address"),
        (["--host", "999.1.1.1"], "openssl could not do it"),
        (["--forcé"], "there is no option --forcé"),
        (["--force", "--renew"], "choose one"),
        (["--renew"], "and --renew signs with it"),
        (["one", "two"], "one folder, not two"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing_behind(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    refused = _called(*arguments, cwd=tmp_path)

    assert refused.returncode in {1, 2}
    assert words in refused.stderr
    assert list(tmp_path.iterdir()) == []
