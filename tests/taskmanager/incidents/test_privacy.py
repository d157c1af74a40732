"""Nothing personal is kept or told: not from labels, annotations or bodies that are refused, and no key."""

from __future__ import annotations

import json
from pathlib import Path

from tests.taskmanager.incidents.receivers import JSON, Receivers, alert, notification

KEY = "key-canary-of-the-receiver-4711"
CANARY = "canary@example.com"


def test_nothing_personal_reaches_the_journal_the_log_the_metrics_or_an_answer(
    receive: Receivers, tmp_path: Path
) -> None:
    receiver = receive(environment={"TASKMANAGER_INCIDENTS_KEY": KEY})
    auth = {"Authorization": f"Bearer {KEY}"}
    personal = {
        "user": CANARY,
        "email": CANARY,
        "client_ip": "203.0.113.7-canary",
        "instance": CANARY,
        "handler": CANARY,
    }
    annotated = {"summary": f"{CANARY} cannot log in", "description": CANARY, "runbook_url": f"/x?user={CANARY}"}
    bodies = [
        notification(alert(1, annotations=annotated, **personal), externalURL=f"http://{CANARY}/", groupKey=CANARY),
        notification(alert(2) | {"status": CANARY, "generatorURL": CANARY}),
        notification(alert(3) | {"startsAt": CANARY}),
        json.dumps({"version": CANARY, "alerts": [CANARY]}).encode(),
        CANARY.encode(),
    ]

    answers = [receiver.request("POST", "/alerts", content=body, headers=JSON | auth) for body in bodies]
    answers += [
        receiver.request(
            "POST", f"/incidents/1/notes?{CANARY}", content=json.dumps({CANARY: CANARY}), headers=JSON | auth
        ),
        receiver.request("GET", f"/{CANARY}", headers=auth),
        receiver.request("GET", f"/incidents?state={CANARY}", headers=auth),
        *(
            receiver.request("GET", path, headers=auth)
            for path in ("/incidents/1", "/incidents", "/metrics", "/readyz")
        ),
    ]
    assert [answer.status_code for answer in answers[:5]] == [200, 422, 422, 422, 400]
    # A problem names the path that was asked for; its query, which may hold more, it does not.
    told = [answer.text for answer in answers if answer.request.url.path != f"/{CANARY}"]
    receiver.stop()
    kept = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]

    assert len(receiver.entries()) == 1
    assert any("high_error_rate" in text for text in kept)
    for text in (*told, *kept):
        assert "canary" not in text
