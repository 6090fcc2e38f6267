"""What user code asks of models and tokenizers while somebody listens, and from which line.

`listen` wraps methods of transformers' classes (and of a class that overrides them) until the last
listener leaves; then they are what they were. A wrapped method does what it did, and then tells the
listeners. They hear nothing of what the library asks of itself inside such a call (a template
tokenizes, `generate` runs the model), nor of what the doctor asks: it works inside `unheard`.
"""

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    GenerationMixin,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    modeling_utils,
)
from transformers.models.auto.auto_factory import _BaseAutoModelClass

from llmcourse.doctor.call_site import Site, calls_up_from, is_of_a_library, site_of

# Where a draft model is asked for its guesses: in the library's loop, and in the visible one.
_DRAFTING = ("transformers.generation.candidate_generator", "llmcourse.decoding.drafts")
_TOKENIZER_METHODS = (
    *("__call__", "encode", "apply_chat_template", "decode", "batch_decode", "parse_response"),
)


@dataclass(frozen=True, eq=False)
class Event:
    """One call that user code made."""

    name: str  # of the method: "generate", "decode", ...
    owner: Any  # the model, tokenizer or class
    arguments: dict[str, Any]  # as they were written, by name
    site: Site  # where the call stands
    result: Any = None  # what it returned; None while it runs, or where it raised an error
    error: BaseException | None = None  # what it raised
    inside_generate: bool = False  # made by a streamer, a criterion or the like
    # Settings that a pipeline added, and nobody asked for.
    by_pipeline: frozenset[str] = frozenset()
    # What the library says of a load, with the names of what was missing in the files; None where
    # nothing was loaded.
    loading_info: Any = None


_lock = threading.RLock()
_listeners: list = []
_to_put_back: list[Callable[[], None]] = []  # each undoes one change to a class, object or model
_local = threading.local()  # unheard: a bool; inside: the kinds of calls that this thread is in


def listen(listener, *objects) -> None:
    """Tell `listener` of every call from now on; objects: models and tokenizers it cares about.

    listener.begins(event) is called before `generate` and returns what listener.ends(that, event)
    gets after it; listener.heard(event) is called after everything else, but before a forward pass,
    and listener.passed(event) after that.
    """
    with _lock:
        if not _listeners:
            _wrap_the_library()
        _listeners.append(listener)
        for thing in objects:
            wrap_what_overrides(thing)


def leave(listener) -> None:
    """Stop telling `listener`; the last one to leave puts every method back."""
    with _lock:
        _listeners.remove(listener)
        if _listeners:
            return
        while _to_put_back:
            _to_put_back.pop()()


@contextmanager
def unheard() -> Iterator[None]:
    """Let this thread call models and tokenizers without telling anybody."""
    before = getattr(_local, "unheard", False)
    _local.unheard = True
    try:
        yield
    finally:
        _local.unheard = before


def wrap_what_overrides(thing) -> None:
    """Wrap the methods of `thing` where its class, or itself, has its own."""
    if isinstance(thing, torch.nn.Module):
        _wrap_the_own(thing, ("generate",))
        _hear_forward(thing)
    elif thing is not None:
        _wrap_the_own(thing, _TOKENIZER_METHODS)


def _hear_forward(model: torch.nn.Module) -> None:
    if _before_forward not in model._forward_pre_hooks.values():
        before = model.register_forward_pre_hook(_before_forward, with_kwargs=True)
        after = model.register_forward_hook(_after_forward, always_call=True)
        _to_put_back.extend((before.remove, after.remove))


def _hear_what_is_made() -> None:
    """Let models be heard that the block makes from a config, as those that it loads are."""
    original = PreTrainedModel.__init__

    @functools.wraps(original)
    def made(self, *arguments, **keywords):
        original(self, *arguments, **keywords)
        if isinstance(self, GenerationMixin):  # not what such a model is made of
            _hear_forward(self)

    def put_back() -> None:
        if PreTrainedModel.__init__ is made:
            PreTrainedModel.__init__ = original

    PreTrainedModel.__init__ = made
    _to_put_back.append(put_back)


