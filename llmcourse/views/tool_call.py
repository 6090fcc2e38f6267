"""A conversation with tools as one string: who wrote each stretch of it, and why it is there."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from transformers.utils import get_json_schema

from llmcourse import html
from llmcourse.sandbox import LimitReached
from llmcourse.show import Table, columns_wide, plural
from llmcourse.views._part_drawing import marked, segments_of
from llmcourse.views._template_parts import (
    TEMPLATE,
    Finder,
    changed,
    checked,
    disguised,
    missing,
    refusal,
    renderer,
    special_tokens,
    tokenized,
)
from llmcourse.views._writers import (
    ENDS,
    MODEL,
    PROMPT,
    TOOL,
    USER,
    WRITERS,
    YOU,
    Stretch,
    Writers,
    writer_of,
)

_ROWS = 100
_CHARACTERS = 10_000  # of the string that are drawn, over all rows
_LONGEST, _IN_TEXT = 400, 200  # characters of a stretch that are drawn, on a page and in text
_PIECES = 20  # of a stretch: its special tokens, and what is between them
_IDS = 6  # of a stretch, that are listed
_WIDTHS = (20, 46, 24)  # columns of the text form: tokens, text, why
_LOOKS = {
    TEMPLATE: "",
    YOU: html.tinted(html.YELLOW_TINT, "1px dotted"),
    USER: html.tinted(html.BLUE_TINT),
    MODEL: html.tinted(html.GREEN_TINT, "3px double"),
    TOOL: html.tinted(html.ORANGE_TINT, "2px solid"),
}


@dataclass(frozen=True, eq=False)
class ToolCall:
    """What a chat template made of a conversation, and who wrote which stretch of it."""

    messages: int  # how many there are
    text: str  # the exact string; "" if the template refused
    parts: Sequence[Stretch]  # in reading order; together they are the string
    ids: Sequence[int] | None  # its tokens; None if the tokenizer cannot make them
    notes: Sequence[str]  # what a reader should know, in sentences

    @property
    def caption(self) -> str:
        """What the table shows, in words."""
        many = plural(self.messages, "message")
        if not self.text:
            return f"{many}: the chat template makes no text of them"
        length = "" if self.ids is None else f", {plural(len(self.ids), 'token')}"
        return f"Who wrote what: {many} as one string, {len(self.text):,} characters{length}"

    @property
    def summary(self) -> str:
        """How many tokens each wrote; characters, where the tokenizer tells no places."""
        if not self.text:
            return ""
        counts = {writer: self.written_by(writer) for writer in WRITERS}
        unit = "tokens" if None not in counts.values() else "characters"
        if unit == "characters":
            counts = {writer: len(self.text_of(writer)) for writer in WRITERS}
        first, *others = [
            (writer if writer == YOU else f"the {writer}", count)
            for writer, count in counts.items()
            if count or writer == TEMPLATE
        ]
        rest = "".join(f", {name} {count:,}" for name, count in others)
        return f"Of {sum(counts.values()):,} {unit} {first[0]} wrote {first[1]:,}{rest}."

    def written_by(self, writer: str) -> int | None:
        """Return how many tokens a writer wrote, None where the tokenizer gives no places."""
        counts = [part.tokens for part in self.parts]
        own = [part.tokens for part in self.parts if part.writer == writer]
        return None if None in counts else sum(own)

    def text_of(self, writer: str) -> str:
        """Return all that a writer wrote, joined."""
        return "".join(part.text for part in self.parts if part.writer == writer)

    def table(self) -> Table:
        """Return a line for each stretch: who, tokens, text, why; long ones are cut."""
        lines = [
            (name, _count(part), "".join(text for _, text in shown), part.why)
            for name, part, shown in self._rows(_IN_TEXT)
        ]
        return Table(self.caption, ("who", "tokens", "text", "why"), lines, longest=None)

    def _rows(self, longest: int) -> Iterator:
        """Yield (who, stretch, its segments) for each line of the table."""
        parts = list(self.parts)
        if len(parts) > _ROWS:
            left_out = Stretch(TEMPLATE, "", why=f"… {len(parts) - _ROWS:,} rows more …", ids=())
            parts = [*parts[: _ROWS // 2], left_out, *parts[-_ROWS // 2 :]]
        longest = min(longest, max(40, _CHARACTERS // max(1, len(parts))))
        for part in parts:
            name = part.writer if part.text else "…"
            yield name, part, segments_of(part, longest, _PIECES)

    def __repr__(self) -> str:
        table = self.table()
        rows = [line for row in table.rows for line in _folded(row)]
        folded = Table(table.caption, table.headers, rows, longest=None)
        notes = [line for note in self.notes for line in textwrap.wrap(note, 100)]
        return "\n".join([repr(folded), *filter(None, [self.summary]), *notes])

    def _repr_html_(self) -> str:
        rows = [self._row(*row) for row in self._rows(_LONGEST)]
        legend = "Boxes: what you, the user, the model and the tools wrote. Dashed: special tokens."
        under = [self.summary, f"{legend} The small numbers are ids."] if self.text else []
        page = html.table(self.caption, ("who", "tokens", "text", "why"), rows, notes=under)
        return page + html.lines(self.notes)

    def _row(self, name: str, part: Stretch, shown) -> str:
        text = marked(shown, _LOOKS[part.writer], part.special_ids)
        look = f"{html.MONO}overflow-wrap:anywhere;line-height:1.7"
        return html.row(
            [
                html.header(html.escape(name), "row"),
                html.cell(html.escape(_count(part))),
                html.cell(text, look),
                html.cell(html.escape(part.why)),
            ]
        )


def _count(part: Stretch) -> str:
    """Return how many tokens a stretch has, and the ids that matter: of marks, of special ones."""
    if not part.ids:
        return "" if part.ids is None or not part.text else "0"
    many = f"{len(part.ids):,}"
    if len(part.ids) <= _IDS and (part.special or part.why in (PROMPT, ENDS)):
        return f"{many}: {', '.join(map(str, part.ids))}"
    special = list(dict.fromkeys(part.special_ids))
    more = ", …" if len(special) > _IDS else ""
    listed = ", ".join(map(str, special[:_IDS]))
    return f"{many} (special: {listed}{more})" if special else many


def _folded(row: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the lines of a row that is no wider than the columns of the text form."""
    name, tokens, text, why = row
    columns = [
        [name],
        textwrap.wrap(tokens, _WIDTHS[0]),
        list(_lines(text, _WIDTHS[1])),
        textwrap.wrap(why, _WIDTHS[2]),
    ]
    for number in range(max(map(len, columns))):
        yield tuple(column[number] if number < len(column) else "" for column in columns)


