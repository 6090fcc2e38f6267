"""What a chat template's string is made of: which part of it came from which message.

That is found by rendering the template again with a slot in place of each content, and with fewer
messages; the template itself is never parsed.
"""

import re
import time
from dataclasses import dataclass, replace

from jinja2 import TemplateError

from llmcourse.sandbox import LimitReached, TemplateFailed, apply_chat_template
from llmcourse.show import in_words, readable, visible
from llmcourse.views._part_drawing import spaced

TEMPLATE, GENERATION = "template", "generation prompt"
_SECONDS = 20.0  # for finding out which part came from which message


@dataclass(frozen=True)
class Part:
    """A stretch of the string, in reading order; together the parts are the whole string."""

    source: int | str  # the number of a message; or TEMPLATE: of none; or GENERATION
    text: str
    content: bool = False  # whether it is the message's own words
    ids: tuple[int, ...] | None = None  # that start in it; None where the tokenizer gives no places
    special: tuple[tuple[int, int], ...] = ()  # (start, end) of its special tokens, in `text`
    special_ids: tuple[int, ...] = ()  # of these

    @property
    def tokens(self) -> int | None:
        """How many tokens start in it; None where the tokenizer gives no places."""
        return None if self.ids is None else len(self.ids)


def checked(tokenizer, messages, template_kwargs) -> list[dict]:
    """Return messages as a list; raise TypeError or ValueError for what is none."""
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


def renderer(tokenizer, template_kwargs):
    """Return a function `(messages, generation, **more)` that gives a chat template's string."""

    def render(some, generation: bool = False, **more) -> str:
        call = template_kwargs | more | {"add_generation_prompt": generation}
        return apply_chat_template(tokenizer, some, tokenize=False, return_dict=False, **call)

    return render


def refusal(render, messages, error: Exception) -> str:
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
    said = spaced(str(error)[:300])
    way_out = "; put its words into the first user message" if role == "system" else ""
    return f"Refused: message {first} ({role}). The template says: {said}{way_out}"


def _accepts(render, messages) -> bool:
    try:
        render(messages)
    except Exception:  # no messages, a type that the template lacks, ...
        return False
    return True


class Finder:
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
                return self._with_calls([part for part in parts if part.text])
        return [Part(TEMPLATE, self.text)]

    def _by_slots(self) -> list[Part] | None:
        """Render with a slot for each content; what stands between the slots is the template's."""
        slotted = [self._slotted(number, one) for number, one in enumerate(self.messages)]
        frame = self.attempt(slotted, self.generation)
        if frame is None:
            return None
        bare = self.attempt(slotted, False)
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
        if isinstance(content, str) and (content or not message.get("tool_calls")):
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
            start = self.attempt(slotted[:number], False)
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
        alone, both = self.attempt([other], False), self.attempt([other, first], False)
        if not alone or not both or not both.startswith(alone):
            return None
        before, slot, _ = both[len(alone) :].partition(f"{self.slot}0q")
        return before if slot else None

    def _with_calls(self, parts: list[Part]) -> list[Part]:
        """Cut answers without words out of the parts before, where no edge was found for them.

        Such an answer, which is a call, goes on where a slot in place of its words would stand.
        """
        slot = f"{self.slot}call"
        seen = {part.source for part in parts}
        for number, message in enumerate(self.messages):
            if number in seen or not message.get("tool_calls"):
                continue
            some = [*self.messages]
            some[number] = message | {"content": slot}
            at = (self.attempt(some, self.generation) or "").find(slot)
            if at > 0:
                parts = _cut_at(parts, at, number)
        return parts

    def attempt(self, messages, generation: bool, **more) -> str | None:
        """Return what the template makes of other messages, None where it refuses or fails.

        Raises LimitReached where looking takes too long.
        """
        if time.monotonic() > self.until:
            raise LimitReached(f"finding it out takes more than {_SECONDS:.0f} seconds")
        try:
            if len(messages) != len(self.messages):
                more |= {"continue_final_message": False}
            return self.render(messages, generation, **more)
        except LimitReached:
            raise
        except Exception:
            return None

    def _by_prefixes(self) -> list[Part] | None:
        """Render one message, two, three ...: what each adds is its part of the string."""
        parts, at = [], 0
        for number in range(len(self.messages)):
            start = self.attempt(self.messages[: number + 1], False)
            if start is None or not self.text.startswith(start) or len(start) < at:
                return None
            parts.append(Part(number, self.text[at : len(start)]))
            at = len(start)
        return [*parts, Part(GENERATION if self.generation else TEMPLATE, self.text[at:])]


