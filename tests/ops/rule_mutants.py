"""Do the tests of the rules notice when a rule is wrong? One mutant after the other is put to them.

    python -m tests.ops.rule_mutants [RULE ...]    all rules, or those whose id begins so

A mutant stands alone with the recording rules under it, and promtool runs those tests that name its alert, or its
record. So a rule is held by tests of its own, and a run takes milliseconds. A mutant that all tests let pass is put to
the scenes as well, in which nothing may fire. Ends with 1 where one survives.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ops.equivalent_mutants import EQUIVALENT
from tests.ops.mutations import Mutant, mutants
from tests.ops.promtool import promtool, promtool_failures
from tests.ops.rule_files import Rule, TestGroup, shipped_rules, shipped_tests, with_records

AT_ONCE = 2
SCENES = "scenes.yml"


class NoTest(Exception):
    """There is nothing that could notice a fault of this rule."""


class InvalidMutant(Exception):
    """Prometheus would refuse this rule, so nothing is learnt from the tests' refusing it."""


@dataclass(frozen=True)
class Outcome:
    mutant: Mutant
    killed: bool

    @property
    def reason(self) -> str | None:
        """Why nothing can tell it from the rule; None where something should."""
        return EQUIVALENT.get(self.mutant.id)


def concerning(rule: Rule, tests: Iterable[TestGroup]) -> list[TestGroup]:
    """The tests that name the rule, and of their groups no more than those."""
    kept = []
    for group in tests:
        if rule.is_alert:
            mine: Mapping[str, Any] = {"alert_rule_test": group.alert_tests(rule)}
        else:
            mine = {"promql_expr_test": [test for test in group.expr_tests if _names(rule.name, test["expr"])]}
        if any(mine.values()):
            rest = {k: v for k, v in group.body.items() if k not in {"alert_rule_test", "promql_expr_test"}}
            kept.append(TestGroup({**rest, **mine}, group.head, group.file))
    return kept


def _names(record: str, expr: str) -> bool:
    return re.search(rf"(?<![\w:]){re.escape(record)}(?![\w:])", expr) is not None


def scenes(tests: Iterable[TestGroup]) -> list[TestGroup]:
    """The scenes in which nothing may fire, less what they ask for the Watchdog, which is not there beside a mutant."""
    kept = []
    for group in tests:
        if group.file.name == SCENES:
            quiet = [test for test in group.expr_tests if not test["exp_samples"]]
            kept.append(TestGroup({**group.body, "promql_expr_test": quiet}, group.head, group.file))
    return kept


def rules_file(rules: Iterable[Rule], instead: Mapping[str, Mapping[str, Any]]) -> str:
    """The rules as Prometheus reads them, with bodies put in the place of those with these ids."""
    groups: dict[str, dict[str, Any]] = {}
    for rule in rules:
        group = groups.setdefault(rule.group, {"name": rule.group, "interval": rule.interval, "rules": []})
        group["rules"].append(dict(instead.get(rule.id, rule.body)))
    return json.dumps({"groups": list(groups.values())})


def write_tests(tests: Iterable[TestGroup], present: Collection[str], folder: Path) -> list[Path]:
    """Write a file of promtool's for each group of tests, on the rules of `rules.yml` beside it.

    Parameters
    ----------
    present: the names of the groups of rules in that file.
    """
    paths = []
    for group in tests:
        order = [name for name in group.head.get("group_eval_order", ()) if name in present]
        content = {**group.head, "rule_files": ["rules.yml"], "group_eval_order": order, "tests": [group.body]}
        paths.append(folder / f"{len(paths)}-{group.file.name}")
        # JSON is YAML, and is written at once where YAML takes its time.
        paths[-1].write_text(json.dumps(content))
    return paths


def objection(rules: str, tests: Sequence[Path]) -> Path | None:
    """The first of these tests that fails on these rules; None where all pass."""
    return objections([rules], tests)[0]


def objections(variants: Sequence[str], tests: Sequence[Path]) -> list[Path | None]:
    """The same for each of several files of rules.

    One process of promtool puts a test to all that no test before it has objected to: its start takes four times as
    long as a test.
    """
    found: list[Path | None] = [None] * len(variants)
    for test in tests:
        open_ones = [at for at, objecting in enumerate(found) if objecting is None]
        on_variants = {at: _on_variant(at, variants[at], test) for at in open_ones}
        failing = promtool_failures(list(on_variants.values()))
        for at, path in on_variants.items():
            if path in failing:
                found[at] = test
    return found