def _lines(text: str, width: int) -> Iterator[str]:
    """Yield a text in pieces of at most so many columns of a terminal."""
    line = ""
    for letter in text:
        if columns_wide(line + letter) > width:
            yield line
            line = ""
        line += letter
    if line:
        yield line


def tool_call(
    tokenizer,
    messages: Sequence[dict],
    *,
    tools: Sequence[dict | Callable] = (),
    chat_template: str | None = None,
    model_wrote: Sequence[str | None] | None = None,
    **template_kwargs,
) -> ToolCall:
    """Show who wrote which stretch of the string that a chat template makes of a conversation.

    messages: a list of {"role": ..., "content": ...}, an answer with `tool_calls` and perhaps
    `reasoning_content`, results with the role "tool". tools: JSON schemas or functions, as
    `apply_chat_template` takes them. model_wrote: the text of each answer as it came out of the
    model, in order, with special tokens or without its last, None where that is not known: where
    the template spells it otherwise, a note says so. template_kwargs: what `apply_chat_template`
    takes besides and what the template itself knows; without `add_generation_prompt=True` the
    string ends with the last message. A template that refuses the messages gives a view that says
    which one and why.

    The writers: `you` (the program: system messages, tools), `user`, `model` (its answers, thinking
    and calls, and the token that ends its turn), `tool` (results), `template` (all the rest).
    Raises ValueError for no messages, no chat template, or as many texts in `model_wrote` as there
    are no answers; TypeError for what is not a message.
    """
    schemas = [get_json_schema(one) if callable(one) else one for one in tools]
    call = template_kwargs | ({"tools": schemas} if schemas else {})
    call |= {"chat_template": chat_template} if chat_template is not None else {}
    messages = checked(tokenizer, messages, call)
    generation = call.pop("add_generation_prompt", False)
    wrote = _by_number(messages, model_wrote)
    render = renderer(tokenizer, call)
    try:
        text = render(messages, generation)
    except Exception as error:
        return ToolCall(len(messages), "", [], None, [refusal(render, messages, error)])
    finder = Finder(render, messages, text, generation)
    writers = Writers(finder, schemas, wrote, special_tokens(tokenizer).values())
    try:
        found = writers.stretches()
        notes = [*missing(messages, found), *writers.notes, *changed(messages, found)]
    except LimitReached as error:
        found, notes = [Stretch(TEMPLATE, text)], [f"Who wrote what is not known: {error}."]
    ids, parts = tokenized(tokenizer, text, found)
    return ToolCall(len(messages), text, parts, ids, [*notes, *disguised(parts)])


def _by_number(messages: Sequence[dict], wrote: Sequence[str | None] | None) -> dict[int, str]:
    """Return what the model wrote, by the number of its message."""
    numbers = [number for number, one in enumerate(messages) if writer_of(one) == MODEL]
    if wrote is None:
        return {}
    if isinstance(wrote, str) or len(wrote) != len(numbers):
        given = "one text" if isinstance(wrote, str) else plural(len(wrote), "text")
        raise ValueError(
            f"model_wrote is {given} and the conversation has {plural(len(numbers), 'answer')}; "
            "pass a list with a text for each, None where it is not known."
        )
    known = zip(numbers, wrote, strict=True)
    return {number: text for number, text in known if text is not None}
