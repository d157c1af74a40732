"""The package as somebody else installs it: a wheel of its own, with nothing of this service around it."""

from __future__ import annotations

import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.migration_gate.scratch import succeed
from tests.processes import ROOT, run

# These need the package's extras.
OPTIONAL = {"migration_gate.postgres.asyncpg_probe", "migration_gate.metrics"}
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
NOT_DECLARED = ("fastapi", "starlette", "uvicorn", "pydantic", "asyncpg", "prometheus_client", "pytest", "taskmanager")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder))
    before = _tree()
    succeed(run(*PIP, "wheel", *options, str(ROOT / "migration_gate")))
    assert _tree() == before
    (built,) = folder.glob("*.whl")
    return built


def _tree() -> set[str]:
    """The folders of the package's source, in which a build must leave nothing."""
    return {path.name for path in (ROOT / "migration_gate").iterdir() if path.is_dir() and path.name != "__pycache__"}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    succeed(run(*PIP, "install", "--no-deps", "--no-index", "--target", str(folder), str(wheel)))
    return folder


@pytest.fixture(scope="module")
def declared(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel declares to need, and what that needs, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    folder = tmp_path_factory.mktemp("declared")
    pending = [Requirement(line.split(":", 1)[1]) for line in lines if line.startswith("Requires-Dist:")]
    pending = [requirement for requirement in pending if _applies(requirement, set())]
    assert {requirement.name for requirement in pending} == {"alembic", "psycopg", "sqlalchemy"}
    done: set[str] = set()
    while pending:
        requirement = pending.pop()
        if str(requirement) in done:
            continue
        done.add(str(requirement))
        distribution = metadata.distribution(requirement.name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}:
            link = folder / top
            if top != "__pycache__" and not link.is_symlink():
                link.symlink_to(distribution.locate_file(top))
        needs = (Requirement(text) for text in distribution.requires or ())
        pending += [need for need in needs if _applies(need, requirement.extras)]
    return folder


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""})


def _python(installed: Path, declared: Path, *arguments: str) -> str:
    # Without site there is no site-packages: what is found is in these two folders or in the standard library.
    return succeed(
        run(sys.executable, "-S", *arguments, env={"PYTHONPATH": f"{installed}:{declared}"}, cwd=installed.parent)
    )


def _modules(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = [Path(name).with_suffix("") for name in archive.namelist() if name.endswith(".py")]
    return sorted(".".join(name.parts).removesuffix(".__init__") for name in names)


def test_the_wheel_holds_the_package_with_its_licence_and_types_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    source = {
        f"migration_gate/{path.relative_to(ROOT / 'migration_gate')}"
        for path in (ROOT / "migration_gate").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    packaged = {name for name in names if ".dist-info/" not in name}
    assert packaged == source | {"migration_gate/py.typed"}
    licences = [name for name in names if name.endswith("/LICENSE") and ".dist-info/" in name]
    assert len(licences) == 1
    assert {name.split("/")[0] for name in names} == {"migration_gate", f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}


def test_the_wheel_is_of_any_platform_and_tells_where_it_can_be_used(wheel: Path) -> None:
    import migration_gate

    assert wheel.name == f"migration_gate-{migration_gate.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"migration_gate-{migration_gate.__version__}.dist-info/METADATA").decode()
    assert "Requires-Python: >=3.11" in text
    assert "License-Expression: MIT" in text
    assert "migration_gate.environment import run" in text


def test_every_module_is_imported_with_nothing_but_what_the_wheel_declares(
    wheel: Path, installed: Path, declared: Path
) -> None:
    wanted = [name for name in _modules(wheel) if name not in OPTIONAL and not name.endswith(".__main__")]
    assert {"migration_gate", "migration_gate.environment", "migration_gate.gate", "migration_gate.cli"} <= set(wanted)
    code = (
        "import importlib, importlib.util, migration_gate\n"
        f"found = [name for name in {NOT_DECLARED!r} if importlib.util.find_spec(name)]\n"
        "assert found == [], found\n"
        f"for name in {wanted!r}: importlib.import_module(name)\n"
        "print(migration_gate.__file__)"
    )

    printed = _python(installed, declared, "-c", code)

    assert printed.strip() == str(installed / "migration_gate" / "__init__.py")


def test_what_a_service_imports_needs_neither_alembic_nor_sqlalchemy_nor_psycopg(
    installed: Path, declared: Path
) -> None:
    code = (
        "import sys\n"
        "from migration_gate import expected, gate, observe, start, status, watch\n"
        "print([name for name in ('alembic', 'sqlalchemy', 'psycopg') if name in sys.modules])"
    )

    assert _python(installed, declared, "-c", code).strip() == "[]"


def test_the_console_script_and_the_module_both_show_their_help(installed: Path, declared: Path) -> None:
    script = _python(installed, declared, str(installed / "bin" / "migration-gate"), "--help")
    module = _python(installed, declared, "-m", "migration_gate", "--help")

    assert script == module
    assert "migration-gate wait --timeout 60" in script
