"""Who wrote which stretch of a chat template's string: you, user, model, tool or the template.

In a model's turn everything is the model's from where it was asked to go on (behind the generation
prompt, rendered for the messages before) to the token that ends its turn; but what no message says
is the template's there too, such as an empty block for thinking.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from llmcourse.show import plural, visible
from llmcourse.views._part_drawing import spaced
from llmcourse.views._spellings import (
    another_label,
    cut_around,
    descriptions,
    same_start,
    spellings,
)
from llmcourse.views._template_parts import GENERATION, TEMPLATE, Finder, Part

YOU, USER, MODEL, TOOL = "you", "user", "model", "tool"
WRITERS = (TEMPLATE, YOU, USER, MODEL, TOOL)
_WRITER_OF = {"system": YOU, "developer": YOU, "user": USER, "assistant": MODEL} | dict.fromkeys(
    ("tool", "function", "ipython"), TOOL
)
_WORDS = dict(
    zip(WRITERS[1:], ("your words", "the user's words", "its answer", "the result"), strict=True)
)
PROMPT, ENDS = "the generation prompt", "ends the turn: the model writes it"
_UNSAID = "its own: no message says it"
_A_TOOL, _DESCRIBED = "a tool, as you describe it", "your description of a tool"
_ABOUT_TOOLS = "says that there are tools, and how to call one"
_CALL_ID, _ANSWERS = "the call's id: your program's", "what the result answers: your program's"
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")  # where messages keep thinking


@dataclass(frozen=True)
class Stretch(Part):
    """A stretch of the string that one writer wrote for one reason."""

    writer: str = TEMPLATE  # one of WRITERS
    why: str = ""  # why it is there


def writer_of(message: dict) -> str:
    """Return who wrote the words of a message; those of a role that is not known are yours."""
    return _WRITER_OF.get(str(message["role"]), YOU)


class Writers:
    """Finds who wrote which stretch of a rendered string.

    tools: JSON schemas. wrote: what the model wrote, by the number of its message. special: the
    names of the special tokens. notes: what a reader should know, after `stretches`.
    """

    def __init__(self, finder: Finder, tools: Sequence[dict], wrote: dict[int, str], special):
        self.finder, self.messages, self.text = finder, finder.messages, finder.text
        self.tools, self.wrote, self.special = (
            list(tools),
            wrote,
            sorted({*special} - {""}, key=len)[::-1],
        )
        self.notes: list[str] = []
        self.calls: dict[int, list] = {}  # those of each answer that are in the string
        self.whole: set[int] = set()  # answers that cannot be told from the template's text

    def stretches(self) -> list[Stretch]:
        """Return the stretches of the string, in reading order.

        Raises LimitReached where looking for them takes too long.
        """
        found = self._with_words(self.finder.parts())
        if {part.source for part in found} <= {TEMPLATE}:
            self.notes.append("Who wrote what cannot be told: all counts as the template's.")
        found = self._with_prompts(found)
        self.ending = self._ending()
        self.needles = self._needles("\0".join(part.text for part in found if not part.content))
        self.labels = dict(self._labels())
        self._name_roles()
        stretches, at, begun = [], 0, set()
        worded = {part.source for part in found if part.content}
        turns = {number: self._turn(number, found) for number in self._of_the_model(found)}
        for part, following in zip(found, [*found[1:], None], strict=True):
            if part.source in turns:
                stretches += self._in_turn(part, at, turns[part.source])
            elif part.content:
                writer = writer_of(self.messages[part.source])
                stretches.append(_stretch(part, part.text, writer, _WORDS[writer]))
                begun.add(part.source)
            else:
                stretches += self._frame(part, at, self._framed(part, begun, following))
                begun |= {part.source} - worded  # without words, what comes next closes it
            at += len(part.text)
        return [one for one in stretches if one.text]

    def _of_the_model(self, found: list[Part]) -> list[int]:
        return [
            number
            for number in sorted({part.source for part in found if isinstance(part.source, int)})
            if writer_of(self.messages[number]) == MODEL
        ]

    def _name(self, number: int) -> str:
        return f"message {number} ({visible(str(self.messages[number]['role']))})"

    def _name_roles(self) -> None:
        for number, message in enumerate(self.messages):
            if str(message["role"]) not in _WRITER_OF:
                self.notes.append(f"The role of {self._name(number)} is not known: it is yours.")

    # The words of messages, where no slot found them.

    def _with_words(self, found: list[Part]) -> list[Part]:
        parts = list(found)
        for number, message in enumerate(self.messages):
            own = [part for part in parts if part.source == number]
            content = message.get("content")
            nothing = not (content.strip() if isinstance(content, str) else content)
            if not own or nothing or any(part.content for part in own):
                continue
            for part in own:
                pieces = _around(part, spellings(message["content"]))
                at = parts.index(part)
                parts[at : at + 1] = pieces
                if len(pieces) > 1 or pieces[0].content:
                    break
            else:
                parts = self._all_of(number, parts)
        return parts

    def _all_of(self, number: int, parts: list[Part]) -> list[Part]:
        """Count all that stands in the string for a message as its own words, and say so."""
        self.notes.append(
            f"The words of {self._name(number)} cannot be told from the template's: all of its "
            f"part counts as written by: {writer_of(self.messages[number])}."
        )
        if writer_of(self.messages[number]) == MODEL:
            self.whole.add(number)
            return parts
        return [replace(one, content=True) if one.source == number else one for one in parts]

    # What stands around the words of you, the user and the tools.

    def _framed(self, part: Part, begun: set[int], following: Part | None) -> str:
        """Return why the template's text before or behind a message's words is there."""
        if part.source == GENERATION:
            return PROMPT
        if part.source == TEMPLATE:
            return "begins the text" if part.text.strip() in self.special else _UNSAID
        role = str(self.messages[part.source]["role"])
        result = writer_of(self.messages[part.source]) == TOOL
        if part.source not in begun:
            return "announces the result" if result else f"opens the turn: {visible(role)}"
        if following is not None and following.content and following.source != part.source:
            return "between two messages"
        return "closes the result" if result else "closes the turn"

    def _frame(self, part: Part, at: int, usual: str) -> Iterator[Stretch]:
        """Yield the template's text, and what you put into it: tools, and names of calls.

        at: where the part starts in the string.
        """
        pieces = list(self._cut(part.text, at, self.needles))
        has_tools = any(why in (_A_TOOL, _DESCRIBED) for _, why in pieces)
        place = at
        for number, (text, why) in enumerate(pieces):
            place += len(text)
            if why or not has_tools:
                yield _stretch(part, text, YOU if why else TEMPLATE, why or usual)
                continue
            begin = self._before_tools(text, self.tools_at - at) if number == 0 else 0
            end = self._behind_tools(text, place) if number == len(pieces) - 1 else len(text)
            yield _stretch(part, text[:begin], TEMPLATE, usual)
            yield _stretch(part, text[begin:end], TEMPLATE, _ABOUT_TOOLS)
            behind = text[end:].removeprefix(self.ending).lstrip()
            yield _stretch(part, text[end : len(text) - len(behind)], TEMPLATE, "closes the turn")
            yield _stretch(part, behind, TEMPLATE, usual)

    def _labels(self) -> Iterator[tuple[int, tuple[int, str]]]:
        """Yield (start, (end, why)) for the ids of calls, and for what a result is called.

        They are where another label of the same length makes another string.
        """
        for number, message in enumerate(self.messages):
            for other, label, why in _relabelled(message, self.wrote.get(number, "")):
                made = self._instead(number, other)
                if made is None or len(made) != len(self.text):
                    continue
                at = same_start(made, self.text)
                while self.text[at : at + len(label)] == label:
                    yield at, (at + len(label), why)
                    at += len(label)
                    at += same_start(made[at:], self.text[at:])

    def _cut(self, text: str, at: int, words: dict[str, str] | None = None):
        """Yield (piece, why) of a text that starts at `at`, cut around labels and `words`.

        why is "" between them.
        """
        place = 0
        for start in sorted(start for start in self.labels if at <= start < at + len(text)):
            end, why = self.labels[start]
            if start - at < place:
                continue
            yield from cut_around(text[place : start - at], words or {})
            yield text[start - at : end - at], why
            place = end - at
        yield from cut_around(text[place:], words or {})

    def _before_tools(self, text: str, at: int) -> int:
        """Return where a text stops to be the same without tools; 0 if that is only marks."""
        words = text[: max(at, 0)]
        for mark in self.special:
            words = words.replace(mark, "")
        return at if words.strip() else 0

    def _behind_tools(self, text: str, end: int) -> int:
        """Return where a text that ends at `end` in the string goes on to be the same without."""
        same = min(len(text), max(0, len(text) - (end - self.tools_end)))
        closed = text.rfind(self.ending)
        return same if closed < 0 else min(same, closed)

    def _needles(self, frame: str) -> dict[str, str]:
        """Return what you say of the tools, as it stands in `frame`, and why it is there."""
        if not self.tools:
            return {}
        bare = self.finder.attempt(self.messages, self.finder.generation, tools=None) or ""
        self.tools_at = same_start(bare, self.text)
        self.tools_end = len(self.text) - same_start(bare[::-1], self.text[::-1])
        if bare == self.text:
            self.notes.append("Dropped: the template says nothing of the tools.")
            return {}
        whole = [one for one in spellings(self.tools) if "\n" in one and one in frame]
        if whole:  # with line breaks a tool is indented further in a list than alone
            return {whole[0]: _A_TOOL}
        needles, in_words = {}, False
        for tool in self.tools:
            shown = [one for one in spellings(tool) if one in frame]
            needles |= {one: _A_TOOL for one in shown[:1]}
            if not shown:
                in_words = True
                needles |= {one: _DESCRIBED for one in descriptions(tool) if one in frame}
        if in_words:
            self.notes.append(
                "The template spells the tools in its own way: of them only your descriptions "
                "count as yours."
            )
        return needles

    # The turns of the model.

    def _ending(self) -> str:
        """Return what ends an answer: the first special token behind it, or all that is there."""
        slot = f"{self.finder.slot}end"
        plain = [{"role": "user", "content": "?"}, {"role": "assistant", "content": slot}]
        made = self.finder.attempt(plain, False) or ""
        if slot not in made:  # the template changes the words
            return next((mark for mark in self.special if made.rstrip().endswith(mark)), "\0")
        behind = made.rpartition(slot)[2]
        special = re.search("|".join(map(re.escape, self.special)) or "$.", behind)
        return special[0] if special else behind.strip() or "\0"

    def _turn(self, number: int, found: list[Part]) -> list[tuple[int, str, str]]:
        """Return (up to where in the string, writer, why) for what a turn of the model is made of.

        The words of its content are not among them.
        """
        places = _places(found, number)
        start, stop = places[0][0], places[-1][1]
        contents = [(left, right) for left, right, content in places if content]
        opened = self._opened(number, start, contents[0][0] if contents else None)
        last = contents[-1][1] if contents else opened
        ends = self.text.rfind(self.ending, last, stop)
        ends, closed = (ends, ends + len(self.ending)) if ends >= 0 else (stop, stop)
        if ends == stop:  # nothing ends it: an answer to be continued, or a template without
            ends = closed = last + len(self.text[last:stop].rstrip())
        gaps = [(opened, contents[0][0]), (last, ends)] if contents else [(opened, ends)]
        spans = [(opened, TEMPLATE, PROMPT), *self._said(number, gaps)]
        self._compare(number, self.text[opened:closed], self.text[opened:ends])
        return [*spans, (closed, MODEL, ENDS), (stop, TEMPLATE, "between two turns")]

    def _opened(self, number: int, start: int, before: int | None) -> int:
        """Return where the model began to write: behind the prompt with which it was asked.

        before: where its content starts, None without any.
        """
        asked, prompt = self._asked(number)
        if not asked:
            return start if before is None else before
        before = len(self.text) if before is None else before
        if self.text.startswith(asked):
            return min(max(len(asked), start), before)
        same = same_start(asked, self.text)
        shared = prompt[: same_start(prompt, self.text[start:before])]
        if shared != prompt:
            shared = max(self._beginnings(shared), key=len, default="")
        self.notes.append(
            f"When the model was asked for {self._name(number)}, the text was another from "
            f"character {same:,} on: what a cache holds from there cannot be used again."
        )
        return start + len(shared)

    def _asked(self, number: int) -> tuple[str, str]:
        """Return the string with which the model was asked for a message, and its prompt alone."""
        asked = self.finder.attempt(self.messages[:number], True) or ""
        bare = self.finder.attempt(self.messages[:number], False) or ""
        return asked, asked[len(bare) :] if asked.startswith(bare) else ""

    def _beginnings(self, prompt: str) -> list[str]:
        """Return how much of a prompt may be left in a later string: up to each mark or line."""
        marks = "|".join(["\n", *map(re.escape, self.special)])
        return [prompt[: mark.end()] for mark in re.finditer(marks, prompt)]

    def _with_prompts(self, found: list[Part]) -> list[Part]:
        """Cut a prompt off the part before an answer, where no edge was found between them."""
        parts: list[Part] = []
        for part in found:
            last = parts[-1] if parts else None
            begins = last and isinstance(part.source, int) and part.source != last.source
            if begins and not last.content and writer_of(self.messages[part.source]) == MODEL:
                _, prompt = self._asked(part.source)
                ends = [one for one in self._beginnings(prompt) if last.text.endswith(one)]
                opening = max(ends, key=len, default="")
                if opening:
                    parts[-1] = replace(last, text=last.text.removesuffix(opening))
                    parts.append(replace(last, source=part.source, text=opening))
            parts.append(part)
        return parts

    def _said(self, number: int, gaps: list[tuple[int, int]]):
        """Yield spans of thinking and calls.

        gaps: (start, end) in the string of what stands before and behind the content; of all that
        the model wrote, where it has none.
        """
        opened, ends = gaps[0][0], gaps[-1][1]
        exact = number in self.whole or (
            number in self.wrote and self.wrote[number].startswith(self.text[opened:ends])
        )
        other = (MODEL, _WORDS[MODEL]) if exact else (TEMPLATE, _UNSAID)
        calls = self._calls(number)
        first = calls and self._stem(number, 0).endswith(self.text[gaps[0][1] : ends])
        called = (0 if first else len(gaps) - 1) if calls else None
        thinks, thought = self._thinking(number, gaps)
        for gap, (start, end) in enumerate(gaps):
            until = start if gap == called else end
            if gap == called and gap in (0, thinks):
                until = self._upto(number, 0, start, end)
            if gap == thinks:
                until = max(until, thought)
            yield until, *((MODEL, "its thinking") if gap == thinks else other)
            if gap == called:
                yield from self._each_call(number, until, end)

    def _thinking(self, number: int, gaps) -> tuple[int | None, int]:
        """Return in which gap the thinking of a message stands, None if in none, and its end."""
        message = self.messages[number]
        thought = next((message[key] for key in _THOUGHTS if message.get(key)), None)
        if not thought:
            return None, 0
        bare = {key: said for key, said in message.items() if key not in _THOUGHTS}
        without = self._instead(number, bare)
        if without == self.text:
            self.notes.append(f"Dropped: the thinking of {self._name(number)} is not in the text.")
            return None, 0
        left = same_start(without or "", self.text)
        right = len(self.text) - same_start((without or "")[::-1], self.text[::-1])
        words = str(thought).strip()
        for gap, (start, end) in enumerate(gaps):  # the letters around it may be those in `words`
            near = max(start, left - len(words)), min(end, right + len(words))
            at = self.text.find(words, *near) if words else -1
            if at >= 0:
                return gap, at + len(words)
        self.notes.append(
            f"Changed by the template, not as it was given: the thinking of {self._name(number)}."
        )
        if without is None or right <= gaps[0][0] or left >= gaps[-1][1]:
            return None, 0
        gap = len(gaps) - 1 if left >= gaps[-1][0] else 0
        return gap, right if right <= gaps[gap][1] else 0

    def _instead(self, number: int, message: dict) -> str | None:
        """Return the string with another message in place of one, None where it is refused."""
        some = [*self.messages[:number], message, *self.messages[number + 1 :]]
        return self.finder.attempt(some, self.finder.generation)

    def _calls(self, number: int) -> list[dict]:
        """Return the calls of a message that are in the string: without each it is another."""
        message = dict(self.messages[number])
        given = list(message.pop("tool_calls", None) or [])
        calls = list(enumerate(given, start=1))
        for one in calls[::-1]:
            fewer = [other for other in calls if other is not one]
            some = {"tool_calls": [call for _, call in fewer]} if fewer else {}
            if self._instead(number, message | some) == self.text:
                calls = fewer
        dropped = [str(one[0]) for one in enumerate(given, start=1) if one not in calls]
        if dropped and not calls:
            self.notes.append(f"Dropped: the calls of {self._name(number)} are not in the text.")
        elif dropped:
            self.notes.append(
                f"Dropped: of the {len(given)} calls of {self._name(number)}, not in the text: "
                f"call {', '.join(dropped)}."
            )
        self.calls[number] = [call for _, call in calls]
        return self.calls[number]

    def _each_call(self, number: int, start: int, end: int):
        """Yield a span for each call of a message; they stand from `start` to `end`."""
        count = len(self.calls[number])
        cuts = [self._upto(number, many, start, end) for many in range(1, count)]
        if sorted({start, *cuts, end}) != [start, *cuts, end]:
            yield end, MODEL, plural(count, "call")
            return
        for at, until in enumerate([*cuts, end], start=1):
            yield until, MODEL, "the call" if not cuts else f"call {at} of {count}"

    def _stem(self, number: int, many: int) -> str:
        """Return the string up to the end of a message that has only its first `many` calls."""
        message = dict(self.messages[number])
        message.pop("tool_calls")
        calls = self.calls[number][:many]
        message |= {"tool_calls": calls} if calls else {"content": message.get("content") or ""}
        made = self.finder.attempt([*self.messages[:number], message], False) or ""
        return made[: made.rfind(self.ending)] if self.ending in made else made.rstrip()

    def _upto(self, number: int, many: int, least: int, most: int) -> int:
        """Return where the first `many` calls of a message end in the string."""
        stem = self._stem(number, many)
        end = same_start(stem, self.text)
        if end < len(stem):  # what follows may begin with the same letters
            end = len(re.sub(r"[\w<\[|/]+$", "", self.text[:end]))
        return min(max(end, least), most)

    def _in_turn(self, part: Part, at: int, spans) -> Iterator[Stretch]:
        """Yield the stretches of a part of the model's turn that starts at `at` in the string."""
        if part.content:
            yield _stretch(part, part.text, MODEL, _WORDS[MODEL])
            return
        end, place = at + len(part.text), at
        for until, writer, why in spans:
            text = self.text[place : min(max(until, place), end)]
            own = replace(part, content=why == _WORDS[MODEL])
            for piece, label in self._cut(text, place):
                yield _stretch(own, piece, YOU if label else writer, label or why)
            place += len(text)

    def _compare(self, number: int, turn: str, answer: str) -> None:
        """Say where the template's turn is another text than the model wrote."""
        wrote = self.wrote.get(number)
        if wrote is None and self.calls[number]:
            self._once(
                "A call is spelled here as the template spells it; give model_wrote to compare it "
                "with what the model wrote."
            )
        if wrote is None or wrote in (turn, answer):
            return
        same = same_start(wrote, turn)
        self.notes.append(
            f"From character {same:,} of its answer on, {self._name(number)} is not as the model "
            f"wrote it: it wrote “{spaced(wrote[same : same + 40])}”, which became "
            f"“{spaced(turn[same : same + 40])}”."
        )

    def _once(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _stretch(part: Part, text: str, writer: str, why: str) -> Stretch:
    return Stretch(part.source, text, part.content, writer=writer, why=why)


def _places(found: list[Part], number: int) -> list[tuple[int, int, bool]]:
    """Return (start, end, is content) in the string for each part of a message."""
    places, at = [], 0
    for part in found:
        if part.source == number:
            places.append((at, at + len(part.text), part.content))
        at += len(part.text)
    return places


def _around(part: Part, spellings: list[str]) -> list[Part]:
    """Return a part cut around the one place where a message's words stand, else the part."""
    words = next((one for one in spellings if one and part.text.count(one) == 1), None)
    if words is None:
        return [part]
    before, _, behind = part.text.partition(words)
    pieces = ((before, False), (words, True), (behind, False))
    return [replace(part, text=text, content=own) for text, own in pieces if text]


def _relabelled(message: dict, wrote: str) -> Iterator[tuple[dict, str, str]]:
    """Yield (message with another label, label, why) for each that a program gives: ids, names."""
    if writer_of(message) == TOOL:
        for key in ("tool_call_id", "name"):
            label = message.get(key)
            if isinstance(label, str) and label:
                yield message | {key: another_label(label)}, label, _ANSWERS
    calls = list(message.get("tool_calls") or [])
    for number, call in enumerate(calls):
        label = call.get("id") if isinstance(call, dict) else None
        if isinstance(label, str) and label and label not in wrote:
            others = [*calls[:number], call | {"id": another_label(label)}, *calls[number + 1 :]]
            yield message | {"tool_calls": others}, label, _CALL_ID
