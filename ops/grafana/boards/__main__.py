"""Write the dashboards, or hold the committed files against the boards.

    python -m ops.grafana.boards
    python -m ops.grafana.boards --check

The check exits with 1 and names every file that is not what the boards make, is missing, or belongs to no board.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ops.grafana.boards import api, database, incident, meta, slo
from ops.grafana.boards.board import Board

FOLDER = Path(__file__).resolve().parent.parent / "dashboards"

# By the name of the file.
BOARDS: dict[str, Board] = {
    "incident": incident.BOARD,
    "api": api.BOARD,
    "database": database.BOARD,
    "slo": slo.BOARD,
    "meta": meta.BOARD,
}


def text_of(board: Board) -> str:
    """The dashboard as it is kept: two blanks of indentation, characters as they are, a newline at the end."""
    return json.dumps(board.as_json(), indent=2, ensure_ascii=False) + "\n"


def faults(folder: Path) -> list[str]:
    """Why the files in this folder are not the boards; nothing where they are."""
    found = []
    for name, board in BOARDS.items():
        file = folder / f"{name}.json"
        if not file.is_file():
            found.append(f"{file}: is missing")
        elif file.read_text(encoding="utf-8") != text_of(board):
            found.append(f"{file}: is not what the boards make")
    kept = {file.stem for file in folder.glob("*.json")}
    return found + [f"{folder / name}.json: belongs to no board" for name in sorted(kept - set(BOARDS))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m ops.grafana.boards", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file is not current")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files are (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not options.check:
        options.folder.mkdir(parents=True, exist_ok=True)
        for name, board in BOARDS.items():
            (options.folder / f"{name}.json").write_text(text_of(board), encoding="utf-8")
        return 0
    found = faults(options.folder)
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    if found:
        sys.stderr.write("Change the boards in ops/grafana/boards, then run: python -m ops.grafana.boards\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
