"""`migration-gate lint`: which revisions are new, and what every rule says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from migration_gate import compatibility
from migration_gate.errors import MigrationGateError
from migration_gate.expected import lineage
from migration_gate.phases import Declared, declared
from migration_gate.review import overrides, release_rules
from migration_gate.review.findings import Finding, Level
from migration_gate.review.migration_file import Downgrade, MigrationFile, read_migration
from migration_gate.review.rendered import Rendered, described, render_all
from migration_gate.review.rules import RULES, contract_undeclared
from migration_gate.review.scratch_database import scratch_findings
from migration_gate.review.since import git_root, released_since
from migration_gate.review.squawk import squawk_findings
from migration_gate.review.squawk_rules import DECISIONS, OFF
from migration_gate.review.subject import Models, Subject, read_models
from migration_gate.revisions_lock import expected_from_scripts

#: Rules that need `--scratch-url`, and rules that need to know what a release is.
SCRATCH_RULES = frozenset({"upgrade-fails", "models-differ", "downgrade-fails", "downgrade-leaves-traces"})
RELEASE_RULES = frozenset(
    {"released-revision-edited", "released-revision-removed", "contract-with-expand", "contract-undeclared"}
)
#: Our own rules; those of squawk stand in `squawk_rules`.
OWN_RULES = frozenset(
    {rule.__name__.replace("_", "-") for rule in RULES}
    | {"revision-id-too-long", "broken-graph", "multiple-heads", "revisions-lock-out-of-date", "bad-declaration"}
    | {"override-without-reason", "override-of-unknown-rule", "unused-override"}
    | SCRATCH_RULES
    | RELEASE_RULES
)


@dataclass(frozen=True)
class Review:
    """The outcome: the findings that stand, in the order of files and lines, and those that a comment allows.

    `ref` and `commit` are None where everything was linted; `root` is what files are told relative to.
    """

    ref: str | None
    commit: str | None
    root: Path
    revisions: tuple[str, ...]
    findings: tuple[Finding, ...]
    allowed: tuple[Finding, ...]

    def count(self, level: Level) -> int:
        return sum(finding.level is level for finding in self.findings)


def lint(
    config: Config,
    *,
    since: str | None,
    pg_version: str | None = None,
    scratch_url: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Review:
    """Lint the revisions that are not in the commit which HEAD and `since` have in common, or all where it is None.

    Parameters
    ----------
    pg_version: the server's version, such as `16.4`, for squawk.
    scratch_url: a server on which a database is made, tried and dropped.
    say: told what takes long.

    Raises
    ------
    MigrationGateError: git, squawk, env.py or the scratch server cannot do their part.
    """
    scripts = ScriptDirectory.from_config(config)
    folders = [Path(folder) for folder in scripts._version_locations]
    base = released_since(since, folders) if since is not None else None
    root = base.root if base else git_root(Path(scripts.dir)) or Path.cwd()
    files = _files(folders)
    new = {file.revision for file in files.values() if file.revision} - set(base.released if base else ())
    broken = release_rules.graph_findings(config, files)
    found = [*broken, *(release_rules.released_findings(base, files) if base else ())]
    subjects: list[Subject] = []
    rendered: Mapping[str, Rendered] = {}
    if not broken:
        say(f"rendering the SQL of {len(files)} revisions, {len(new)} of them new")
        rendered = render_all(config)
        environment = described(config)
        models = read_models(environment.metadata) if environment else Models()
        wanted = [each for each in rendered.values() if each.id in new]
        proven = _proven_codes(config)
        subjects = [
            replace(_subject(each, files, rendered, models, found), proven_code=proven.get(each.id)) for each in wanted
        ]
        found += release_rules.multiple_heads(config, files)
        found += release_rules.lock_findings(config)
        found += squawk_findings(subjects, pg_version=pg_version, env_bounds_locks=environment is not None)
        for subject in subjects:
            found += (finding for rule in RULES for finding in rule(subject))
            found += release_rules.declaration_findings(subject)
        if base:
            found += release_rules.contract_with_expand(subjects)
        if scratch_url:
            found += _tried(config, scratch_url, rendered, new, subjects, say)
    seen = {path: file for path, file in files.items() if base is None or file.revision in new or _edited(path, found)}
    not_asked = (frozenset() if scratch_url else SCRATCH_RULES) | (frozenset() if base else RELEASE_RULES)
    standing, allowed = _overridden(found, seen, subjects if base else (), OWN_RULES if broken else not_asked)
    return Review(
        ref=since,
        commit=base.commit if base else None,
        root=root,
        revisions=tuple(id_ for id_ in rendered if id_ in new) if rendered else tuple(sorted(new)),
        findings=tuple(sorted(standing, key=lambda each: (each.file or "", each.line, each.level, each.rule))),
        allowed=tuple(allowed),
    )


def known_rules() -> frozenset[str]:
    """The names of all rules, squawk's included."""
    return OWN_RULES | DECISIONS.keys() | OFF.keys()


def _files(folders: Iterable[Path]) -> dict[Path, MigrationFile]:
    read = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            file = read_migration(path.read_text(encoding="utf-8", errors="replace"))
            if file.revision is not None:
                read[path] = file
    return read


def _proven_codes(config: Config) -> Mapping[str, str]:
    verdicts = compatibility.read(Path(ScriptDirectory.from_config(config).dir) / compatibility.FILE_NAME)
    return compatibility.proven_codes(verdicts, expected_from_scripts(config, declarations=False))


def _subject(
    rendered: Rendered,
    files: Mapping[Path, MigrationFile],
    everything: Mapping[str, Rendered],
    models: Models,
    found: list[Finding],
) -> Subject:
    file = files.get(rendered.path) or read_migration(rendered.path.read_text(encoding="utf-8", errors="replace"))
    says = Declared()
    try:
        says = declared(rendered.module)
    except MigrationGateError as error:
        found.append(release_rules.bad_declaration(rendered.path, file, error))
    before = lineage(rendered.parents, {each.id: each.parents for each in everything.values()})
    return Subject(rendered, file, says, [each for each in everything.values() if each.id in before], models)


def _tried(
    config: Config,
    url: str,
    rendered: Mapping[str, Rendered],
    new: set[str],
    subjects: Iterable[Subject],
    say: Callable[[str], None],
) -> Iterable[Finding]:
    def heads(of: set[str]) -> list[str]:
        behind = {parent for id_ in of for parent in rendered[id_].parents}
        return sorted(of - behind)

    reversible = all(subject.file.downgrade is not Downgrade.RAISES for subject in subjects)
    released = heads(set(rendered) - new)
    return scratch_findings(config, url, released=released, heads=heads(set(rendered)), reversible=reversible, say=say)


def _edited(path: Path, found: Iterable[Finding]) -> bool:
    return any(each.rule == "released-revision-edited" and each.file == str(path) for each in found)


def _overridden(
    found: Iterable[Finding],
    files: Mapping[Path, MigrationFile],
    released: Iterable[Subject],
    not_asked: frozenset[str],
) -> tuple[list[Finding], list[Finding]]:
    """Apply the overrides; what a revision takes away is told by itself only where nothing else stops it."""
    first = overrides.apply(found, files)
    stopped = {each.revision for each in first.standing if each.level is Level.ERROR and each.rule in DECISIONS}
    more = [each for subject in released if subject.id not in stopped for each in contract_undeclared(subject)]
    second = overrides.apply(more, files)
    asked_again = {"contract-undeclared"} if stopped else set()
    own = overrides.judge(files, first.used | second.used, known_rules(), not_asked | asked_again)
    return [*first.standing, *second.standing, *own], [*first.allowed, *second.allowed]