def _cut_at(parts: list[Part], at: int, source: int) -> list[Part]:
    """Return parts of which the one around `at` in the string goes on as another source's."""
    cut, start = [], 0
    for part in parts:
        end = start + len(part.text)
        if start <= at < end and not part.content:
            cut += [replace(part, text=part.text[: at - start])] if at > start else []
            cut.append(replace(part, source=source, text=part.text[at - start :]))
        else:
            cut.append(part)
        start = end
    return cut


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


def tokenized(tokenizer, text: str, parts: list[Part]) -> tuple[list[int] | None, list[Part]]:
    """Return the string's tokens, and the parts with theirs."""
    fast = {"return_offsets_mapping": True} if tokenizer.is_fast else {}
    try:
        made = tokenizer(text, add_special_tokens=False, **fast)
    except (TypeError, UnicodeEncodeError):  # half of a surrogate pair
        return None, parts
    if not fast:
        return made["input_ids"], parts
    special = special_tokens(tokenizer)
    places = list(zip(made["input_ids"], made["offset_mapping"], strict=True))
    counted, start, next_token = [], 0, 0
    for number, part in enumerate(parts):
        end = start + len(part.text)
        first = next_token
        last = number == len(parts) - 1
        while next_token < len(places) and (places[next_token][1][0] < end or last):
            next_token += 1
        inside = places[first:next_token]
        marked = [
            (token, (left - start, min(right, end) - start))
            for token, (left, right) in inside
            if token in special and right > left
        ]
        found = {
            "ids": tuple(token for token, _ in inside),
            "special": tuple(span for _, span in marked),
            "special_ids": tuple(token for token, _ in marked),
        }
        counted.append(replace(part, **found))
        start = end
    return made["input_ids"], counted


def special_tokens(tokenizer) -> dict[int, str]:
    """Return the special tokens of a tokenizer, by id."""
    added = tokenizer.added_tokens_decoder.items()
    own = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    return own | {token: one.content for token, one in added if one.special}


def missing(messages, parts) -> list[str]:
    """Name the messages of which nothing is in the text."""
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


def changed(messages, parts) -> list[str]:
    """Name the messages whose words are not in the text as they were given."""
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
        notes.append(f"Stripped of spaces or newlines at the edges: {numbers_of(stripped)}.")
    if changed:
        notes.append(f"Changed by the template, not as they were given: {numbers_of(changed)}.")
    return notes


def disguised(parts) -> list[str]:
    """Name the special tokens that are in the messages' own words."""
    guilty = [part for part in parts if part.content and part.special]
    if not guilty:
        return []
    names = {visible(part.text[slice(*place)]) for part in guilty for place in part.special[:50]}
    return [
        "Special tokens in the messages' own words, which the model reads as the template's: "
        f"{', '.join(sorted(names)[:5])} in {numbers_of(sorted({part.source for part in guilty}))}."
    ]


def numbers_of(numbers: list[int]) -> str:
    """Return messages by their numbers: `message 0, 2`."""
    more = f" and {len(numbers) - 8:,} more" if len(numbers) > 8 else ""
    return f"message {', '.join(map(str, numbers[:8]))}{more}"
