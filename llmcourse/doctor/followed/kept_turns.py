"""What a script's variables say of a prompt: turns that it keeps, values that it did not fill in.

`KeptTurns` looks at the variables around such a call: at lists of turns that grow from one call to
the next, or that a function was given, while nothing of them reaches the prompt. It reads frames
and changes nothing; it is asked only while a script runs under the doctor.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from types import FrameType, ModuleType
from typing import Any

from llmcourse.doctor.call_site import Site, calls_up_from, is_installed
from llmcourse.doctor.case import Unused
from llmcourse.doctor.template_marks import squeezed

_BRACED = re.compile(r"(?<![\\\w$#{}%^])\{\s*([A-Za-z_]\w+)\s*\}(?![\w}])")
_SITES, _LISTS = 32, 32  # lines that are remembered, and lists at each
_FRAMES = 6  # of the user's, from the call up, whose variables are looked at
_LONGEST = 1000  # turns; a longer list is a data set
_MOST = 64  # variables, or parts of one, that are looked at
_SHORTEST = 3  # characters without spaces of a text that is looked for in a prompt


class KeptTurns:
    """Remembers lists of turns around the calls of a template, by line."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._seen: dict[Site, list[tuple[list, int]]] = {}  # each list, and its length then
        self._used: list[list] = []  # those of which something was in a prompt

    def beside(self, frame: FrameType | None, site: Site, messages: list) -> Unused | None:
        """Return the list of turns that should be in `messages` and is not, if there is one.

        frame: any below the user's line `site`, which called the template.
        """
        caller = next((one for one in calls_up_from(frame) if _is_at(one, site)), None)
        if caller is None:
            return None
        users = [one for one in calls_up_from(caller) if not is_installed(one.f_code.co_filename)]
        before, seen, found = self._seen.get(site, []), [], None
        said = {squeezed(text) for _, text in _turns_in(messages)}
        asked = [text for one in users[:_FRAMES] for text in _texts_given(one)]
        for name, value, given in _lists_around(users[:_FRAMES]):
            turns = list(_turns_in(value))
            is_used = value is messages or any(value is one for one in self._used)
            if is_used or any(squeezed(text) in said for role, text in turns if role != "user"):
                self._use(value)
                continue
            seen.append((value, len(value)))
            grew = any(one is value and length < len(value) for one, length in before)
            if found is None and (grew or given) and _has_both_sides(value, given):
                texts = None if grew else [*asked, *_last_asked(turns)]
                found = _unused(name, turns, messages, passed_on=texts)
        if len(self._seen) < _SITES or site in self._seen:
            self._seen[site] = seen[-_LISTS:]
        return found

    def _use(self, turns: list) -> None:
        if not any(turns is one for one in self._used):
            self._used = [*self._used[-_MOST:], turns]


def in_braces(frame: FrameType | None, site: Site, text: str) -> dict[str, bool]:
    """Return names in braces in a text: whether each is a variable whose value is not in it."""
    names = set(_BRACED.findall(text))
    if not names:
        return {}
    caller = next((one for one in calls_up_from(frame) if _is_at(one, site)), None)
    users = [one for one in calls_up_from(caller) if not is_installed(one.f_code.co_filename)]
    known = dict(pair for one in users[:_FRAMES] for pair in _variables(one))
    values = {name: known.get(name) for name in names}
    return {
        name: isinstance(value, str | int | float) and str(value).strip() not in text
        for name, value in values.items()
    }


def _is_at(frame: FrameType, site: Site) -> bool:
    return frame.f_code.co_filename == site.file and frame.f_lineno == site.line


def _lists_around(frames: list[FrameType]) -> Iterator[tuple[str, list, bool]]:
    """Yield (name, list, whether a function got it) of what may be turns that the frames see."""
    seen: set[int] = set()
    for frame in frames:
        for name, value in _variables(frame):
            given = name in _arguments(frame) and name != "self"
            for inner, part in ((name, value), *_parts(name, value)):
                if type(part) is list and id(part) not in seen and _may_be_turns(part, given):
                    seen.add(id(part))
                    yield inner, part, given


