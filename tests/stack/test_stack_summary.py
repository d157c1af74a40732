from pathlib import Path

import pytest

from stack.summary import print_summary


@pytest.mark.parametrize("guarded", [True, False])
def test_only_what_works_as_it_stands_is_told(guarded: bool, capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(
        "http://127.0.0.1:8000",
        "postgresql://…",
        Path("data"),
        None,
        8000,
        docs_served=not guarded,
        key_needed=guarded,
        monitoring={"Prometheus": "http://127.0.0.1:9090"} if guarded else {},
    )

    told = capsys.readouterr().out
    assert ("http://127.0.0.1:8000/docs" in told) != guarded
    assert told.count('-H "Authorization: Bearer $KEY"') == (2 if guarded else 0)
    assert "curl http://localhost:8000/tasks" in told
    assert ("Prometheus  http://127.0.0.1:9090" in told) == guarded
