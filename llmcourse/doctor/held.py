"""What a callable holds: attributes, what it closes over, arguments bound to it, globals it names.

`held_by` reads, and calls nothing of the callable's own. `state_of` is the same as plain values
that can be compared: a state that a call leaves behind differs from the one that it began with.
"""

import contextlib
import dis
import functools
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import torch

from llmcourse.doctor.call_site import is_installed

_DEPTH = 2  # objects of the user's own that are looked into, one inside the other
_MOST = 256  # values that are looked at
_ENTRIES = 64  # of a list, a dictionary or a tensor that are compared
_CHARACTERS = 400  # of a text that are compared
# What code asks of ids without reading them.
_OF_A_SHAPE = {"shape", "size", "device", "dtype", "numel", "dim", "ndim", "new_zeros", "new_full"}
_PLAIN = (bool, int, float, str, bytes, list, tuple, set, frozenset, dict, deque, torch.Tensor)


def held_by(given, depth: int = _DEPTH) -> dict[str, Any]:
    """Return what a callable can reach by a name of its own; `self.step` is "step"."""
    return _held(given, depth, {id(given)})


def _held(given, depth: int, seen: set[int]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for name, value in _parts(given):
        if name in held or len(held) >= _MOST:
            continue
        held[name] = value
        if depth and _is_own(value) and id(value) not in seen:
            seen.add(id(value))
            inside = _held(value, depth - 1, seen)
            held |= {f"{name}.{inner}": one for inner, one in inside.items()}
    return held


def _parts(given) -> Iterator[tuple[str, Any]]:
    if isinstance(given, functools.partial):
        code = code_of(given)
        known = () if code is None else code.co_varnames[: code.co_argcount]
        names = [*known, *(f"argument {place}" for place in range(len(known), len(given.args)))]
        yield from zip(names, given.args, strict=False)
        yield from given.keywords.items()
        yield from _parts(given.func)
    elif isinstance(given, types.MethodType):
        yield from _parts(given.__self__)
        yield from _parts(given.__func__)
    elif isinstance(given, types.FunctionType):
        yield from _of_a_function(given)
    elif isinstance(given, Mapping):
        yield from ((str(name), value) for name, value in list(given.items())[:_ENTRIES])
    else:
        yield from _of_an_object(given)


def _of_a_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # an empty cell
            yield name, cell.cell_contents
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    yield from zip(names[len(names) - len(defaults) :], defaults, strict=True)
    yield from (function.__kwdefaults__ or {}).items()
    yield from vars(function).items()
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, _PLAIN) or _is_own(value):
            yield name, value


def _of_an_object(given) -> Iterator[tuple[str, Any]]:
    yield from getattr(given, "__dict__", {}).items()
    for owner in type(given).__mro__:
        if not _is_own_class(owner):
            continue
        for name in getattr(owner, "__slots__", ()):
            if hasattr(given, name):
                yield name, getattr(given, name)
        for name, value in list(vars(owner).items()):
            if not name.startswith("__") and isinstance(value, _PLAIN):
                yield name, value
        called = vars(owner).get("__call__")
        if isinstance(called, types.FunctionType):
            yield from _of_a_function(called)


def _is_own(value) -> bool:
    """Tell whether a value is an object of a class of the user's, or a function of theirs."""
    if isinstance(value, functools.partial):
        return True
    if isinstance(value, types.FunctionType | types.MethodType):
        return not is_installed(value.__code__.co_filename)
    if isinstance(value, type | torch.nn.Module):
        return False
    return _is_own_class(type(value))


@functools.lru_cache(maxsize=512)
def _is_own_class(owner: type) -> bool:
    if owner.__module__ == "__main__":
        return True
    file = getattr(sys.modules.get(owner.__module__), "__file__", None)
    return file is not None and not is_installed(file)


def subject_of(given) -> Any:
    """Return the object whose state a callable works with: itself, or what it is a method of.

    A function that closes over one object of the user's is made anew for each call as a rule, and
    the object stays.
    """
    while isinstance(given, functools.partial):
        given = given.func
    if isinstance(given, types.MethodType):
        return given.__self__
    if isinstance(given, types.FunctionType):
        cells = [value for _, value in _of_a_function(given) if _is_own(value)]
        objects = [one for one in cells if not isinstance(one, types.FunctionType)]
        objects = [one for one in objects if not isinstance(one, functools.partial)]
        return objects[0] if len(objects) == 1 else given
    return given


