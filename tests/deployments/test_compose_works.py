"""Images of releases that nobody goes back to lose their names; the docker here is a command that keeps account."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.deploy.compose_engine import Compose, image_of
from stack.deploy.compose_works import ComposeWorks

DOCKER = """\
#!/bin/sh
case "$1 $2" in
"compose version") ;;
"image ls") cat "$FOLDER/images" ;;
"image rm") echo "$3" >>"$FOLDER/removed" ;;
*) exit 1 ;;
esac
"""


def test_the_newest_images_and_those_that_serve_keep_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("FOLDER", f"{tmp_path}")
    newest_first = [f"{number:064x}" for number in range(0x10 << 240, (0x10 << 240) + (9 << 240), 1 << 240)]
    names = ["taskmanager-api:latest", *map(image_of, newest_first)]
    (tmp_path / "images").write_text("".join(f"{name}\n" for name in names))
    (tmp_path / "compose.yml").touch()

    ComposeWorks(Compose(tmp_path, ["compose.yml"])).forget_all_but([newest_first[8], newest_first[0], ""])

    assert (tmp_path / "removed").read_text().split() == [image_of(newest_first[6]), image_of(newest_first[7])]
