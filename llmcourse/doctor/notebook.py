"""The code of a notebook's file."""

import json
from pathlib import Path

from llmcourse.show import in_words


def code_cells(path: Path) -> list[tuple[str, bool]]:
    """Return for each code cell its source, and whether it may raise an exception."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [
            ("".join(cell["source"]), "raises-exception" in cell["metadata"].get("tags", ()))
            for cell in cells
            if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a notebook (format 4): {in_words(error)}") from None
