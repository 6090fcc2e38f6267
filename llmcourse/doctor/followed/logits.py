"""What becomes of a model's logits in a script, whatever way it is written.

Each number of `model(ids).logits` is about a row, a place and a token. `Follower` lets these three
go along with every tensor that is made of the logits by torch, through slices, sorts, functions
and classes, beside what kind of numbers they are by then: logits, probabilities, log-probabilities.
At the steps where people go wrong (a softmax, a draw, a token's log-probability picked out, a mean)
it tells of the step, with the tensors at hand. What leaves torch (`tolist`, `numpy`) is lost.

torch calls `Follower` for each function that is called in its thread; inside a model's forward pass
and inside `generate` it only passes the call on. Nothing is changed: no tensor, no error.
"""

import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from llmcourse.doctor.call_site import Site, site_of
from llmcourse.doctor.listen import Event
from llmcourse.doctor.quiet import on_the_cpu

MOST = 2_000_000  # numbers of a tensor that are followed one by one
_TOLD = 64  # how often a step at one line is told of


class Kind(StrEnum):
    """What the numbers of a tensor are."""

    LOGITS = "logits"
    PROBS = "probabilities"
    LOGPROBS = "log-probabilities"
    EXP = "exponentials of logits"  # not divided by their sum yet
    LOGSUM = "the logarithm of such a sum"
    CUMULATED = "sums of probabilities up to each place"
    HIDDEN = "hidden states"
    RANKS = "places in a sorted or shortened list"
    IDS = "tokens' ids"


