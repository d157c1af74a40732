"""The contract lets an honest contestant pass, and no liar."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from benchmarks.contract import Contract
from benchmarks.failures import WrongAnswer
from tests.benchmarks.stub_api import ROWS, StubApi


def contract(api: StubApi) -> Contract:
    return Contract(api.client(), api.stored, ROWS)


def test_an_honest_contestant_passes_before_and_after_the_load() -> None:
    held = contract(StubApi())

    held.check()
    held.check_again()


def test_times_may_end_at_milliseconds_and_have_any_offset() -> None:
    class LikeJavaScript(StubApi):
        def shown(self, row: dict[str, Any]) -> dict[str, Any]:
            moments = {name: row[name].isoformat(timespec="milliseconds") for name in ("created_at", "updated_at")}
            return super().shown(row) | {name: text.replace("+00:00", "Z") for name, text in moments.items()}

    contract(LikeJavaScript()).check()


class SameAnswerForAll(StubApi):
    def get(self, id: int) -> httpx.Response:
        return super().get(1 if id <= ROWS else id)


class NothingIsAbsent(StubApi):
    def get(self, id: int) -> httpx.Response:
        return super().get(min(id, ROWS))


class WithoutTags(StubApi):
    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in super().shown(row).items() if name != "tags"}


class OneFieldMore(StubApi):
    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        return super().shown(row) | {"version": 1}


class PriorityAsNumber(StubApi):
    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        return super().shown(row) | {"priority": 2}


class TimesWithoutOffset(StubApi):
    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        shown = super().shown(row)
        return shown | {"created_at": shown["created_at"].removesuffix("+00:00")}


class IdAsText(StubApi):
    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        return super().shown(row) | {"id": str(row["id"])}


class FewerThanAsked(StubApi):
    def list(self, limit: str) -> httpx.Response:
        return super().list("40" if limit == "50" else limit)


class OldestFirst(StubApi):
    def list(self, limit: str) -> httpx.Response:
        answer = super().list(limit)
        return self.json(200, answer.json()[::-1]) if answer.status_code == 200 else answer


class LimitsAreNotChecked(StubApi):
    def list(self, limit: str) -> httpx.Response:
        return super().list(limit if limit.isdigit() and 1 <= int(limit) <= 200 else "50")


class ListInAnEnvelope(StubApi):
    def list(self, limit: str) -> httpx.Response:
        answer = super().list(limit)
        return self.json(200, {"items": answer.json()}) if answer.status_code == 200 else answer


class StoresNothing(StubApi):
    def store(self, content: dict[str, Any]) -> dict[str, Any]:
        new = super().store(content)
        del self.stored.rows[new["id"]]
        return new


class StoresTwice(StubApi):
    def store(self, content: dict[str, Any]) -> dict[str, Any]:
        super().store(content)
        return super().store(content)


class StoresAnotherTitle(StubApi):
    def store(self, content: dict[str, Any]) -> dict[str, Any]:
        return super().store(content | {"title": "x"})


class ForgetsTags(StubApi):
    def store(self, content: dict[str, Any]) -> dict[str, Any]:
        return super().store({name: value for name, value in content.items() if name != "tags"})


class WithoutLocation(StubApi):
    def created(self, new: dict[str, Any]) -> httpx.Response:
        return self.json(201, self.shown(new))


class CreatedIs200(StubApi):
    def created(self, new: dict[str, Any]) -> httpx.Response:
        return self.json(200, self.shown(new), {"Location": f"/tasks/{new['id']}"})


class TakesEveryTitle(StubApi):
    def valid(self, content: dict[str, Any]) -> bool:
        return content.get("status", "todo") != "forgotten"

    def store(self, content: dict[str, Any]) -> dict[str, Any]:
        return super().store({"title": ""} | content)


class TakesEveryStatus(StubApi):
    def valid(self, content: dict[str, Any]) -> bool:
        return super().valid(content | {"status": "todo"})


class RefusesTheLongestTitle(StubApi):
    def valid(self, content: dict[str, Any]) -> bool:
        return super().valid(content) and len(content["title"].encode()) <= 200


class SaysText(StubApi):
    def json(self, status: int, content: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        answer = super().json(status, content, headers)
        answer.headers["Content-Type"] = "text/plain"
        return answer


class FailsOnWhatIsNoJson(StubApi):
    def create(self, request: httpx.Request) -> httpx.Response:
        answer = super().create(request)
        return self.json(500, {}) if answer.status_code == 400 else answer


class BreaksTheConnection(StubApi):
    def get(self, id: int) -> httpx.Response:
        raise httpx.ReadError("reset")


LIARS = {
    SameAnswerForAll: "id is 1",
    NothingIsAbsent: "not 404",
    WithoutTags: "lacking ['tags']",
    OneFieldMore: "extra ['version']",
    PriorityAsNumber: "priority is 2",
    TimesWithoutOffset: "created_at is",
    IdAsText: "id is '",
    FewerThanAsked: "limit=50 was answered with 40 tasks",
    OldestFirst: "stored is",
    LimitsAreNotChecked: "limit=0 was answered with 200",
    ListInAnEnvelope: "no JSON array",
    StoresNothing: "a 201 stored no task",
    StoresTwice: "or more than one",
    StoresAnotherTitle: "is not the one that was sent",
    ForgetsTags: "tags is []",
    WithoutLocation: "Location is ''",
    CreatedIs200: "200, not 201",
    TakesEveryTitle: "a body without a title was answered with 201",
    TakesEveryStatus: "an unknown status was answered with 201",
    RefusesTheLongestTitle: "422, not 201",
    SaysText: "'text/plain'",
    FailsOnWhatIsNoJson: "no JSON was answered with 500",
    BreaksTheConnection: "no answer",
}


@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: liar.__name__)
def test_a_liar_is_caught_and_told_of_what(liar: type[StubApi]) -> None:
    with pytest.raises(WrongAnswer) as caught:
        contract(liar()).check()

    assert LIARS[liar] in str(caught.value)


def test_who_begins_to_lie_under_load_is_caught_afterwards() -> None:
    class TiresUnderLoad(StubApi):
        tired = False

        def get(self, id: int) -> httpx.Response:
            return super().get(1 if self.tired else id)

    api = TiresUnderLoad()
    held = contract(api)
    held.check()
    api.tired = True

    with pytest.raises(WrongAnswer, match="id is 1"):
        held.check_again()


def test_every_breach_is_told_at_once() -> None:
    class Both(WithoutLocation, LimitsAreNotChecked):
        pass

    with pytest.raises(WrongAnswer, match=r"limit=0.*Location"):
        contract(Both()).check()
