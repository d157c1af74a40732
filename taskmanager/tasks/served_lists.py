"""Which filters go with which sort, which statement answers them, and how this is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus

from taskmanager.documentation.documented import Responses, header, problems
from taskmanager.problems import ProblemError
from taskmanager.tasks import list_statements
from taskmanager.tasks.list_statements import SEARCHES, ListStatement


class Sort(StrEnum):
    NEWEST = "-created_at"
    DUE = "due_at"
    URGENT = "-priority"
    UPDATED = "-updated_at"


FILTERS = ("status", "priority", "due_after", "due_before", "updated_since", "tag", "q")

# Without q and tag.
SERVED: Mapping[Sort, tuple[str, ...]] = {
    Sort.NEWEST: ("status", "priority"),
    Sort.DUE: ("status", "due_after", "due_before"),
    Sort.URGENT: ("status", "priority"),
    Sort.UPDATED: ("updated_since",),
}

# By the sort, and by whether a status and a priority are asked for.
_LISTS: Mapping[tuple[Sort, bool, bool], ListStatement] = {
    (Sort.NEWEST, False, False): list_statements.NEWEST,
    (Sort.NEWEST, True, False): list_statements.NEWEST_OF_STATUS,
    (Sort.NEWEST, False, True): list_statements.URGENT,
    (Sort.NEWEST, True, True): list_statements.URGENT_OF_STATUS,
    (Sort.DUE, False, False): list_statements.DUE,
    (Sort.DUE, True, False): list_statements.DUE_OF_STATUS,
    (Sort.URGENT, False, False): list_statements.URGENT,
    (Sort.URGENT, True, False): list_statements.URGENT_OF_STATUS,
    (Sort.URGENT, False, True): list_statements.URGENT,
    (Sort.URGENT, True, True): list_statements.URGENT_OF_STATUS,
    (Sort.UPDATED, False, False): list_statements.UPDATED,
}

_ORDERS = {Sort.NEWEST: "newest", Sort.DUE: "due", Sort.URGENT: "urgent", Sort.UPDATED: "updated"}
_MATCHES = {("q",): "words", ("tag",): "tag", ("tag", "q"): "words_and_tag"}


class CombinationNotServed(ProblemError):
    """No index gives these tasks in this order: the whole table would have to be read."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "combination_not_served"


def is_search(asked: Sequence[str]) -> bool:
    return "q" in asked or "tag" in asked


def statement_for(sort: Sort, asked: Sequence[str]) -> ListStatement:
    """The statement for this sort and these filters, which are named in the order of FILTERS.

    Raises
    ------
    CombinationNotServed
    """
    if is_search(asked):
        return SEARCHES[_ORDERS[sort], _MATCHES[tuple(name for name in asked if name in ("tag", "q"))]]
    if not set(asked) <= set(SERVED[sort]):
        raise CombinationNotServed(_why_not_served(sort, asked))
    return _LISTS[sort, "status" in asked, "priority" in asked]


def _listed(names: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


_SERVED_IN_WORDS = (
    "; ".join(f"sort={sort.value} goes with {_listed(filters)}" for sort, filters in SERVED.items())
    + "; with q or tag, every sort goes with every filter."
)


def _why_not_served(sort: Sort, asked: Sequence[str]) -> str:
    """What is refused, the one change that mends it where there is one, and what is served."""
    refused = [name for name in asked if name not in SERVED[sort]]
    others = [f"sort={other.value}" for other, served in SERVED.items() if set(asked) <= set(served)]
    if others:
        advice = f"{_listed(asked)} {'goes' if len(asked) == 1 else 'go'} with {_listed(others, 'or')}."
    elif len(refused) == 1:
        advice = f"Leave out {refused[0]}."
    else:
        advice = "Leave out some of them."
    return f"sort={sort.value} does not go with {_listed(refused, 'or')} here. {advice} Served: {_SERVED_IN_WORDS}"


_SERVED_IN_MARKDOWN = "\n".join(
    f"* `sort={sort.value}` goes with {_listed([f'`{name}`' for name in filters])}" for sort, filters in SERVED.items()
)

DESCRIPTION = f"""\
Where more tasks follow, `Link` has the address of the next page, with all parameters; the last page has no `Link`. \
While others write, a walk from page to page shows every task whose sort key stands still exactly once.

A page costs the same however many tasks there are. So not every filter goes with every sort:

{_SERVED_IN_MARKDOWN}
* with `q` or `tag`, every sort goes with every filter, at a cost that grows with the tasks that match

Every other combination is a 422 that says what to change.

A `+` in an address means a blank; in the offset of a time it is understood all the same."""

_LINK = header("The address of the next page; absent on the last one", '</tasks?limit=50&cursor=…>; rel="next"')
_PAGE: Responses = {200: {"headers": {"Link": _LINK}}}
ANSWERS: Responses = _PAGE | problems(HTTPStatus.UNPROCESSABLE_ENTITY)
