"""The one string that a chat template makes of messages, and which part of it came from which.

Which part of the string came from which message is found by rendering the template again with a
slot in place of each content, and with fewer messages; the template itself is never parsed.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jinja2 import TemplateError

from llmcourse import html
from llmcourse.sandbox import LimitReached, TemplateFailed, apply_chat_template
from llmcourse.show import Table, in_words, plural, readable, visible

TEMPLATE, GENERATION = "template", "generation prompt"
_CHARACTERS, _SEGMENTS = 10_000, 600  # of the string that are drawn, over all rows
_ROWS = 100
_SECONDS = 20.0  # for finding out which part came from which message
_NOTHING = "(nothing)"
_OWN = html.tinted(html.BLUE_TINT)
_SPECIAL = html.outlined("2px dashed")


@dataclass(frozen=True)
class Part:
    """A stretch of the string, in reading order; together the parts are the whole string."""

    source: int | str  # the number of a message; or TEMPLATE: of none; or GENERATION
    text: str
    content: bool = False  # whether it is the message's own words
    tokens: int | None = None  # how many start in it; None where the tokenizer gives no places
    special: tuple[tuple[int, int], ...] = ()  # (start, end) of its special tokens, in `text`


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
        text = "".join(_marked(*one) for one in _drawn(parts, limits)) if parts else _NOTHING
        look = f"{html.MONO}overflow-wrap:anywhere;line-height:1.7"
        return html.row([name, count, html.cell(text, look)])


def _marked(content: bool, segments: Sequence[tuple[str, str]]) -> str:
    """Return a part with its special tokens marked, in a box if it is a message's own words."""
    inner = "".join(
        html.mark(html.escape(text), _SPECIAL)
        if kind == "special"
        else html.escape(text).replace("⏎", "⏎<br>")
        for kind, text in segments
    )
    return html.mark(inner, _OWN) if content else inner


def chat(tokenizer, messages, add_generation_prompt: bool = True, **template_kwargs) -> Chat:
    """Show the exact string that a chat template makes of `messages`, role by role.

    messages: a list of {"role": ..., "content": ...}. template_kwargs: what `apply_chat_template`
    takes besides (tools, chat_template, continue_final_message ...) and what the template itself
    knows. A template that refuses the messages gives a view that says which one and why; one that
    fails, or does more than `llmcourse.sandbox` allows, a view that says how.
    Raises ValueError for no messages or no chat template, TypeError for what is not a message.
    """
    messages = _checked(tokenizer, messages, template_kwargs)
    roles = [str(message["role"]) for message in messages]

    def render(some, generation: bool = False, **more) -> str:
        call = template_kwargs | more | {"add_generation_prompt": generation}
        return apply_chat_template(tokenizer, some, tokenize=False, return_dict=False, **call)

    try:
        text = render(messages, add_generation_prompt)
    except Exception as error:
        return Chat(roles, "", [], None, [_refusal(render, messages, error)])
    try:
        found = _Finder(render, messages, text, add_generation_prompt).parts()
        unknown = []
    except LimitReached as error:
        found = [Part(TEMPLATE, text)]
        unknown = [f"Which part came from which message is not known: {error}."]
    ids, parts = _tokenized(tokenizer, text, found)
    told_apart = [] if unknown else [*_missing(messages, parts), *_of_its_own(parts, tokenizer)]
    notes = [
        *unknown,
        *told_apart,
        *_changed(messages, parts),
        *_end(parts, add_generation_prompt),
        *_disguised(parts),
        *_doubled_bos(tokenizer, text, ids),
    ]
    return Chat(roles, text, parts, ids, notes)


def _checked(tokenizer, messages, template_kwargs) -> list[dict]:
    if isinstance(messages, str | dict) or not all(isinstance(one, dict) for one in messages):
        raise TypeError(
            f"messages={str(messages)[:60]!r} is not a list of messages; pass "
            '[{"role": "user", "content": "..."}].'
        )
    if not messages:
        raise ValueError('messages=[] is empty; pass [{"role": "user", "content": "..."}].')
    for number, message in enumerate(messages):
        if "role" not in message:
            raise ValueError(f'messages[{number}] has no role; add "role": "user".')
    if not tokenizer.chat_template and "chat_template" not in template_kwargs:
        raise ValueError(
            f"{type(tokenizer).__name__} has no chat template; pass chat_template=..., or take "
            "the tokenizer of a chat model (often named -Instruct, -it or -chat)."
        )
    return list(messages)


