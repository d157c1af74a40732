"""The service with two routes that are at fault: started from outside, since the product holds no switch for faults."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from fastapi import Depends, Response

from taskmanager.cli import main
from taskmanager.tasks import routes
from taskmanager.tasks.parameters import IdInPath
from taskmanager.tasks.schemas import TaskContent


def _looks_up(number: int, content: TaskContent) -> str:
    seen = {"title": content.title, "nested": [{"description": content.description}]}
    if number == 1:
        raise KeyError(content.title)
    try:
        return str(seen["nested"][number])  # type: ignore[index]
    except IndexError as error:
        error.add_note(f"while looking for {content.title}")
        raise ValueError(f"nothing for {content.description}") from error


@routes.router.put("/faulty/{id}", dependencies=routes.WRITE, response_model=None)
async def faulty(id: IdInPath, content: TaskContent) -> Response:
    return Response(_looks_up(id, content))


async def _declared(content: TaskContent) -> TaskContent:
    return content


# A dependency of its own keeps it from being served directly: it goes FastAPI's way.
@routes.router.put("/faulty-in-fastapi/{id}", dependencies=routes.WRITE, response_model=None)
async def faulty_in_fastapi(id: IdInPath, content: Annotated[Any, Depends(_declared)]) -> Response:
    return Response(_looks_up(id, content))


if __name__ == "__main__":
    sys.exit(main(["serve", "--port", sys.argv[1]]))
