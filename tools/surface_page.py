"""Make docs/surface.md from surface.toml: what people get wrong, part by part, and who looks.

    python -m tools.surface_page     # or `make docs`

The severities come from the doctor's registry, so that a check that goes leaves its place empty.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from llmcourse.doctor.explain import every_code, severities_of

TABLE = Path(__file__).with_name("surface.toml")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "surface.md"
KNOWN = ("before", "after", "source", "never")
KINDS = ("error", "taste", "cost")

TOP = """\
<!-- Made by `make docs` from tools/surface.toml and the doctor's registry: change it there. -->

# The surface of generate, and what the doctor sees of it

Every field of `GenerationConfig`, every argument of `generate`, of a tokenizer's call, of \
`apply_chat_template`, `decode`, `pipeline`, `from_pretrained` and the streamers: what people get \
wrong with it, what they see then, and whether the doctor looks for it. It is gone through name by \
name, not by what came to mind.

*Known*: **before** the run, from the call; **after** it, from the output or from what is done \
with it; in the **source**; or **never**, by nothing that a program could read. *What it is*: an \
**error**, a question of **taste**, or a **cost** in time or memory. A code links to its section \
in [pitfalls](pitfalls.md), with the severities that its findings have. *Not looked for* is meant \
as it stands.
"""


@dataclass(frozen=True)
class Row:
    """A mistake with a part of the surface."""

    names: tuple[str, ...]  # fields or arguments
    mistake: str  # "" where none was seen
    seen: str  # what is seen then
    known: str  # one of KNOWN
    kind: str  # one of KINDS
    codes: tuple[str, ...]  # of the doctor, that look for it


@dataclass(frozen=True)
class Part:
    """A part of the surface."""

    title: str
    of: str  # what has these names: "GenerationConfig", "generate", ...
    rows: tuple[Row, ...]

    @property
    def names(self) -> set[str]:
        """All names that have a row."""
        return {name for row in self.rows for name in row.names}


def parts() -> list[Part]:
    """Return the table's parts. Raises ValueError for a row with a word that is not known."""
    given = tomllib.loads(TABLE.read_text(encoding="utf-8"))["parts"]
    return [Part(one["title"], one["of"], tuple(map(_row, one["rows"]))) for one in given]


def _row(given: list) -> Row:
    names, mistake, seen, known, kind, codes = given
    if known not in KNOWN or kind not in KINDS:
        raise ValueError(f"{names}: {known!r} or {kind!r} is not known")
    return Row(tuple(names.split(", ")), mistake, seen, known, kind, tuple(codes))


def page() -> str:
    """Return docs/surface.md. Raises LookupError for a code that the doctor does not have."""
    every = parts()
    rows = [row for part in every for row in part.rows if row.mistake]
    looked_for = [row for row in rows if row.codes]
    count = (
        f"{len(rows)} mistakes in {len(every)} parts; the doctor looks for {len(looked_for)} of "
        f"them, and does not look for {len(rows) - len(looked_for)}."
    )
    return "\n".join([TOP, count, *map(_section, every)])


def _section(part: Part) -> str:
    lines = [
        f"\n## {part.title}\n",
        "| name | what people get wrong | what is seen | known | is | the doctor |",
        "|---|---|---|---|---|---|",
    ]
    for row in part.rows:
        names = ", ".join(f"`{name}`" for name in row.names)
        if row.mistake:
            said = (row.mistake, row.seen, row.known, row.kind, _codes(row.codes))
        else:
            said = ("nothing that we have met", "", "", "", "not looked for")
        lines.append("| " + " | ".join([names, *(_cell(each) for each in said)]) + " |")
    return "\n".join(lines) + "\n"


def _codes(codes: tuple[str, ...]) -> str:
    known = every_code()
    if missing := set(codes) - set(known):
        raise LookupError(f"the doctor has no code {min(missing)!r}")
    return "; ".join(map(_code, codes)) or "not looked for"


def _code(code: str) -> str:
    severities = " or ".join(severities_of(every_code()[code]))
    return f"[{code}](pitfalls.md#{code}) ({severities})"


def _cell(text: str) -> str:
    """Return a text for a cell of markdown: `<` and `|` stand for themselves."""
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Wrote {PAGE.name}.")