def _wrap_the_library() -> None:
    _hear_what_is_made()
    _wrap(GenerationMixin, "generate")
    for name in _TOKENIZER_METHODS:
        _wrap(PreTrainedTokenizerBase, name)
    for loader in (PreTrainedModel, _BaseAutoModelClass, PreTrainedTokenizerBase, AutoTokenizer):
        _wrap(loader, "from_pretrained")
    _wrap(torch.nn.Module, "load_state_dict")
    _keep_reports()


def _keep_reports() -> None:
    """Keep the library's report on each load, whether or not it is shown."""
    name = "log_state_dict_report"
    original = getattr(modeling_utils, name, None)
    if original is None:  # another version: then nobody says
        return

    signature = _signature(original)

    @functools.wraps(original)
    def report(*arguments, **keywords):
        if _inside("load"):
            _local.loading_info = _named(signature, arguments, keywords).get("loading_info")
        return original(*arguments, **keywords)

    setattr(modeling_utils, name, report)

    def put_back() -> None:
        if getattr(modeling_utils, name) is report:
            setattr(modeling_utils, name, original)

    _to_put_back.append(put_back)


def _wrap_the_own(thing, names: tuple[str, ...]) -> None:
    for name in names:
        if name in getattr(thing, "__dict__", ()):
            _wrap(thing, name)
        for owner in type(thing).__mro__:
            if name in vars(owner):
                _wrap(owner, name)


def _wrap(owner, name: str) -> None:
    original = vars(owner)[name]
    function = original.__func__ if isinstance(original, classmethod) else original
    if getattr(function, "_tells", False) or not callable(function):
        return
    wrapper = _telling(function, name, bound_to=None if isinstance(owner, type) else owner)
    wrapper._tells = True
    wrapper = classmethod(wrapper) if isinstance(original, classmethod) else wrapper
    setattr(owner, name, wrapper)

    def put_back() -> None:
        if vars(owner).get(name) is wrapper:  # else others wrapped it since: leave it
            setattr(owner, name, original)

    _to_put_back.append(put_back)


def _telling(function: Callable, name: str, bound_to) -> Callable:
    """Return `function`, with a word to the listeners about each call that user code makes."""
    signature = _signature(function)

    def call(owner, arguments, keywords):
        listeners = _who_listens(name)
        if not listeners:
            return function(*arguments, **keywords)
        event = _event(name, signature, owner, arguments, keywords)
        if event is None:
            return function(*arguments, **keywords)
        if name == "generate":
            return _generate(listeners, event, function, arguments, keywords)
        _local.loading_info = None
        try:
            with _within(_kind(name)):
                result = function(*arguments, **keywords)
        except Exception as error:
            for listener in listeners:
                listener.heard(replace(event, error=error))
            raise
        event = replace(event, result=result, loading_info=_local.loading_info)
        _local.loading_info = None
        for listener in listeners:
            listener.heard(event)
        return result

    if bound_to is not None:
        return functools.wraps(function)(lambda *a, **k: call(bound_to, a, k))

    @functools.wraps(function)
    def method(self, *arguments, **keywords):
        return call(self, (self, *arguments), keywords)

    return method


def _generate(listeners, event: Event, function, arguments, keywords):
    """Run `generate`, and let each listener look when it has ended, whichever way."""
    begun = [(listener, listener.begins(event)) for listener in listeners]
    try:
        with _within("generate"):
            result = function(*arguments, **keywords)
    except BaseException as error:
        ended = replace(event, error=error)
        raise
    else:
        ended = replace(event, result=result)
        return result
    finally:
        for listener, token in begun:
            listener.ends(token, ended)


def _kind(name: str) -> str:
    kinds = {"generate": "generate", "from_pretrained": "load", "load_state_dict": "load"}
    return kinds.get(name, "tokenizer")


@contextmanager
def _within(kind: str) -> Iterator[None]:
    inside = _local.__dict__.setdefault("inside", [])
    inside.append(kind)
    try:
        yield
    finally:
        inside.pop()


def _inside(kind: str) -> bool:
    return kind in getattr(_local, "inside", ())


def _who_listens(name: str) -> tuple:
    """Return the listeners to a call that begins now in this thread: none to a call in a call."""
    if not _listeners or getattr(_local, "unheard", False) or _inside(_kind(name)):
        return ()
    return tuple(_listeners)