def _accepts(render, messages) -> bool:
    try:
        render(messages)
    except Exception:  # no messages, a type that the template lacks, ...
        return False
    return True


def _refusal(render, messages, error: Exception) -> str:
    """Name the message from which on the template refuses the conversation, and its words.

    Where nothing was refused, but the template or the library failed, say how.
    """
    if isinstance(error, TemplateFailed):
        return f"The template failed: {readable(str(error), 300)}"
    if not isinstance(error, TemplateError):
        return f"apply_chat_template failed: {in_words(error)}"
    until = time.monotonic() + _SECONDS
    accepted = [
        number
        for number in range(1, len(messages))
        if time.monotonic() < until and _accepts(render, messages[:number])
    ]
    first = max(accepted, default=0)
    role = visible(str(messages[first]["role"]))
    said = _readable(str(error)[:300])
    way_out = "; put its words into the first user message" if role == "system" else ""
    return f"Refused: message {first} ({role}). The template says: {said}{way_out}"


class _Finder:
    """Finds which part of a rendered string came from which message."""

    def __init__(self, render, messages, text: str, generation: bool):
        self.render, self.messages, self.text, self.generation = render, messages, text, generation
        everything = text + repr(messages)
        self.slot = "Slot"
        while self.slot in everything:
            self.slot += "z"
        self.slots: dict[str, tuple[int, str]] = {}  # the message and block that each stands for
        self.until = time.monotonic() + _SECONDS

    def parts(self) -> list[Part]:
        """Return the parts of the string; one part of the template's if nothing is found.

        Raises LimitReached where looking for them takes too long.
        """
        for find in (self._by_slots, self._by_prefixes):
            parts = find()
            if parts is not None:
                return [part for part in parts if part.text]
        return [Part(TEMPLATE, self.text)]

    def _by_slots(self) -> list[Part] | None:
        """Render with a slot for each content; what stands between the slots is the template's."""
        slotted = [self._slotted(number, one) for number, one in enumerate(self.messages)]
        frame = self._try(slotted, self.generation)
        if frame is None:
            return None
        bare = self._try(slotted, False)
        end = len(bare) if self.generation and bare and frame.startswith(bare) else len(frame)
        edges = self._edges(frame, slotted)
        pieces = re.split(rf"({self.slot}\d+q\d*q)", frame)
        literals, slots = pieces[::2], pieces[1::2]
        if not self.slots.keys() >= set(slots):
            return None  # the template changes digits
        parts, at, place = [], 0, 0
        for turn, literal in enumerate(literals):
            if not self.text.startswith(literal, at):
                return None
            previous = self.slots[slots[turn - 1]][0] if turn else None
            following = self.slots[slots[turn]][0] if turn < len(slots) else None
            parts += _split(literal, place, end, edges, previous, following)
            at, place = at + len(literal), place + len(literal)
            if following is None:
                break
            words = self._words(*self.slots[slots[turn]])
            length = self._length(words, at, literals[turn + 1], last=turn + 2 == len(literals))
            if length is None:
                return None
            parts.append(Part(following, self.text[at : at + length], content=True))
            at, place = at + length, place + len(slots[turn])
        return parts if at == len(self.text) else None

    def _slotted(self, number: int, message: dict) -> dict:
        content = message.get("content")
        if isinstance(content, str):
            return message | {"content": self._new_slot(number)}
        if isinstance(content, list):
            blocks = [
                block | {"text": self._new_slot(number, str(at))} if _is_text(block) else block
                for at, block in enumerate(content)
            ]
            return message | {"content": blocks}
        return message

    def _new_slot(self, number: int, block: str = "") -> str:
        slot = f"{self.slot}{number}q{block}q"
        self.slots[slot] = (number, block)
        return slot

    def _words(self, number: int, block: str) -> str:
        content = self.messages[number]["content"]
        return content[int(block)]["text"] if block else content

    def _length(self, words: str, at: int, following: str, last: bool) -> int | None:
        """Return how long the content at `at` is: as it was, stripped, or up to what follows."""
        for form in (words, words.strip(), words.rstrip(), words.lstrip()):
            end = at + len(form)
            whole = end + len(following) == len(self.text) or not last
            if whole and self.text.startswith(form + following, at):
                return len(form)
        end = self.text.rfind(following) if last else self.text.find(following, at)
        return end - at if end >= at and following else None

    def _edges(self, frame: str, slotted: list[dict]) -> dict[int, int]:
        """Return where in `frame` each message starts, as far as it can be found out."""
        edges = {}
        for number in range(1, len(slotted)):
            start = self._try(slotted[:number], False)
            if start and frame.startswith(start) and self._holds(start, frame, number):
                edges[number] = len(start)
        opening = self._opening(slotted[0])
        first = frame.find(f"{self.slot}0q")
        if opening and first >= 0 and frame[:first].endswith(opening):
            edges[0] = first - len(opening)
        return edges

    def _holds(self, start: str, frame: str, number: int) -> bool:
        """Tell whether an edge has the contents before `number` before it and the rest behind."""
        slot = rf"{self.slot}\d+q\d*q"
        before, behind = re.findall(slot, start), re.findall(slot, frame[len(start) :])
        return all(self.slots[one][0] < number for one in before if one in self.slots) and all(
            self.slots[one][0] >= number for one in behind if one in self.slots
        )

    def _opening(self, first: dict) -> str | None:
        """Return how the template opens a message of this role where another one comes first.

        What it writes before that at the start of a text is its own: BOS, a default system message.
        """
        other = {"role": "system", "content": f"{self.slot}other"}
        if first["role"] == "system":
            return None
        alone, both = self._try([other], False), self._try([other, first], False)
        if not alone or not both or not both.startswith(alone):
            return None
        before, slot, _ = both[len(alone) :].partition(f"{self.slot}0q")
        return before if slot else None

    def _try(self, messages, generation: bool) -> str | None:
        if time.monotonic() > self.until:
            raise LimitReached(f"finding it out takes more than {_SECONDS:.0f} seconds")
        try:
            more = {} if len(messages) == len(self.messages) else {"continue_final_message": False}
            return self.render(messages, generation, **more)
        except LimitReached:
            raise
        except Exception:
            return None

    def _by_prefixes(self) -> list[Part] | None:
        """Render one message, two, three ...: what each adds is its part of the string."""
        parts, at = [], 0
        for number in range(len(self.messages)):
            start = self._try(self.messages[: number + 1], False)
            if start is None or not self.text.startswith(start) or len(start) < at:
                return None
            parts.append(Part(number, self.text[at : len(start)]))
            at = len(start)
        return [*parts, Part(GENERATION if self.generation else TEMPLATE, self.text[at:])]