def _on_variant(at: int, rules: str, test: Path) -> Path:
    """The test as a file that is put to rules of this number, both beside it."""
    (test.parent / f"rules-{at}.yml").write_text(rules)
    path = test.parent / f"rules-{at}-{test.name}"
    path.write_text(test.read_text().replace('["rules.yml"]', f'["rules-{at}.yml"]', 1))
    return path


def judge(rule: Rule, rules: Sequence[Rule], tests: Sequence[TestGroup], changed: Sequence[Mutant]) -> list[Outcome]:
    """Put the mutants of one rule to its tests.

    Raises
    ------
    NoTest: none names the rule, or those that do fail without any mutant.
    InvalidMutant: Prometheus would not load one of them.
    """
    mine = concerning(rule, tests)
    if not mine:
        raise NoTest(f"no test names {rule.id}")
    loaded = [each for each in rules if any(group.loads(each) for group in mine)]
    needed = with_records([rule], loaded)
    with tempfile.TemporaryDirectory(prefix="rule-mutants-") as name:
        folder = Path(name)
        present = {each.group for each in needed}
        own = write_tests(mine, present, folder)
        if failing := objection(rules_file(needed, {}), own):
            (folder / "rules.yml").write_text(rules_file(needed, {}))
            raise NoTest(f"a test of {rule.id} fails as it is: {promtool('test', 'rules', str(failing)).stderr[:2000]}")
        _must_load(changed, folder)
        beside = write_tests(scenes(tests), present, _subfolder(folder, "scenes"))
        texts = [rules_file(needed, {rule.id: mutant.body}) for mutant in changed]
        killed = [killer is not None for killer in objections(texts, own)]
        let_pass = [at for at, dead in enumerate(killed) if not dead]
        for at, killer in zip(let_pass, objections([texts[at] for at in let_pass], beside), strict=True):
            killed[at] = killer is not None
    return [Outcome(mutant, dead) for mutant, dead in zip(changed, killed, strict=True)]


def _subfolder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _must_load(changed: Sequence[Mutant], folder: Path) -> None:
    groups = [{"name": f"{at}", "rules": [mutant.body]} for at, mutant in enumerate(changed)]
    (folder / "mutants.yml").write_text(json.dumps({"groups": groups}))
    checked = promtool("check", "rules", str(folder / "mutants.yml"))
    if checked.returncode != 0:
        raise InvalidMutant(checked.stderr)


def run(
    rules: Sequence[Rule], tests: Sequence[TestGroup], only: Sequence[Rule], at_once: int = AT_ONCE
) -> list[Outcome]:
    """Put every mutant of the rules of `only` to the tests, so many rules at once."""
    with ThreadPoolExecutor(at_once) as pool:
        found = pool.map(lambda rule: judge(rule, rules, tests, list(mutants(rule))), only)
        return [outcome for outcomes in found for outcome in outcomes]


def report(outcomes: Sequence[Outcome]) -> tuple[str, bool]:
    """What there is to say, and whether every mutant was killed that can be."""
    survived = [each for each in outcomes if not each.killed and each.reason is None]
    equivalent = [each for each in outcomes if not each.killed and each.reason is not None]
    wrongly = [each for each in outcomes if each.killed and each.reason is not None]
    kinds = Counter(each.mutant.operator for each in outcomes)
    judged = len(outcomes) - len(equivalent)
    killed = judged - len(survived)
    lines = [f"  {count:5d}  {kind}" for kind, count in sorted(kinds.items())]
    lines += [f"SURVIVED  {each.mutant.id}" for each in survived]
    lines += [f"called equivalent, and killed  {each.mutant.id}" for each in wrongly]
    lines += [f"equivalent  {each.mutant.id}: {each.reason}" for each in equivalent]
    rate = killed / judged if judged else 0.0
    lines.append(f"{killed} of {judged} mutants killed ({rate:.1%}), {len(equivalent)} equivalent beside them")
    return "\n".join(lines), not survived and not wrongly and judged > 0


def main(prefixes: Sequence[str]) -> int:
    rules = shipped_rules()
    only = [rule for rule in rules if not prefixes or rule.id.startswith(tuple(prefixes))]
    try:
        text, good = report(run(rules, shipped_tests(), only))
    except (NoTest, InvalidMutant) as error:
        print(error, file=sys.stderr)
        return 2
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
