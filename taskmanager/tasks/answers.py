"""What each operation on a single task may answer, and bodies to try it with, as OpenAPI tells them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from taskmanager.documentation.documented import ETAG, PATCH_REFUSED, UNREADABLE_BODY, Responses, header, problems

_FOUND: Responses = {200: {"headers": ETAG}}
_CREATED: Responses = {
    201: {
        "headers": {
            **ETAG,
            "Location": header("The path of the task", "/tasks/1"),
            "Idempotency-Replayed": header(
                "`true` where an earlier request with this Idempotency-Key made the task, which is told as it is now",
                "true",
            ),
        }
    }
}
_NOT_MODIFIED: Responses = {304: {"description": "The client has this version already", "headers": ETAG}}

_ONE_TASK = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)
_WRITTEN = (*_ONE_TASK, *UNREADABLE_BODY, HTTPStatus.PRECONDITION_FAILED)

CREATE_TASK = _CREATED | problems(*UNREADABLE_BODY, HTTPStatus.CONFLICT)
GET_TASK = _FOUND | _NOT_MODIFIED | problems(*_ONE_TASK)
REPLACE_TASK = _FOUND | problems(*_WRITTEN)
PATCH_TASK = _FOUND | problems(*_WRITTEN) | PATCH_REFUSED
DELETE_TASK = problems(*_ONE_TASK, HTTPStatus.PRECONDITION_FAILED)

_CONTENTS = {
    "brief": {
        "summary": "A title and a description",
        "value": {"title": "Ma première tâche", "description": "Test de l'API"},
    },
    "whole": {
        "summary": "Every field",
        "value": {
            "title": "Renouveler le certificat",
            "description": "Il expire à la fin du mois.",
            "status": "in_progress",
            "priority": "high",
            "due_at": "2026-12-31T18:00:00+01:00",
            "tags": ["exploitation", "urgent"],
        },
    },
}
_PATCHES = {
    "done": {"summary": "Mark it as done", "value": {"status": "done"}},
    "cleared": {"summary": "Take the due time and the tags away", "value": {"due_at": None, "tags": None}},
}

CONTENT_EXAMPLES: dict[str, Any] = {"requestBody": {"content": {"application/json": {"examples": _CONTENTS}}}}

_PATCH = {"schema": {"$ref": "#/components/schemas/TaskPatch"}, "examples": _PATCHES}
PATCH_EXAMPLES: dict[str, Any] = {
    "requestBody": {"content": {"application/merge-patch+json": _PATCH, "application/json": {"examples": _PATCHES}}}
}
