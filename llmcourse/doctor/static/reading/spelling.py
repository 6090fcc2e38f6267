"""Names that are nearly others."""

import ast
import difflib
from collections.abc import Iterator


def misspelt(call: ast.Call, known: list[str]) -> Iterator[tuple[str, str]]:
    """Yield keywords that are nearly known ones, and these."""
    for name in (each.arg for each in call.keywords if each.arg is not None):
        near = difflib.get_close_matches(name, known, 1, 0.82)
        if name not in known and near:
            yield name, near[0]