def _is_text(block) -> bool:
    return isinstance(block, dict) and isinstance(block.get("text"), str)


def _split(literal: str, place: int, end: int, edges, previous, following) -> list[Part]:
    """Share out the template's text between two contents to the messages on either side.

    place: where `literal` starts in the frame. end: where the generation prompt starts in it.
    """
    cut = min(max(end - place, 0), len(literal)) if following is None else len(literal)
    tail = [Part(GENERATION, literal[cut:])]
    own, at = [], 0
    owner = TEMPLATE if previous is None else previous
    for number, edge in sorted(edges.items()):
        if place + at <= edge <= place + cut and (previous is None or number > previous):
            own.append(Part(owner, literal[at : edge - place]))
            owner, at = number, edge - place
    if owner == TEMPLATE and following is not None and following not in edges:
        owner = following  # where the template's own words end cannot be found out
    return [*own, Part(owner, literal[at:cut]), *tail]


def _tokenized(tokenizer, text: str, parts: list[Part]) -> tuple[list[int] | None, list[Part]]:
    """Return the string's tokens, and the parts with their numbers of tokens."""
    fast = {"return_offsets_mapping": True} if tokenizer.is_fast else {}
    try:
        made = tokenizer(text, add_special_tokens=False, **fast)
    except (TypeError, UnicodeEncodeError):  # half of a surrogate pair
        return None, parts
    if not fast:
        return made["input_ids"], parts
    special = set(tokenizer.all_special_ids) | {
        token for token, added in tokenizer.added_tokens_decoder.items() if added.special
    }
    places = list(zip(made["input_ids"], made["offset_mapping"], strict=True))
    counted, start, next_token = [], 0, 0
    for number, part in enumerate(parts):
        end = start + len(part.text)
        first = next_token
        last = number == len(parts) - 1
        while next_token < len(places) and (places[next_token][1][0] < end or last):
            next_token += 1
        inside = places[first:next_token]
        spans = tuple(
            (left - start, min(right, end) - start)
            for token, (left, right) in inside
            if token in special and right > left
        )
        counted.append(replace(part, tokens=len(inside), special=spans))
        start = end
    return made["input_ids"], counted