def name_of(given) -> str:
    """Return a callable's own name, or its class's."""
    while isinstance(given, functools.partial):
        given = given.func
    return str(getattr(given, "__qualname__", type(given).__name__)).split(".<locals>.")[-1]


def code_of(given) -> types.CodeType | None:
    """Return the code that runs when a callable is called; None where it is not Python's."""
    while isinstance(given, functools.partial):
        given = given.func
    if not isinstance(given, types.FunctionType | types.MethodType):
        given = next(
            (vars(one)["__call__"] for one in type(given).__mro__ if "__call__" in vars(one)), None
        )
    return getattr(given, "__code__", None)


def reads_ids(given) -> bool:
    """Tell whether a callable's code reads the ids that it gets first, and not only their shape."""
    code = code_of(given)
    if code is None:
        return False
    names = code.co_varnames[: code.co_argcount]
    ids = next((name for name in names if name != "self"), None)
    steps = list(dis.get_instructions(code))
    for at, one in enumerate(steps):
        loaded = one.argval if isinstance(one.argval, tuple) else (one.argval,)
        if not one.opname.startswith("LOAD_") or ids not in loaded:
            continue
        after = steps[at + 1].argval if at + 1 < len(steps) else None
        before = steps[at - 1].argval if at else None
        if after not in _OF_A_SHAPE and before != "len":
            return True
    return False


def state_of(given) -> dict[str, Any]:
    """Return what a callable holds as values that can be compared; what is too large, roughly."""
    return {name: _compact(value) for name, value in held_by(given).items()}


def _compact(value, depth: int = 3) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | bytes):
        return value if len(value) <= _CHARACTERS else hash(value)
    if isinstance(value, torch.Tensor):
        few = value.numel() <= _ENTRIES and value.device.type == "cpu"
        return tuple(value.shape), (str(value.tolist()) if few else None)
    if isinstance(value, count):
        return repr(value)
    if isinstance(value, Mapping) and depth:
        items = list(value.items())[:_ENTRIES]
        return len(value), [(_compact(one, 1), _compact(other, depth - 1)) for one, other in items]
    if isinstance(value, list | tuple | deque) and depth:
        last = [value[place] for place in range(max(0, len(value) - _ENTRIES), len(value))]
        return len(value), [_compact(one, depth - 1) for one in last]
    if isinstance(value, set | frozenset):
        plain = [one for one in value if isinstance(one, int | str)]
        return len(value), hash(frozenset(plain))
    return type(value).__name__


def runs_of_ids(held: Mapping[str, Any], longest: int) -> Iterator[tuple[str, list[int]]]:
    """Yield (name, ids) of each short run of ids among what is held, in lists of them too."""
    for name, value in held.items():
        plain = value.tolist() if isinstance(value, torch.Tensor) and value.dim() else value
        if not isinstance(plain, list | tuple | set | frozenset) or len(plain) > 4096:
            continue
        plain = list(plain)
        inner = [_plain(one) for one in plain]
        lists = inner if any(isinstance(one, list | tuple) for one in inner) else [inner]
        for one in lists:
            fits = isinstance(one, list | tuple) and 1 <= len(one) <= longest
            if fits and all(type(number) is int for number in one):
                yield name, list(one)


def _plain(value) -> Any:
    """Return a tensor of ids as a list of them, and one of a single id as that."""
    return value.tolist() if isinstance(value, torch.Tensor) else value


def texts(held: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Yield (name, text, whether it stands alone) of each text held, in lists of them too."""
    for name, value in held.items():
        if isinstance(value, str):
            yield name, value, True
        elif isinstance(value, list | tuple | set | frozenset) and len(value) <= _ENTRIES:
            yield from ((name, one, False) for one in value if isinstance(one, str))


def numbers(held: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield (name, number) of each whole number that is held."""
    yield from ((name, value) for name, value in held.items() if type(value) is int)
