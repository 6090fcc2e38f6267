"""What several checks ask of a text's use: what it looks for, where that is, what stands before."""

import json
import re
from collections.abc import Iterator
from functools import cache

from llmcourse.doctor.case import Origin, Use
from llmcourse.show import printable

SHOWN = 60  # characters of a text that a finding repeats
CUTS = ("str.split", "str.rsplit", "str.partition", "str.rpartition")
FINDS = ("str.find", "str.index", "str.rfind", "str.rindex")
_FENCED = re.compile(r"```\w*\s(.*?)```", re.DOTALL)
_STRIPS = ("str.strip", "str.lstrip")
_MOST_LABELS = 200
_EDGES = " \t\r\n.,;:!?\"'`*()[]"


def said(text: str, longest: int = SHOWN) -> str:
    """Return a text as a finding shows it."""
    return repr(printable(text, longest))


def mark_of(use: Use) -> str | None:
    """Return the text that is looked for in a text by `split`, `find`, `in` or the like."""
    if use.name in (*CUTS, *FINDS, "str.startswith", "str.removeprefix", "str.count"):
        mark = use.argument(0) if use.at == 0 else None
    elif use.name in ("in", "not in"):
        mark = use.inputs[0] if use.at == 1 else None
    else:
        return None
    return mark if isinstance(mark, str) and mark else None


def parts_taken(use: Use) -> tuple[Use, int] | None:
    """Return the split whose part is taken, and which part; None for other uses."""
    split = use.done[-1] if use.name == "[]" and use.done else None
    is_of_it = split is not None and split.name in (*CUTS, "str.splitlines", "re.findall")
    if not is_of_it or use.at != 0 or use.inputs[0] is not split.result:
        return None
    index = use.inputs[1]
    return (split, index) if isinstance(index, int) else None


def spans_of(split: Use) -> list[tuple[int, int]]:
    """Return where the parts of a split text, or all that was found in it, stand in it."""
    if split.name == "re.findall":
        groups = min(1, split.pattern.groups)
        return [found.span(groups) for found in split.pattern.finditer(split.text)]
    spans, at = [], 0
    for part in split.result:
        start = max(at, split.text.find(part, at))
        spans.append((start, start + len(part)))
        at = start + len(part)
    return spans


def before(use: Use) -> str | None:
    """Return what a text is put behind by `+`, an f-string or `join`; None for other uses."""
    if use.name == "+":
        left = use.inputs[0] if use.at == 1 else None
        return left if isinstance(left, str) else None
    if use.name == "f":
        inputs = iter(range(len(use.inputs)))
        written = ""
        for part in use.parts:
            number = None if part is not None else next(inputs)
            if number == use.at:
                return written
            one = part if number is None else use.inputs[number]
            written += one if isinstance(one, str) else ""
    return None


def put_behind_prompt(use: Use) -> str | None:
    """Return the prompt that a text is put behind; None where it is put behind something else."""
    left = before(use)
    if not left:
        return None
    return next((one for one in use.origin.prompts if one and left.endswith(one)), None)


def stripped_before(use: Use) -> str:
    """Return the white space that was stripped off the beginning of a text; "" for none."""
    for one in use.done:
        if one.name in _STRIPS and one.argument(0) is None and one.span is not None:
            at_beginning = one.span[0] == one.origin.new_at
            lost = one.text[: len(one.text) - len(one.text.lstrip())]
            if lost and at_beginning:
                return lost
    return ""


def labels_of(use: Use) -> list[str] | None:
    """Return the texts that a text is compared with, or looked up among; None for other uses."""
    if use.name in ("==", "!="):
        others = use.others
    elif use.name in ("in", "not in") and use.at == 0 and not isinstance(use.inputs[1], str):
        others = _members(use.inputs[1])
    elif use.name in ("dict.get", "[]") and use.at == 1 and isinstance(use.inputs[0], dict):
        others = _members(use.inputs[0])
    else:
        return None
    return [one for one in others if isinstance(one, str) and one.strip()]


def _members(things) -> list:
    return list(things)[:_MOST_LABELS] if isinstance(things, dict | list | tuple | set) else []


def bare(text: str) -> str:
    """Return a text without case, and without white space and punctuation at its edges."""
    return text.strip(_EDGES).casefold()


def without_special(text: str, origin: Origin) -> str:
    """Return a text without the tokenizer's special tokens."""
    for token in special_tokens(origin):
        text = text.replace(token, "")
    return text


def special_tokens(origin: Origin) -> tuple[str, ...]:
    """Return the special tokens of the tokenizer that decoded a text."""
    return _special_tokens(origin.tokenizer)


@cache
def _special_tokens(tokenizer) -> tuple[str, ...]:
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return tuple(token.content for token in added if token.special and token.content)


def skips_special(origin: Origin) -> bool:
    """Tell whether special tokens are left out of a text."""
    return bool(origin.options.get("skip_special_tokens"))


def json_in(text: str, start: int = 0) -> str | None:
    """Return the first JSON object or list that a text holds from `start` on; None for none."""
    decoder = json.JSONDecoder()
    for found in list(re.finditer(r"[{\[]", text[start:]))[:20]:
        at = start + found.start()
        try:
            made, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if made:
            return text[at:end]
    return None


def is_json(text: str) -> bool:
    """Tell whether a text is JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def in_a_fence(text: str) -> str | None:
    """Return the JSON within a text's fence of backticks; None where there is no such."""
    return next((one for one in _FENCED.findall(text) if is_json(one)), None)


def read_in_vain(uses: list[Use], names: tuple[str, ...]) -> Iterator[Use]:
    """Yield the uses by some functions that read a text and failed, where none read it later."""
    for number, use in enumerate(uses):
        if use.name not in names or use.ended or not isinstance(use.inputs[use.at], str):
            continue
        if not any(later.name in names and later.ended for later in uses[number:]):
            yield use