def _missing(messages, parts) -> list[str]:
    seen = {part.source for part in parts}
    return [
        f"Dropped: nothing of message {number} ({visible(str(message['role']))}) is in the text."
        for number, message in enumerate(messages)
        if number not in seen or (_said(message) and not _has_content(parts, number))
    ]


def _said(message: dict) -> str:
    content = message.get("content")
    return content.strip() if isinstance(content, str) else ""


def _has_content(parts, number: int) -> bool:
    own = [part for part in parts if part.source == number]
    any_content = any(part.content for part in parts)
    return any(part.content for part in own) or (bool(own) and not any_content)


def _changed(messages, parts) -> list[str]:
    stripped, changed = [], []
    for number, message in enumerate(messages):
        shown = [part.text for part in parts if part.content and part.source == number]
        content = message.get("content")
        if not shown or not isinstance(content, str) or content in shown:
            continue
        same = content.strip() in [text.strip() for text in shown]
        (stripped if same else changed).append(number)
    notes = []
    if stripped:
        notes.append(f"Stripped of spaces or newlines at the edges: {_numbers(stripped)}.")
    if changed:
        notes.append(f"Changed by the template, not as they were given: {_numbers(changed)}.")
    return notes


def _numbers(numbers: list[int]) -> str:
    more = f" and {len(numbers) - 8:,} more" if len(numbers) > 8 else ""
    return f"message {', '.join(map(str, numbers[:8]))}{more}"


def _of_its_own(parts, tokenizer) -> list[str]:
    own = [part for part in parts if part.source == TEMPLATE]
    text = "".join(part.text for part in own)
    if text in ("", tokenizer.bos_token):
        return []
    more = " …" if len(text) > 120 else ""
    return [f"The template adds text that is in no message: {_readable(text[:120])}{more}"]


def _end(parts, asked: bool) -> list[str]:
    if not asked:
        return ["No generation prompt was asked for: the model may go on in the user's place."]
    if any(part.source == GENERATION for part in parts):
        return []
    return ["The template has no generation prompt of its own: the text ends with the messages."]


def _disguised(parts) -> list[str]:
    guilty = [part for part in parts if part.content and part.special]
    if not guilty:
        return []
    names = {visible(part.text[slice(*place)]) for part in guilty for place in part.special[:50]}
    return [
        "Special tokens in the messages' own words, which the model reads as the template's: "
        f"{', '.join(sorted(names)[:5])} in {_numbers(sorted({part.source for part in guilty}))}."
    ]


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
        yield part.content, _segments(part, longest, most)
    if len(parts) > drawn:
        left_out = sum(len(part.text) for part in parts[drawn:])
        yield False, [("cut", f" … {left_out:,} characters more …")]


def _segments(part: Part, longest: int, most: int) -> list[tuple[str, str]]:
    shown, at = [], 0
    for left, right in (*part.special, (len(part.text), len(part.text))):
        if left > at:
            shown.append(("text", part.text[at:left]))
        if right > left:
            shown.append(("special", part.text[left:right]))
        at = max(at, right)
    cut, room = [], longest
    for kind, text in shown:
        if room <= 0 or len(cut) == most:
            break
        cut.append((kind, _readable(text[:room])))
        room -= len(text)
    left_out = len(part.text) - sum(len(text) for _, text in shown[: len(cut)]) + max(0, -room)
    return [*cut, ("cut", f" … {left_out:,} characters more …")] if left_out else cut


def _readable(text: str) -> str:
    """Return `text` with nothing invisible in it; single spaces between words stay spaces."""
    parts = re.split(r"(?<=[^\s]) (?=[^\s])", text)
    return " ".join(visible(part, None) for part in parts)
