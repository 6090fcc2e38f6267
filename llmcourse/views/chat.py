"""The one string that a chat template makes of messages, and which part of it came from which."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmcourse import html
from llmcourse.sandbox import LimitReached
from llmcourse.show import Table, plural, visible
from llmcourse.views._part_drawing import marked, segments_of, spaced
from llmcourse.views._template_parts import (
    GENERATION,
    TEMPLATE,
    Finder,
    Part,
    changed,
    checked,
    disguised,
    missing,
    refusal,
    renderer,
    tokenized,
)

_CHARACTERS, _SEGMENTS = 10_000, 600  # of the string that are drawn, over all rows
_ROWS = 100
_NOTHING = "(nothing)"
_OWN = html.tinted(html.BLUE_TINT)


@dataclass(frozen=True, eq=False)
class Chat:
    """What a chat template made of `messages`."""

    roles: Sequence[str]  # of each message
    text: str  # the exact string; "" if the template refused
    parts: Sequence[Part]  # where each stretch of it came from
    ids: Sequence[int] | None  # its tokens, as `apply_chat_template` makes them; None if it cannot
    notes: Sequence[str]  # what a reader should know, in sentences

    @property
    def caption(self) -> str:
        """What the table shows, in words."""
        many = plural(len(self.roles), "message")
        if not self.text:
            return f"{many}: the chat template makes no text of them"
        length = "" if self.ids is None else f", {len(self.ids):,} tokens"
        return f"{many} as one string: {len(self.text):,} characters{length}"

    def tokens_of(self, source: int | str) -> int | None:
        """Return how many tokens came from one source, None where the tokenizer gives no places."""
        counts = [part.tokens for part in self.parts if part.source == source]
        return None if None in counts else sum(counts)

    def table(self) -> Table:
        """Return a line for each source: who, tokens, text with «the message's own words»."""
        lines = [
            (self._name(source), self._count(parts), self._line(parts, limits))
            for source, parts, limits in self._rows()
        ]
        return Table(self.caption, ("from", "tokens", "text"), lines, longest=None)

    def _rows(self):
        """Yield (source, parts, (characters, segments) to draw) for each line of the table."""
        rows = _grouped(self.parts, len(self.roles))
        shown = rows if len(rows) <= _ROWS else [*rows[: _ROWS // 2], None, *rows[-_ROWS // 2 :]]
        limits = (_CHARACTERS // max(1, len(shown)), _SEGMENTS // max(1, len(shown)))
        for row in shown:
            left_out = (f"… {len(rows) - _ROWS:,} rows more …", [])
            yield *(left_out if row is None else row), limits

    def _name(self, source: int | str) -> str:
        return f"{source} {visible(self.roles[source])}" if isinstance(source, int) else source

    def _count(self, parts: Sequence[Part]) -> str:
        if not parts or any(part.tokens is None for part in parts):
            return ""
        special = sum(len(part.special) for part in parts)
        more = f" ({special:,} special)" if special else ""
        return f"{sum(part.tokens for part in parts):,}{more}"

    def _line(self, parts: Sequence[Part], limits) -> str:
        if not parts:
            return _NOTHING
        texts = (("".join(t for _, t in segments), own) for own, segments in _drawn(parts, limits))
        return "".join(f"«{text}»" if own else text for text, own in texts)

    def __repr__(self) -> str:
        return "\n".join([repr(self.table()), *self.notes])

    def _repr_html_(self) -> str:
        rows = [self._row(source, parts, limits) for source, parts, limits in self._rows()]
        legend = ["The message's own words in a box; special tokens dashed."] if self.text else []
        page = html.table(self.caption, ("from", "tokens", "text"), rows, notes=legend)
        return page + html.lines(self.notes)

    def _row(self, source: int | str, parts: Sequence[Part], limits) -> str:
        name = html.header(html.escape(self._name(source)), "row")
        count = html.cell(self._count(parts), "white-space:nowrap")
        drawn = [marked(shown, _OWN if own else "") for own, shown in _drawn(parts, limits)]
        text = "".join(drawn) if parts else _NOTHING
        look = f"{html.MONO}overflow-wrap:anywhere;line-height:1.7"
        return html.row([name, count, html.cell(text, look)])


def chat(tokenizer, messages, add_generation_prompt: bool = True, **template_kwargs) -> Chat:
    """Show the exact string that a chat template makes of `messages`, role by role.

    messages: a list of {"role": ..., "content": ...}. template_kwargs: what `apply_chat_template`
    takes besides (tools, chat_template, continue_final_message ...) and what the template itself
    knows. A template that refuses the messages gives a view that says which one and why; one that
    fails, or does more than `llmcourse.sandbox` allows, a view that says how.
    Raises ValueError for no messages or no chat template, TypeError for what is not a message.
    """
    messages = checked(tokenizer, messages, template_kwargs)
    roles = [str(message["role"]) for message in messages]
    render = renderer(tokenizer, template_kwargs)
    try:
        text = render(messages, add_generation_prompt)
    except Exception as error:
        return Chat(roles, "", [], None, [refusal(render, messages, error)])
    try:
        found = Finder(render, messages, text, add_generation_prompt).parts()
        unknown = []
    except LimitReached as error:
        found = [Part(TEMPLATE, text)]
        unknown = [f"Which part came from which message is not known: {error}."]
    ids, parts = tokenized(tokenizer, text, found)
    told_apart = [] if unknown else [*missing(messages, parts), *_of_its_own(parts, tokenizer)]
    notes = [
        *unknown,
        *told_apart,
        *changed(messages, parts),
        *_end(parts, add_generation_prompt),
        *disguised(parts),
        *_doubled_bos(tokenizer, text, ids),
    ]
    return Chat(roles, text, parts, ids, notes)


def _of_its_own(parts, tokenizer) -> list[str]:
    own = [part for part in parts if part.source == TEMPLATE]
    text = "".join(part.text for part in own)
    if text in ("", tokenizer.bos_token):
        return []
    more = " …" if len(text) > 120 else ""
    return [f"The template adds text that is in no message: {spaced(text[:120])}{more}"]


def _end(parts, asked: bool) -> list[str]:
    if not asked:
        return ["No generation prompt was asked for: the model may go on in the user's place."]
    if any(part.source == GENERATION for part in parts):
        return []
    return ["The template has no generation prompt of its own: the text ends with the messages."]


def _doubled_bos(tokenizer, text: str, ids) -> list[str]:
    bos = tokenizer.bos_token_id
    if ids is None or bos is None or not text.startswith(tokenizer.bos_token):
        return []
    name = visible(tokenizer.bos_token)
    if ids[:2] == [bos, bos]:
        return [f"Doubled BOS: the text itself begins with {name} twice."]
    if tokenizer(text)["input_ids"][:2] == [bos, bos]:
        return [
            f"Doubled BOS: tokenizer(text) puts a second {name} before the text; pass "
            "add_special_tokens=False, or let apply_chat_template tokenize."
        ]
    return []


def _grouped(parts: Sequence[Part], messages: int) -> list[tuple[int | str, list[Part]]]:
    """Return (source, parts) for each row: neighbours of one source, and an empty row if none."""
    rows: list[tuple[int | str, list[Part]]] = []
    for part in parts:
        if rows and rows[-1][0] == part.source:
            rows[-1][1].append(part)
        else:
            rows.append((part.source, [part]))
    for number in set(range(messages)) - {source for source, _ in rows}:
        before = [
            at
            for at, (source, _) in enumerate(rows)
            if source == TEMPLATE or (isinstance(source, int) and source < number)
        ]
        rows.insert(max(before, default=-1) + 1, (number, []))
    return rows


def _drawn(parts: Sequence[Part], limits):
    """Yield (is content, [(kind, readable text)]) for each part, cut where it is too long."""
    characters, segments = limits
    longest = max(40, characters // max(1, len(parts)))
    most = max(3, segments // max(1, len(parts)))
    drawn = max(1, segments)
    for part in parts[:drawn]:
        yield part.content, segments_of(part, longest, most)
    if len(parts) > drawn:
        left_out = sum(len(part.text) for part in parts[drawn:])
        yield False, [("cut", f" … {left_out:,} characters more …")]
