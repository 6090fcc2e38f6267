"""What a run has done so far, on the disk line by line, so that a killed one goes on."""

import json
import os
from pathlib import Path
from typing import Any

SCHEMA = 1  # goes up when a line changes its meaning


class Journal:
    """A JSONL file: what run it is of, then a record for each piece of work that was done.

    path: of the file, which is made if it is not there. run: what must not change between two
    starts, as JSON has it. Raises ValueError for a journal of another run. A last line that a kill
    cut off is dropped.
    """

    def __init__(self, path: Path, run: dict[str, Any]):
        self.path, self.records = path, {}
        head = {"schema": SCHEMA, "run": run}
        lines = self._whole_lines()
        if not lines:
            self._write(head)
            return
        if lines[0] != json.loads(json.dumps(head)):
            changed = _changed(lines[0], run)
            raise ValueError(
                f"{path} is the journal of another run ({changed} differs). To begin anew, remove "
                "it; to keep it, name another file."
            )
        self.records = {line["key"]: line["record"] for line in lines[1:]}

    def add(self, key: str, record: Any) -> None:
        """Write a record down; it is on the disk when this returns."""
        self.records[key] = record
        self._write({"key": key, "record": record})

    def remove(self) -> None:
        """Remove the file, when what is in it has been written elsewhere."""
        self.path.unlink(missing_ok=True)

    def _write(self, line: dict) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _whole_lines(self) -> list[dict]:
        """Return the lines that are whole, and cut the file behind them."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.truncate(self.path, len(whole))
        try:
            return [json.loads(line) for line in whole.splitlines()]
        except ValueError:
            raise ValueError(f"{self.path} is no journal of a leaderboard.") from None


def _changed(head: Any, run: dict[str, Any]) -> str:
    """Return the names of what differs."""
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        return "its schema"
    known, now = head.get("run", {}), json.loads(json.dumps(run))
    return ", ".join(name for name in now if known.get(name) != now[name]) or "its schema"
