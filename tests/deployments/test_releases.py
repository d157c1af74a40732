"""Releases on the disk: what each is run by, and what is removed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from stack.deploy import releases as module
from stack.deploy.errors import Refused
from stack.deploy.releases import Releases
from tests.processes import ROOT

OWN = (ROOT / "requirements.txt").read_bytes()


def checkout(data: Path, digit: str, requirements: bytes = OWN, age: int = 0) -> str:
    commit = digit * 40
    folder = data / "releases" / commit
    folder.mkdir(parents=True)
    (folder / "alembic.ini").touch()
    (folder / "requirements.txt").write_bytes(requirements)
    os.utime(folder, (1e9 - age, 1e9 - age))
    return commit


def environment(found: Releases, commit: str) -> Path:
    """Stands for an installed one."""
    release = found.checked_out(commit)
    assert release is not None
    release.python.parent.mkdir(parents=True, exist_ok=True)
    return release.python.parent.parent


def test_old_checkouts_go_with_the_environments_that_they_alone_needed_and_with_what_was_cut_off(
    tmp_path: Path,
) -> None:
    found = Releases(tmp_path)
    old, serves = checkout(tmp_path, "a", b"old==1", 9), checkout(tmp_path, "b", b"serves==1", 8)
    for digit in "cdefg":
        checkout(tmp_path, digit)
    gone, kept = environment(found, old), environment(found, serves)
    half = kept.with_name(f".{kept.name}")
    making = tmp_path / "releases" / ".making-x"
    half.mkdir()
    making.mkdir()

    found.forget_all_but([serves])

    assert sorted(each.name[0] for each in (tmp_path / "releases").iterdir()) == ["b", "c", "d", "e", "e", "f", "g"]
    assert kept.is_dir()
    assert not gone.exists()
    assert not half.exists()
    assert not making.exists()


def test_requirements_that_change_under_a_launcher_change_nothing_of_what_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROJECT_ROOT", tmp_path)
    (tmp_path / "requirements.txt").write_bytes(OWN)
    found = Releases(tmp_path)
    serves, new = checkout(tmp_path, "a"), checkout(tmp_path, "b", b"new==2")
    (tmp_path / "requirements.txt").write_bytes(b"new==2")

    running, next_one = found.checked_out(serves), found.checked_out(new)

    assert running is not None
    assert running.python == Path(sys.executable)
    assert next_one is not None
    assert next_one.python.is_relative_to(tmp_path / "releases" / "environments"), "its packages are not installed here"


@pytest.mark.parametrize("reference", ["--help", "--upload-pack=touch x", "-", "", "HEAD..main", "HEAD; true", "a\nb"])
def test_a_reference_is_no_option_and_no_command(reference: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="git knows no"):
        Releases(tmp_path).resolve(reference, ROOT)
