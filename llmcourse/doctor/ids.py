"""Ids as plain rows of Python: of a tensor, of what a tokenizer made, packed to be searched."""

from array import array
from collections.abc import Iterable, Mapping
from typing import Any


def rows_of(given, texts: int) -> list[list[int]]:
    """Return what was decoded into so many texts, one id, a row or rows, as rows of plain ids."""
    ids = plain(given)
    ids = [ids] if isinstance(ids, int) else [plain(one) for one in ids]
    if ids and not isinstance(ids[0], int):
        return [[int(plain(one)) for one in row] for row in ids]
    return [ids] if texts == 1 else [[one] for one in ids]


def plain(ids) -> Any:
    """Return a tensor, an array or a number of theirs as plain Python."""
    return ids.tolist() if hasattr(ids, "tolist") else ids


def made_rows(made, most: int) -> list[list[int]]:
    """Return the first rows of ids that a tokenizer's call made; [] if it made none."""
    ids = made.get("input_ids") if isinstance(made, Mapping) else made
    if isinstance(ids, str) or ids is None:
        return []
    several = getattr(ids, "ndim", 1) > 1 or (
        isinstance(ids, list | tuple) and bool(ids) and not isinstance(ids[0], int)
    )
    rows = [plain(row) for row in (ids[:most] if several else [ids])]
    fit = all(
        isinstance(row, list | tuple) and row and all(isinstance(one, int) for one in row)
        for row in rows
    )
    return [list(row) for row in rows] if fit else []


def packed(ids: Iterable[int]) -> bytes:
    """Return ids as bytes, 8 an id: such a row is searched far faster than a list."""
    return array("q", ids).tobytes()


def is_in(ids: bytes, rows: Iterable[bytes]) -> bool:
    """Tell whether packed ids stand one after another in one of the packed rows."""
    for row in rows:
        at = row.find(ids)
        while at % 8 and at != -1:  # from the middle of an id on
            at = row.find(ids, at + 1)
        if at != -1:
            return True
    return False