@dataclass(eq=False)
class Pass:
    """A forward pass that a script made."""

    ids: torch.Tensor | None  # (batch, length) int64
    mask: torch.Tensor | None  # (batch, length), of these ids; None if it was not passed
    site: Site  # where it stands
    last: torch.Tensor | None = None  # (batch, vocabulary), logits of the last place, as they came
    generated: str | None = None  # "scores" or "logits" of `generate`; None for a pass
    held: int | None = None  # tokens that its cache holds after it; None where there is none
    # (batch,) int64, where the end of each row stands, -1 for none, if `generate` wrote the ids;
    # then the mask is 0 behind it.
    ends: torch.Tensor | None = None
    # Sums of probabilities that were compared with a number, on the CPU, and that number.
    nucleus: tuple[torch.Tensor, float] | None = None
    processed: str = ""  # of `generate`'s scores: settings that changed them, in words

    def id_at(self, row: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Return the ids at rows and places, of one shape; -1 where there is none."""
        length = self.ids.shape[1]
        there = self.ids[row, place.clamp(0, length - 1)]
        return torch.where((place >= 0) & (place < length), there, -1)

    def is_padding(self, row: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Tell of rows and places, of one shape, where there is padding."""
        if self.mask is None:
            return torch.zeros_like(row, dtype=torch.bool)
        length = self.mask.shape[1]
        there = self.mask[row, place.clamp(0, length - 1)] == 0
        return there & (place >= 0) & (place < length)


@dataclass(frozen=True, eq=False)
class About:
    """What a tensor's numbers are about; row, place and token have the tensor's shape."""

    kind: Kind
    source: Pass
    row: torch.Tensor | None = None  # int64 each; None where that is lost
    place: torch.Tensor | None = None
    token: torch.Tensor | None = None  # None also for hidden states
    scaled: int = 0  # how often a number multiplied or divided them since they got their kind
    picked: bool = False  # whether of each place one token's number was taken
    tempered: bool = False  # whether a number divided the logits that these were made of

    @property
    def located(self) -> bool:
        """Whether it is known what each number is about."""
        return self.row is not None and self.place is not None

    def along(self, dim: int) -> str | None:
        """Return what changes along a dimension: "token", "place" or "row"; None if unknown."""
        for name in ("token", "place", "row"):
            index = getattr(self, name)
            if index is None or not -index.dim() <= dim < index.dim() or index.shape[dim] < 2:
                continue
            first = index.select(dim, 0)
            if not torch.equal(first, index.select(dim, 1)):
                return name
        return None

    @property
    def in_token_order(self) -> bool:
        """Whether a number's place in the last dimension is its token's id."""
        if self.token is None or self.token.dim() == 0:
            return False
        ids = torch.arange(self.token.shape[-1], device=self.token.device)
        return bool((self.token == ids).all())


@dataclass(frozen=True, eq=False)
class Use:
    """A step that a script takes with what it made of logits."""

    name: str  # of the function: "softmax", "multinomial", "pick" ...
    about: About  # what was given
    given: torch.Tensor
    made: Any = None  # what came back
    arguments: dict[str, Any] = field(default_factory=dict)  # of the step: `dim`, `target` ...
    site: Site = field(default_factory=Site)
    # What was picked at this line so far: passes, rows, places and tokens, one each time.
    picked: tuple[tuple[Pass, torch.Tensor, torch.Tensor, torch.Tensor], ...] = ()


_MOVES = {  # functions that take numbers away or elsewhere, and change none
    *("__getitem__", "select", "narrow", "view", "reshape", "flatten", "unflatten", "squeeze"),
    *("unsqueeze", "permute", "transpose", "swapaxes", "movedim", "t", "expand", "repeat"),
    *("gather", "take_along_dim", "index_select", "split", "chunk", "unbind", "flip", "diagonal"),
    *("masked_select", "tile", "roll", "view_as", "repeat_interleave", "T", "mT"),
    *("expand_as", "reshape_as"),
}
_SAME = {  # ... and those that leave each number where it is
    *("to", "float", "double", "half", "bfloat16", "type", "type_as", "cpu", "cuda", "contiguous"),
    *("clone", "detach", "requires_grad_", "data", "nan_to_num"),
}
_PICKS = {"__getitem__", "gather", "take_along_dim", "index_select"}
_SCALES = {"div", "true_divide", "mul", "multiply", "div_", "mul_", "__rmul__"}
_DIFFERENCES = {"sub", "subtract", "sub_", "__rsub__", "rsub"}
_SUMS = {"add", "add_"} | _DIFFERENCES
_CHANGES = {
    *("masked_fill", "masked_fill_", "where", "scatter", "scatter_", "index_fill", "index_fill_"),
    *("clamp", "clamp_", "__setitem__", "maximum", "minimum", "scatter_add", "scatter_add_"),
    *("index_add", "index_add_", "index_put_", "index_copy", "fill_diagonal_", "copy_"),
}
_REDUCES = {"sum", "mean", "nansum", "nanmean"}
_COMPARES = {"lt", "le", "gt", "ge", "less", "greater", "less_equal", "greater_equal"}
_CHOOSES = {"topk", "sort", "argsort", "max", "min", "argmax", "argmin"}
_LOGS = {"log", "log2", "log10"}
_LOSSES = {"cross_entropy", "nll_loss", "kl_div"}
_HANDLED = (
    _MOVES | _SAME | _SCALES | _SUMS | _CHANGES | _REDUCES | _CHOOSES | _LOSSES | _COMPARES | _LOGS
    | {"softmax", "log_softmax", "exp", "neg", "logsumexp", "cumsum", "multinomial"}
    | {"cat", "concat", "concatenate", "stack", "hstack", "amax", "prod", "exponential_", "pow"}
    | {"linear"}
)  # fmt: skip


class Follower(TorchFunctionMode):
    """Follows logits through the functions of torch that this thread calls.

    tell: is told of each step. failed: is told of what the follower itself fails at.
    """

    def __init__(self, tell: Callable[[Use], None], failed: Callable[[Exception], None]) -> None:
        super().__init__()
        self._tell, self._failed = tell, failed
        self._known: dict[int, tuple[weakref.ref, About]] = {}
        self._picked: dict[Site, list] = {}
        self._times: dict[tuple, int] = {}
        self._chosen: list[tuple[About, torch.Tensor]] = []  # tokens, since the last pass
        self._paused = 0
        self._thread = threading.get_ident()

    # When it looks

    def pause(self) -> None:
        """Pass calls on and look at nothing: a forward pass, or `generate`, begins."""
        self._paused += threading.get_ident() == self._thread

    def go_on(self) -> None:
        """Look again."""
        self._paused -= threading.get_ident() == self._thread

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self._paused or torch.compiler.is_compiling():
            return func(*args, **kwargs)
        name = _name(func)
        about = self._of_any(args, kwargs) if self._known and name in _HANDLED else ()
        result = func(*args, **kwargs)
        if about:
            self._paused += 1
            try:
                with on_the_cpu():
                    self._look(name, func, args, kwargs, result, about)
            except Exception as error:
                self._failed(error)
            finally:
                self._paused -= 1
        return result

    # What is known of tensors

    def of(self, tensor) -> About | None:
        """Return what is known of a tensor."""
        kept = self._known.get(id(tensor))
        return kept[1] if kept is not None and kept[0]() is tensor else None

    def know(self, tensor, about: About | None) -> None:
        """Keep what a tensor is about, as long as it is there."""
        key = id(tensor)
        if about is None:
            self._known.pop(key, None)
        else:
            forget = lambda dead, known=self._known: (  # noqa: E731
                known.pop(key, None) if known.get(key, (None,))[0] is dead else None
            )
            self._known[key] = (weakref.ref(tensor, forget), about)

    def before(self, event: Event) -> None:
        """Look at where the ids come from that a model is fed, or that are decoded."""
        given = {"forward": ("fed", "input_ids"), "decode": ("decoded", "token_ids")}
        given["batch_decode"] = ("decoded", "sequences")
        if event.name in given:
            name, argument = given[event.name]
            held = _held(event.arguments.get("past_key_values"))
            self.handed(name, event.arguments.get(argument), event.site, held)

    def after_a_pass(self, event: Event, ends: torch.Tensor | None = None) -> None:
        """Follow what a forward pass returned: logits and hidden states, if it was fed ids.

        ends: (batch,) int64, see `Pass`.
        """
        ids, mask = (event.arguments.get(name) for name in ("input_ids", "attention_mask"))
        made = event.result
        if not isinstance(ids, torch.Tensor) or ids.dim() != 2 or made is None:
            return
        states = getattr(made, "hidden_states", None) or ()
        final = getattr(made, "last_hidden_state", None)
        states = states if states or final is None else (final,)
        fits = isinstance(mask, torch.Tensor) and mask.dim() == 2
        mask = mask[:, -ids.shape[1] :].cpu() if fits else None
        held = _held(getattr(made, "past_key_values", None))
        if ends is not None:
            places = torch.arange(ids.shape[1])[None]
            behind = (places > ends[:, None]) & (ends[:, None] >= 0)
            mask = torch.ones_like(ids, device="cpu") if mask is None else mask.clone()
            mask[behind] = 0
            mask[(places == ends[:, None]).expand_as(mask)] = 1
        one = Pass(ids.cpu(), mask, event.site, held=held, ends=ends)
        self.came_out(one, getattr(made, "logits", None), states)

    def after_generate(self, event: Event, processed: str = "") -> None:
        """Follow the scores that `generate` returned, a tensor (rows, vocabulary) a step.

        processed: settings that changed them, in words.
        """
        ids = getattr(event.result, "sequences", None)
        beams = getattr(event.result, "beam_indices", None) is not None
        if ids is None or beams or getattr(event.owner.config, "is_encoder_decoder", False):
            return
        for name in ("scores", "logits"):
            steps = getattr(event.result, name, None) or ()
            start = ids.shape[1] - len(steps)
            for at, step in enumerate(steps):
                one = Pass(ids.cpu(), None, event.site, generated=name)
                one.processed = processed if name == "scores" else ""
                self.came_out_of_a_step(one, step, start - 1 + at)

    def came_out(self, made: Pass, logits, hidden=()) -> None:
        """A forward pass gave logits (batch, length, vocabulary), and hidden states of layers."""
        self._chosen.clear()
        if isinstance(logits, torch.Tensor) and logits.dim() == 3:
            made.last = logits[:, -1].detach().float().clone()
            self.know(logits, _about_all(Kind.LOGITS, made, logits))
        states = [one for one in hidden or () if isinstance(one, torch.Tensor) and one.dim() == 3]
        for state in states:
            self.know(state, _about_all(Kind.HIDDEN, made, state))

    def came_out_of_a_step(self, made: Pass, numbers: torch.Tensor, place: int) -> None:
        """A step of `generate` gave numbers (rows, vocabulary) about what comes after a place."""
        if not isinstance(numbers, torch.Tensor) or len(numbers) != len(made.ids):
            return
        row = torch.arange(len(numbers)).view(-1, 1).expand(numbers.shape)
        token = torch.arange(numbers.shape[1]).expand(numbers.shape)
        about = About(Kind.LOGITS, made, row, torch.full_like(row, place), token)
        self.know(numbers, about)

    def handed(self, name: str, tensor, site: Site, held: int | None = None) -> None:
        """A script hands a tensor to a model or a tokenizer: it is "fed", or "decoded".

        held: tokens in the cache that the model is given beside it; None where there is none.
        """
        about = self.of(tensor)
        kinds = (Kind.RANKS,) if name == "fed" else (Kind.RANKS, Kind.IDS)
        if about is not None and about.kind in kinds:
            self._tell(Use(name, about, tensor, None, {}, site))
        elif name == "fed" and (chosen := self._appended(tensor, held)) is not None:
            self._tell(Use(name, chosen, tensor, None, {}, site))

    def _appended(self, ids, held: int | None) -> About | None:
        """Return where the token was read that stands behind the last pass's ids.

        A token by itself stands behind them where the cache holds them still, and all of them.
        """
        if not isinstance(ids, torch.Tensor) or ids.dim() != 2 or ids.is_floating_point():
            return None
        ids = ids.cpu()
        for about, token in self._chosen:
            made = about.source
            alone = ids.shape[1] == 1 and held is not None and held == made.held
            goes_on = alone or torch.equal(ids[:, :-1], made.ids)
            if goes_on and token.numel() == len(ids) and torch.equal(token.flatten(), ids[:, -1]):
                return about
        return None

    def _of_any(self, args, kwargs) -> tuple[tuple[torch.Tensor, About], ...]:
        """Return the followed tensors among the arguments, those in a list included."""
        found = []
        for value in (*args, *kwargs.values()):
            for one in value if isinstance(value, list | tuple) else (value,):
                if isinstance(one, torch.Tensor) and (about := self.of(one)) is not None:
                    found.append((one, about))
        return tuple(found)

    # What a function does to it

    def _look(self, name, func, args, kwargs, result, about) -> None:
        tensor, known = about[0]
        if name in _SAME and isinstance(result, torch.Tensor):
            self.know(result, known)
        elif name in _MOVES:
            if args and args[0] is tensor:
                self._move(name, func, args, kwargs, result, tensor, known)
        elif name in ("cat", "concat", "concatenate", "stack", "hstack"):
            self._join(func, args, kwargs, result)
        elif name in _LOSSES:
            self._loss(name, args, kwargs, result)
        elif name in _CHOOSES and args and args[0] is tensor:
            self._choose(name, args, kwargs, result, tensor, known)
        elif name in _CHANGES:
            self._change(name, args, result, tensor, known)
        elif name in _COMPARES:
            self._compare(args, kwargs, result, about)
        elif isinstance(result, torch.Tensor):
            self._compute(name, args, kwargs, result, about)

    def _move(self, name, func, args, kwargs, result, tensor, known: About) -> None:
        moved = [
            _moved(func, index, name, args, kwargs, result)
            for index in (known.row, known.place, known.token)
        ]
        parts = result if isinstance(result, list | tuple) else (result,)
        moved = [one or [None] * len(parts) for one in moved]
        for part, row, place, token in zip(parts, *moved, strict=True):
            if not isinstance(part, torch.Tensor):
                continue
            about = replace(known, row=row, place=place, token=token)
            if name in _PICKS and _one_of_each(about) and not _one_of_each(known):
                about = replace(about, picked=True)
                self.know(part, about)
                if known.kind in (Kind.LOGITS, Kind.LOGPROBS, Kind.PROBS):
                    self._told("pick", about, tensor, part)
            else:
                self.know(part, about)
                if name in _PICKS and _several_at_one_place(about):
                    self._told("several at one place", about, tensor, part)
                if known.kind == Kind.HIDDEN and _one_of_each_row(about, known):
                    self._told("state", about, part, part)

    def _join(self, func, args, kwargs, result) -> None:
        parts = args[0] if args else kwargs.get("tensors")
        known = [self.of(part) for part in parts]
        first = next(one for one in known if one is not None)
        if all(one is not None and one.kind == first.kind for one in known):
            several = len({id(one.source) for one in known}) > 1
            joined = {} if several else _joined(func, args, kwargs, known)
            about = replace(first, **{"row": None, "place": None, "token": None, **joined})
            self.know(result, about)
        elif ranks := [one for one in known if one is not None and one.kind == Kind.RANKS]:
            ids = ranks[0].source.ids
            if ids is not None and any(_are_rows_of(part, ids) for part in parts):
                self._told("joined", ranks[0], result, result)

    def _loss(self, name, args, kwargs, result) -> None:
        given = args[0] if args else kwargs.get("input")
        target = args[1] if len(args) > 1 else kwargs.get("target")
        options = {key: value for key, value in kwargs.items() if key not in ("input", "target")}
        if (known := self.of(given)) is not None:
            self._told(name, known, given, result, target=target, **options)
        if name == "kl_div" and (known := self.of(target)) is not None:
            self._told("kl_div's target", known, target, result, other=self.of(given), **options)

    def _choose(self, name, args, kwargs, result, tensor, known: About) -> None:
        values, places = _values_and_places(name, result)
        if len(args) > 1 and isinstance(args[1], torch.Tensor):  # max(a, b)
            return
        dim = _dim(name, args, kwargs, tensor)
        self._told(name, known, tensor, result, dim=dim)
        if dim is None or (known.along(dim) != "token" and tensor.shape[dim] > 1):
            return
        at = places.cpu() if places is not None else None
        if at is not None and known.located and known.token is not None:
            keep = kwargs.get("keepdim", False) or name in ("topk", "sort", "argsort")
            where = at if keep else at.unsqueeze(dim)
            chosen = {
                one: torch.take_along_dim(getattr(known, one), where, dim)
                for one in ("row", "place", "token")
            }
            if not keep:
                chosen = {one: index.squeeze(dim) for one, index in chosen.items()}
            kind = Kind.IDS if torch.equal(chosen["token"], at) else Kind.RANKS
            self.know(places, replace(known, kind=kind, **chosen))
            self._remember(replace(known, kind=kind, **chosen), at)
            if values is not None:
                self.know(values, replace(known, **chosen))
        elif values is not None:
            self.know(values, replace(known, row=None, place=None, token=None))

    def _change(self, name, args, result, tensor, known: About) -> None:
        if name == "__setitem__":
            if args[0] is not tensor and known.kind == Kind.RANKS and known.source.ids is not None:
                written = args[0][..., : known.source.ids.shape[1]] if args[0].dim() else None
                if _are_rows_of(written, known.source.ids):
                    self._told("joined", known, tensor, result)
            return
        if not isinstance(result, torch.Tensor) or not torch.is_floating_point(result):
            return
        source = self.of(args[3]) if name.startswith("scatter") and len(args) > 3 else None
        if source is not None and self.of(args[0]) is None:
            self._bring_back(args, result, source)
        elif known.kind not in (Kind.IDS, Kind.RANKS) and result.shape == tensor.shape:
            self.know(result, known)

    def _bring_back(self, args, result, known: About) -> None:
        """Numbers were written into another tensor, by their tokens' ids or elsewhere."""
        if known.token is None or not isinstance(args[2], torch.Tensor) or not args[2].numel():
            return
        if args[3].shape != args[2].shape or not torch.equal(known.token, args[2].cpu()):
            return
        ids = torch.arange(result.shape[-1]).expand(result.shape)
        row, place = (
            index[..., :1].expand(result.shape) if index is not None and index.dim() else None
            for index in (known.row, known.place)
        )
        self.know(result, replace(known, row=row, place=place, token=ids))

    def _compute(self, name, args, kwargs, result, about) -> None:
        tensor, known = about[0]
        same = result.shape == tensor.shape
        if name in ("softmax", "log_softmax"):
            dim = _argument(args, kwargs, 1, "dim")
            self._told(name, known, tensor, result, dim=dim)
            kind = Kind.PROBS if name == "softmax" else Kind.LOGPROBS
            tempered = known.tempered or (known.kind == Kind.LOGITS and known.scaled > 0)
            self.know(result, replace(known, kind=kind, scaled=0, tempered=tempered))
        elif name in (*_LOGS, "exp") and same:
            name = "log" if name in _LOGS else name
            self._told(name, known, tensor, result)
            self.know(result, _after(name, known))
        elif name == "logsumexp":
            self.know(result, replace(known, kind=Kind.LOGSUM, row=None, place=None, token=None))
        elif name == "cumsum":
            dim = _argument(args, kwargs, 1, "dim")
            self._told(name, known, tensor, result, dim=dim)
            self.know(result, replace(known, kind=Kind.CUMULATED))
        elif name == "multinomial":
            self._told(name, known, tensor, result)
            self._draw(known, tensor, result)
        elif name in _REDUCES or name in ("prod", "amax"):
            self._told(name, known, tensor, result, dim=_argument(args, kwargs, 1, "dim"))
            about = replace(known, row=None, place=None, token=None, picked=False)
            self.know(result, about)
        elif name in _SCALES | _SUMS and same:
            self._arithmetic(name, args, kwargs, result, about)
        elif name in ("neg", "pow") and same:
            self.know(result, known)
        elif name == "linear" and known.kind == Kind.HIDDEN and known.located:
            self._head(tensor, known, result)

    def _head(self, tensor, known: About, result) -> None:
        """A head made a few numbers of each hidden state: a value, a reward, a class."""
        if result.dim() == tensor.dim() and result.shape[-1] < tensor.shape[-1]:
            row, place = (index[..., :1].expand(result.shape) for index in (known.row, known.place))
            self.know(result, replace(known, row=row, place=place))

    def _compare(self, args, kwargs, result, about) -> None:
        (tensor, known), *rest = about
        by = next((one for one in args if one is not tensor), kwargs.get("other"))
        other = rest[0][1] if rest else None
        limit = by.item() if isinstance(by, torch.Tensor) and by.numel() == 1 else by
        if known.kind == Kind.CUMULATED and known.token is not None and isinstance(limit, float):
            known.source.nucleus = tensor.detach().float().cpu().clone(), limit
        self._told("compared", known, tensor, result, by=by, other=other)

    def _draw(self, known: About, tensor, result) -> None:
        if known.token is None or known.token.dim() == 0:
            return
        drawn = result.cpu()
        token, row, place = (
            index.expand(tensor.shape).gather(-1, drawn) if index is not None else None
            for index in (known.token, known.row, known.place)
        )
        kind = Kind.IDS if torch.equal(token, drawn) else Kind.RANKS
        drawn_of = replace(known, kind=kind, token=token, row=row, place=place)
        self.know(result, drawn_of)
        self._remember(drawn_of, drawn)

    def _remember(self, about: About, token: torch.Tensor) -> None:
        """Keep which tokens were chosen of a pass, and where it was read for them."""
        of_a_pass = about.source.ids is not None and about.source.generated is None
        if about.kind == Kind.IDS and about.located and of_a_pass and len(self._chosen) < _TOLD:
            self._chosen.append((about, token))

    def _arithmetic(self, name, args, kwargs, result, about) -> None:
        """Numbers were added, subtracted, multiplied or divided."""
        (tensor, known), *rest = about
        other = rest[0][1] if rest else None
        if name in _SCALES:
            if other is not None:
                self._told("product", known, tensor, result, other=other, by=rest[0][0])
            if known.kind == Kind.EXP and name.startswith(("div", "true")):
                known = replace(known, kind=Kind.PROBS)
            elif other is None:
                by = next((one for one in args if one is not tensor), kwargs.get("other"))
                scaled = isinstance(by, int | float) and not isinstance(by, bool) and by != 1
                known = replace(known, scaled=known.scaled + scaled)
            self.know(result, known)
            return
        if other is not None and name in _DIFFERENCES and other.kind == known.kind:
            self._told("difference", known, tensor, result, other=other)
        if known.kind == Kind.LOGITS and other is not None and other.kind == Kind.LOGSUM:
            self.know(result, replace(known, kind=Kind.LOGPROBS))
        elif other is None or other.kind == known.kind:
            shape = known.token.shape if known.token is not None else None
            if shape is None or shape == result.shape:
                self.know(result, known)

    def _told(self, name: str, about: About, given, made, **arguments) -> None:
        """Tell of a step, if it was not told of at its line often enough."""
        site = site_of(sys._getframe())
        key = (site, name)
        self._times[key] = self._times.get(key, 0) + 1
        if self._times[key] > _TOLD:
            return
        use = Use(name, about, given, made, arguments, site)
        if name == "pick" and about.source.ids is not None:
            at = self._picked.setdefault(site, [])
            at.append((about.source, about.row.flatten(), about.place.flatten(),
                       about.token.flatten()))  # fmt: skip
            use = replace(use, picked=tuple(at))
        self._tell(use)


def _held(cache) -> int | None:
    """Return how many tokens a cache holds; None where it cannot be asked."""
    try:
        return int(cache.get_seq_length())
    except Exception:  # none, or one of the user's own
        return None


def _name(func) -> str:
    name = getattr(func, "__name__", "")
    if name == "__get__":  # a property
        return str(getattr(getattr(func, "__self__", None), "__name__", ""))
    return name


def _about_all(kind: Kind, made: Pass, tensor: torch.Tensor) -> About:
    """Return what each number of (batch, length, width) is about; no number is stored twice."""
    rows, places, width = tensor.shape
    offset = (made.ids.shape[1] if made.ids is not None else places) - places  # logits_to_keep
    row = torch.arange(rows).view(-1, 1, 1).expand(tensor.shape)
    place = torch.arange(offset, offset + places).view(1, -1, 1).expand(tensor.shape)
    token = torch.arange(width).expand(tensor.shape) if kind == Kind.LOGITS else None
    return About(kind, made, row, place, token)


def _moved(func, index, name, args, kwargs, result) -> list[torch.Tensor] | None:
    """Return what becomes of an index tensor where a function moves numbers."""
    if index is None:
        return None
    parts = result if isinstance(result, list | tuple) else (result,)
    sizes = [part.numel() for part in parts if isinstance(part, torch.Tensor)]
    if not sizes or (max(sizes) > MOST and name in ("reshape", "view", "flatten")):
        return None
    rest = tuple(map(_on_cpu, args[1:]))
    kwargs = {key: _on_cpu(value) for key, value in kwargs.items()}
    if name == "view":
        if rest and isinstance(rest[0], torch.dtype):
            return None
        moved = index.reshape(*rest)
    else:
        moved = func(index, *rest, **kwargs)
    moved = list(moved) if isinstance(moved, list | tuple) else [moved]
    fit = [one.shape for one in moved] == [getattr(one, "shape", None) for one in parts]
    return moved if fit else None


def _are_rows_of(part, ids: torch.Tensor) -> bool:
    """Tell whether a tensor is the ids of a pass, or of one of its rows."""
    if not isinstance(part, torch.Tensor) or part.is_floating_point() or part.dim() == 0:
        return False
    rows = part.cpu().reshape(-1, part.shape[-1])
    return rows.shape[1] == ids.shape[1] and all(bool((ids == row).all(1).any()) for row in rows)


def _on_cpu(value) -> Any:
    """Return an argument with its tensors where the index tensors are."""
    if isinstance(value, list | tuple):
        return type(value)(map(_on_cpu, value))
    return value.cpu() if isinstance(value, torch.Tensor) else value


def _joined(func, args, kwargs, known: list[About]) -> dict[str, torch.Tensor]:
    if not all(one.located for one in known):
        return {}
    names = ["row", "place"] + ["token"] * all(one.token is not None for one in known)
    return {
        name: func([getattr(one, name) for one in known], *args[1:], **_without(kwargs, "tensors"))
        for name in names
    }


def _one_of_each(about: About) -> bool:
    """Tell whether there is one token's number for each row and place."""
    if not about.located or about.token is None or about.token.numel() > MOST // 20:
        return False
    row, place = about.row.flatten(), about.place.flatten()
    if len(row) > 1 and row[0] == row[1] and place[0] == place[1]:
        return False
    pairs = row * (1 + int(place.max())) + place if len(row) else row
    return 0 < len(pairs.unique()) == len(pairs)


def _several_at_one_place(about: About) -> bool:
    """Tell whether there are several tokens' numbers, all of one row and place."""
    if about.kind not in (Kind.LOGITS, Kind.LOGPROBS, Kind.PROBS) or not about.located:
        return False
    ids = about.source.ids
    if about.token is None or ids is None or not 2 <= about.token.numel() <= ids.numel():
        return False
    return len(about.row.unique()) == len(about.place.unique()) == 1


def _one_of_each_row(about: About, before: About) -> bool:
    """Tell whether one place of each row was taken, where there were several."""
    if not (about.located and before.located):
        return False
    if before.row.dim() == 3:  # (rows, places, width)
        return about.row.dim() == 2 and about.along(-1) not in ("place", "row")
    if before.along(-1) != "place" or about.row.numel() > len(before.row):
        return False
    return len(about.row.flatten().unique()) == about.row.numel() > 0


def _after(name: str, known: About) -> About:
    """Return what numbers are after log or exp."""
    if name == "log":
        kinds = {Kind.PROBS: Kind.LOGPROBS, Kind.EXP: Kind.LOGITS}
    else:
        kinds = {Kind.LOGPROBS: Kind.PROBS, Kind.LOGITS: Kind.EXP}
    return replace(known, kind=kinds.get(known.kind, known.kind), scaled=0)


def _values_and_places(name: str, result) -> tuple[Any, Any]:
    if name in ("argmax", "argmin", "argsort"):
        return None, result
    if isinstance(result, torch.Tensor):  # max() of everything
        return result, None
    return result[0], result[1]


def _dim(name: str, args, kwargs, tensor: torch.Tensor) -> int | None:
    """Return the dimension that is searched; None for all at once."""
    given = _argument(args, kwargs, 2 if name == "topk" else 1, "dim")
    if given is None and name in ("topk", "sort", "argsort"):
        return -1
    if given is None:
        return -1 if tensor.dim() == 1 else None
    return given if isinstance(given, int) and not isinstance(given, bool) else None


def _argument(args, kwargs, place: int, name: str) -> Any:
    return kwargs.get(name, args[place] if len(args) > place else None)


def _without(mapping: dict, name: str) -> dict:
    return {key: value for key, value in mapping.items() if key != name}
