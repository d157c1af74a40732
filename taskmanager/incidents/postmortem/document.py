"""The post-mortem's text, in the language that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from taskmanager.incidents.postmortem.facts import Facts
from taskmanager.incidents.postmortem.impact import Impact
from taskmanager.incidents.postmortem.language import Language
from taskmanager.incidents.postmortem.markdown import code, plain, table
from taskmanager.incidents.postmortem.timeline import Asked, Event, Origin


def render(facts: Facts, language: Language) -> str:
    """The whole document. It is meant for docs/postmortems, or docs/fr/postmortems: links begin there."""
    return "\n\n".join(_Document(facts, language).parts()) + "\n"


class _Document:
    def __init__(self, facts: Facts, language: Language) -> None:
        self._facts = facts
        self._language = language
        self._words = language.words

    def parts(self) -> Iterator[str]:
        words = self._words
        incident = self._facts.incident
        yield words["title"].format(
            id=incident["id"], alert=incident["alert"], date=self._language.date(self._facts.started_at)
        )
        yield words["draft"].format(at=_clock(self._facts.written_at))
        for heading, section in (
            ("summary", self._summary()),
            ("impact", self._impact()),
            ("detection", self._detection()),
            ("timeline", self._timeline()),
            ("cause", self._cause()),
            ("mended", self._mended()),
            ("lessons", iter((words["lessons_text"],))),
            ("actions", self._actions()),
            ("sources", self._sources()),
        ):
            yield f"## {words[heading]}"
            yield from section

    def _summary(self) -> Iterator[str]:
        facts, incident, words = self._facts, self._facts.incident, self._words
        service = " / ".join(incident["labels"].get(name, "") for name in ("service", "env")).strip(" /")
        key = "summary_open" if facts.resolved_at is None else "summary_resolved"
        yield words[key].format(
            alert=incident["alert"],
            code=incident["code"],
            severity=self._severity(incident["severity"]),
            service=service or words["not_known"],
            began=_clock(facts.started_at),
            ended=_clock(facts.resolved_at or facts.written_at),
            lasted=self._language.duration(facts.lasted_s),
        )
        if incident["reopened"]:
            yield words["reopened"].format(times=incident["reopened"])
        yield words["summary_left"]

    def _severity(self, severity: str) -> str:
        return self._words.get(f"severity_{severity}", plain(severity))

    def _impact(self) -> Iterator[str]:
        words, impact = self._words, self._facts.impact
        if impact is None:
            yield words["impact_not_known"]
        elif not impact.requests:
            yield words["impact_none"].format(since=_clock(impact.since), until=_clock(impact.until))
        else:
            yield self._measured(impact)
        yield words["impact_left"]

    def _measured(self, impact: Impact) -> str:
        words, language = self._words, self._language
        sentences = [
            words["impact_measured"].format(
                since=_clock(impact.since),
                until=_clock(impact.until),
                requests=language.number(impact.requests),
                failed=language.number(impact.failed),
                ratio=language.percent(impact.ratio or 0.0),
            )
        ]
        if impact.highest_ratio:
            sentences.append(words["impact_highest"].format(ratio=language.percent(impact.highest_ratio)))
        if impact.highest_p95_s is not None:
            sentences.append(words["impact_p95"].format(duration=language.duration(impact.highest_p95_s)))
        if impact.refused:
            reasons = ", ".join(f"{language.number(count)} `{reason}`" for reason, count in impact.refused.items())
            sentences.append(words["impact_refused"].format(reasons=reasons))
        sentences.append(words["impact_counted"])
        return " ".join(sentences)

    def _detection(self) -> Iterator[str]:
        facts, words, duration = self._facts, self._words, self._language.duration
        rows = (
            (words["to_detect"], duration(facts.to_detect_s), words["to_detect_from"]),
            (words["to_acknowledge"], duration(facts.to_acknowledge_s), words["to_acknowledge_from"]),
            (words["to_resolve"], duration(facts.to_resolve_s), words["to_resolve_from"]),
        )
        yield table((words["measure"], words["duration"], words["from_to"]), rows)
        if facts.rules_that_fit > 1:
            yield words["began_of_several"].format(rules=facts.rules_that_fit, alert=facts.incident["alert"])
        elif facts.began is None:
            yield words["began_not_known"]
        yield words["precision"].format(step=duration(facts.window.step_s))

    def _timeline(self) -> Iterator[str]:
        words = self._words
        rows = [
            (_clock(event.at, tenths=True), self._said(event), words[f"origin_{event.origin}"])
            for event in self._facts.events
        ]
        yield table((words["time"], words["event"], words["source"]), rows)

    def _said(self, event: Event) -> str:
        values = {name: (code if name in _CODES else plain)(value) for name, value in event.values.items()}
        if "severity" in values:
            values["severity"] = self._severity(event.values["severity"])
        if "peak" in event.values:
            values["peak"] = self._language.percent(float(event.values["peak"]))
        if "text" in values:
            values["text"] = self._words["said"].format(text=values["text"]) if values["text"] else ""
        return self._language.events[event.key].format(**values)

    def _cause(self) -> Iterator[str]:
        words, alerted = self._words, self._facts.incident["code"]
        known = self._language.causes.get(alerted)
        if known:
            yield words["cause_by_code"].format(code=alerted, cause=known[0].upper() + known[1:])
            yield words["runbook"].format(code=alerted)
        else:
            yield words["cause_unknown"].format(code=alerted)
        yield words["cause_left"]

    def _mended(self) -> Iterator[str]:
        words, facts = self._words, self._facts
        changes = facts.changes_before_the_end()
        if changes:
            yield words["mended_changes"]
            yield "\n".join(f"- {_clock(event.at)}{words['colon']} {self._said(event)}" for event in changes)
        else:
            yield words["mended_nothing"]
        if facts.now is not None:
            state = words["ready" if facts.now.ready else "not_ready"]
            yield words["now"].format(version=plain(facts.now.version), commit=plain(facts.now.commit), state=state)
        yield words["mended_left"]

    def _actions(self) -> Iterator[str]:
        words = self._words
        yield words["actions_text"]
        rows = [(words[f"action_{kind}"], words["left"], words["left"], words["left"]) for kind in _ACTIONS]
        yield table((words["action_kind"], words["action_what"], words["action_who"], words["action_until"]), rows)

    def _sources(self) -> Iterator[str]:
        words = self._words
        lines = [
            f"- {words[f'origin_{source.origin}']}{words['colon']} "
            + words[f"asked_{source.asked}"].format(reason=plain(source.reason))
            for source in self._facts.sources
        ]
        yield "\n".join(lines)
        if any(source.asked is Asked.UNREACHABLE for source in self._facts.sources):
            yield words["incomplete"]
        if not any(event.origin is Origin.PROMETHEUS for event in self._facts.events):
            yield words["without_prometheus"]


# What a lesson becomes: what finds it sooner, what makes it impossible, what tells the next one what to do.
_ACTIONS = ("rule", "test", "doc")


# Values that their sentences have between backticks.
_CODES = ("state", "result")


def _clock(at: datetime, *, tenths: bool = False) -> str:
    text = at.strftime("%Y-%m-%d %H:%M:%S.%f")
    return text[:-5] if tenths else text[:-7]