def _variables(frame: FrameType) -> list[tuple[str, Any]]:
    """Return a frame's variables, and the globals that its code names."""
    own = list(frame.f_locals.items())
    names = [name for name in frame.f_code.co_names if name in frame.f_globals]
    if frame.f_locals is frame.f_globals:
        return [(name, value) for name, value in own if name in names][:_MOST]
    return own[:_MOST] + [(name, frame.f_globals[name]) for name in names[:_MOST]]


def _arguments(frame: FrameType) -> tuple[str, ...]:
    code = frame.f_code
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _texts_given(frame: FrameType) -> list[str]:
    """Return the texts that a function got as arguments."""
    texts = [frame.f_locals.get(name) for name in _arguments(frame)]
    return [text for text in texts if isinstance(text, str)]


def _last_asked(turns: list[tuple[str, str]]) -> list[str]:
    return [text for role, text in turns[-1:] if role == "user"]


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is in a dictionary, or the attributes of an object of the user's."""
    if isinstance(value, Mapping) and type(value) is dict:
        parts = [(f"{name}[{key!r}]", part) for key, part in list(value.items())[:_MOST]]
    elif isinstance(value, type | ModuleType) or _is_of_a_package(value):
        parts = []
    else:
        own = inspect.getattr_static(value, "__dict__", None)
        own = vars(value) if own is not None and type(vars(value)) is dict else {}
        parts = [(f"{name}.{key}", part) for key, part in list(own.items())[:_MOST]]
    yield from parts


def _is_of_a_package(value: Any) -> bool:
    """Tell whether an object's class is of torch, transformers or Python itself."""
    package = str(getattr(type(value), "__module__", "")).partition(".")[0]
    return package in ("torch", "transformers", "tokenizers", "builtins", "llmcourse")


def _may_be_turns(value: list, given: bool) -> bool:
    """Tell whether a list is one of messages, or empty yet; of pairs of texts only if `given`."""
    if len(value) > _LONGEST:
        return False
    if all(isinstance(one, Mapping) and isinstance(one.get("role"), str) for one in value):
        return True
    return given and all(
        isinstance(one, list | tuple) and len(one) == 2 and all(isinstance(x, str) for x in one)
        for one in value
    )


def _has_both_sides(turns: list, given: bool) -> bool:
    """Tell whether a list has something of the user and of the assistant."""
    if turns and isinstance(turns[0], Mapping):
        return {"user", "assistant"} <= {one["role"] for one in turns}
    return given and bool(turns)


def _turns_in(turns: list) -> Iterator[tuple[str, str]]:
    """Yield (role, text) of each message or pair of texts."""
    for one in turns:
        if isinstance(one, Mapping):
            role, text = one.get("role"), one.get("content")
            if isinstance(role, str) and isinstance(text, str) and role != "system":
                yield role, text
        elif isinstance(one, list | tuple) and len(one) == 2:
            yield "user", str(one[0])
            yield "assistant", str(one[1])


def _unused(
    name: str, turns: list[tuple[str, str]], messages: list, *, passed_on: list[str] | None
) -> Unused | None:
    """Return a list of turns as unused, if the messages are one question that goes on from it.

    passed_on: texts of which the question has to be one, word for word; None where the list grew.
    """
    asked = [one for one in messages if one.get("role") != "system"]
    if len(asked) != 1 or asked[0].get("role") != "user":
        return None
    question = asked[0].get("content")
    if not isinstance(question, str):
        return None
    earlier = [text for _, text in turns if squeezed(text) != squeezed(question)]
    written = squeezed(" ".join(str(one.get("content")) for one in messages))
    lost = [text for text in earlier if len(squeezed(text)) >= _SHORTEST]
    if len(lost) < 2 or any(squeezed(text) in written for text in lost):
        return None
    given = passed_on is not None
    if given and squeezed(question) not in map(squeezed, passed_on):
        return None
    return Unused(name=name, turns=len(turns), said=lost[-1], given=given)
