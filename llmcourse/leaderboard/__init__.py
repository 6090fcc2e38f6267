"""A leaderboard of one's own: quality with intervals, speed and memory, of models and settings.

    >>> from llmcourse import leaderboard
    >>> leaderboard.run(settings=["float32", "8bit"], items_per_kind=10, file="board.json")

`python -m llmcourse leaderboard` does the same in a terminal.
"""

from llmcourse.leaderboard.board import Board, Standing, merge, read
from llmcourse.leaderboard.entries import Entry, parse
from llmcourse.leaderboard.picture import save_picture
from llmcourse.leaderboard.session import plan, run

__all__ = [
    "Board",
    "Entry",
    "Standing",
    "merge",
    "parse",
    "plan",
    "read",
    "run",
    "save_picture",
]
