"""Entries as hypothesis makes them up."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from taskmanager.incidents.entries import OF_AN_INCIDENT, Alert, Entry, Kind

times = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
texts = st.dictionaries(names, names, max_size=3)


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    fingerprint = draw(st.sampled_from(["1", "2", "3"]))
    labels = {"severity": draw(st.sampled_from(["critical", "warning", "none"]))} | draw(texts)
    return Alert(fingerprint, draw(names), labels, draw(texts), draw(st.none() | times))


@st.composite
def entries(draw: st.DrawFn, largest_id: int = 10**6) -> Entry:
    """Any entry, whether it makes sense after those before it or not."""
    kind = draw(st.sampled_from(Kind))
    of_incident = kind in OF_AN_INCIDENT
    has_alert = of_incident or kind is Kind.WATCHDOG_SEEN
    return Entry(
        kind,
        draw(times),
        draw(names),
        draw(st.integers(1, largest_id)) if of_incident else None,
        draw(alerts()) if has_alert else None,
        draw(st.none() | times),
        draw(st.just("") | names),
        draw(texts) if kind is Kind.DEPLOYMENT else {},
        draw(st.integers(1, 10**9)),
    )