def _event(name, signature, owner, arguments, keywords) -> Event | None:
    """Return the call as an event, or None where the library decodes for itself."""
    caller = _caller()
    by_library = caller is not None and is_of_a_library(caller)
    if name in ("decode", "batch_decode") and by_library:
        return None  # a streamer of the library, or a pipeline
    if name == "generate" and any(_is_of(call, *_DRAFTING) for call in calls_up_from(caller)):
        return None  # the draft model's own call
    named = _named(signature, arguments, keywords)
    return Event(
        name=name,
        owner=owner,
        arguments=named,
        site=site_of(caller),
        inside_generate=_inside("generate"),
        by_pipeline=_added_by_pipeline(caller) if name == "generate" else frozenset(),
    )


def _is_of(caller: FrameType | None, *packages: str) -> bool:
    """Tell whether a frame's code is of a module, or of one in a package."""
    name = "" if caller is None else str(caller.f_globals.get("__name__", ""))
    return f"{name}.".startswith(tuple(f"{package}." for package in packages))


def _added_by_pipeline(caller: FrameType | None) -> frozenset[str]:
    """Return the names of the settings that a pipeline adds to a call of its own accord."""
    if not _is_of(caller, "transformers.pipelines"):
        return frozenset()
    made = caller.f_locals.get("self")
    defaults = getattr(made, "_generation_defaults", None) or {}
    asked = dict(getattr(made, "_generate_kwargs", None) or {})
    for frame in calls_up_from(caller):
        if "forward_params" in frame.f_locals:
            asked |= frame.f_locals["forward_params"]
            break
    sources = (made.model.generation_config, asked.get("generation_config"))
    said = {name for one in sources if one is not None for name in one.to_diff_dict()}
    return frozenset(defaults) - said - frozenset(asked)


def _caller() -> FrameType | None:
    """Return the frame that called a wrapped method, the first that is not of this module.

    None where a thread was started with nothing but that call.
    """
    frames = calls_up_from(sys._getframe())
    return next((frame for frame in frames if frame.f_globals is not globals()), None)


def _signature(function) -> inspect.Signature | None:
    """Return the signature of a function; None where it has none that can be read."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _named(signature, arguments, keywords) -> dict[str, Any]:
    """Return the arguments of a call by their names; what has no name is left out."""
    if signature is None:
        return dict(keywords)
    try:
        bound = signature.bind_partial(*arguments, **keywords)
    except TypeError:  # the call itself will say so
        return dict(keywords)
    named = dict(bound.arguments)
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= named.pop(name, {})
    return {name: value for name, value in named.items() if name not in ("self", "cls")}


def _is_of_a_model(frame: FrameType | None) -> bool:
    """Tell whether a model of the library makes a forward call, of another that it is made of."""
    for call in calls_up_from(frame):
        name = str(call.f_globals.get("__name__", ""))
        if not name.startswith("torch."):
            return name.startswith("transformers.models.")
    return False


def _before_forward(model, arguments: tuple, keywords: dict) -> None:
    """Tell of a forward call that user code makes itself; `generate`'s own are no news."""
    if torch.compiler.is_compiling():  # it would become a part of what is compiled
        return
    passes = _local.__dict__.setdefault("passes", [])
    passes.append((model, None))
    if not _listeners or getattr(_local, "unheard", False) or _inside("generate"):
        return
    caller = _caller()
    if _is_of_a_model(caller):
        return
    named = _named(_signature(model.forward), arguments, keywords) if arguments else keywords
    event = Event("forward", owner=model, arguments=named, site=site_of(caller))
    passes[-1] = (model, event)
    for listener in tuple(_listeners):
        listener.heard(event)


def _after_forward(model, arguments: tuple, result) -> None:
    """Tell of what such a call returned; None where it raised an error."""
    if torch.compiler.is_compiling():
        return
    passes = getattr(_local, "passes", None)
    if not passes or passes[-1][0] is not model:  # another hook failed before ours
        return
    _, event = passes.pop()
    for listener in tuple(_listeners) if event is not None else ():
        listener.passed(replace(event, result=result))
