"""The loop in the learner's hands: step by step, forwards and backwards, along several branches.

No controls and no HTML here: `llmcourse.views` has them, in `walk` and `stepper`.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.generation import GenerationMode

from llmcourse import rules
from llmcourse.decoding.cache import cache_in, is_recurrent
from llmcourse.decoding.ingredients import ingredients, inputs_of
from llmcourse.decoding.model_inputs import grown, inputs_for
from llmcourse.decoding.refusals import check_prepared, no_distribution
from llmcourse.decoding.stops import Reason, explain, vote
from llmcourse.show import Table, in_words, percent, plural, readable, token_text

_LONGEST = 120  # characters of a branch's text
_REMEMBERED = 64  # texts whose next-token logits are kept: going back to one costs nothing

# What a walk cannot honour, and why; None, 0 and False leave these off.
_REFUSED = {
    "rules": "the settings of the walk are the rules; pass logits_processor=[...] to add your own",
    "past_key_values": "the walk keeps a cache of its own; pass the whole text as the prompt",
    "max_time": "time passes while you look; leave it out",
    "prefill_chunk_size": "the prompt is read at once; leave it out",
    "guidance_scale": "it remembers what it read, and going back would confuse it; leave it out",
    "watermarking_config": "it may remember what it saw, and going back would confuse it; "
    "leave it out",
    "streamer": "the walk shows the text itself; leave it out",
    "assistant_model": "a walk makes one token at a time; leave it out",
    "assistant_tokenizer": "a walk makes one token at a time; leave it out",
}

# By setting, and by class for those that run after the caller's own: all others keep the order in
# which `generate` gives them.
_PLACES = {place.setting: number for number, place in enumerate(rules.ORDER)}
_LATE = {
    place.processor: number
    for number, place in enumerate(rules.ORDER)
    if number > _PLACES["logits_processor"]
}
# The settings of a walk that are rules, and the value that switches each of them off.
_OFF = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0}


@dataclass(frozen=True)
class Settings:
    """How the next token is chosen: the likeliest, or drawn with these settings.

    Raises ValueError, as the rules in `llmcourse.rules` do, for numbers that they cannot work with.
    """

    sample: bool = False  # whether to draw; the other settings act only then
    temperature: float = 1.0  # 1.0 is off
    top_k: int = 0  # 0 is off
    top_p: float = 1.0  # 1.0 is off
    min_p: float = 0.0  # 0.0 is off
    seed: int = 0

    def __post_init__(self):
        for _, rule in self.rules():
            rule(None, torch.zeros(1, 2))
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed={self.seed!r} is no seed; pass a whole number of 0 or more.")

    def on(self) -> dict[str, float]:
        """Return the settings that do something, by name, in the library's order of rules."""
        named = {name: getattr(self, name) for name in sorted(_OFF, key=_PLACES.get)}
        return {name: value for name, value in named.items() if value != _OFF[name]}

    def rules(self) -> list[tuple[int, Callable]]:
        """Return the rules that do something, each behind its place in the library's order."""
        return [
            (_PLACES[name], rules.ORDER[_PLACES[name]].bind(value))
            for name, value in self.on().items()
        ]

    def __str__(self) -> str:
        if not self.sample:
            return "the likeliest token is taken"
        on = [f"{name.replace('_', '-')} {_short(value)}" for name, value in self.on().items()]
        return f"drawn with {', '.join([*on, f'seed {self.seed}'])}"


@dataclass(frozen=True, eq=False)
class Distribution:
    """The next token's distribution, before and after the rules."""

    logits: torch.Tensor  # (vocab,) float32, as the model gave them
    scores: torch.Tensor  # (vocab,) float32, the same after the rules

    @property
    def raw(self) -> torch.Tensor:
        """The model's own probabilities, (vocab,) float32."""
        return self.logits.softmax(-1)

    @property
    def probs(self) -> torch.Tensor:
        """The probabilities that the next token is chosen by, (vocab,) float32."""
        return self.scores.softmax(-1)

    def candidates(self, top: int = 10) -> list[tuple[int, float, float]]:
        """Return (id, raw probability, probability) of the `top` likeliest tokens.

        Those that the rules dropped come last, with probability 0.
        """
        raw, probs = self.raw, self.probs
        top = min(top, len(probs))
        best = [token for token in probs.topk(top).indices.tolist() if probs[token] > 0]
        best += [token for token in raw.topk(top).indices.tolist() if token not in best]
        return [(token, raw[token].item(), probs[token].item()) for token in best[:top]]


@dataclass(frozen=True, eq=False)
class Pick:
    """One token of a walk."""

    token: int
    text: str  # the same to read
    how: str  # likeliest, drawn or forced
    p: float  # its probability after the rules
    raw: float  # the same before them
    stop: Reason | None  # why the text ends with it, if it does
    seed: int  # of the walk when it was picked
    generator: torch.Tensor  # the state after this token, for the next draw


class Walk:
    """One prompt, the tokens picked after it, and the branches that were tried on the way.

    settings: how the next token is chosen; `change` replaces them. forward_passes, tokens_read:
    what the model was made to do so far.
    """

    def __init__(self, model, tokenizer, prompt, **generate_kwargs):
        """prompt: a text, ids of shape (1, length), or what a tokenizer returns for one text.

        generate_kwargs: what `model.generate` takes, for greedy decoding or sampling. `seed=` too.
        Raises what `llmcourse.ingredients` raises, and ValueError for several prompts or a setting
        that cannot be taken back.
        """
        self.model, self.tokenizer = model, tokenizer
        seed = generate_kwargs.pop("seed", 0)
        _check(generate_kwargs)
        self._call = {**inputs_of(model, tokenizer, _one_prompt(prompt)), **generate_kwargs}
        asked = ingredients(model, tokenizer=tokenizer, **self._call)
        made = self._prepared()
        _check_one_text(made, model)
        self.prompt = made.input_ids[0].tolist()
        self._criteria = made.stopping_criteria
        self._placed = [(_LATE.get(type(rule).__name__, 0), rule) for rule in made.logits_processor]
        config = made.generation_config
        self.settings = Settings(
            bool(asked.generation_config.do_sample),
            1.0 if config.temperature is None else float(config.temperature),
            config.top_k or 0,
            1.0 if config.top_p is None else float(config.top_p),
            config.min_p or 0.0,
            seed,
        )
        self.forward_passes = self.tokens_read = 0
        self._inputs, self._read = None, []  # the model's inputs, and the ids in their cache
        self._known: OrderedDict[tuple, torch.Tensor] = OrderedDict()
        self._lines: list[list[Pick]] = [[]]
        self._line = self._at = 0

    # Where we are.

    @property
    def picks(self) -> list[Pick]:
        """The new tokens, from the prompt to here."""
        return self._lines[self._line][: self._at]

    @property
    def ids(self) -> list[int]:
        """The whole text so far, the prompt included."""
        return [*self.prompt, *(pick.token for pick in self.picks)]

    @property
    def text(self) -> str:
        """The new text so far."""
        return self.tokenizer.decode([pick.token for pick in self.picks])

    @property
    def stop(self) -> Reason | None:
        """Why the text has ended here, or None."""
        return self.picks[-1].stop if self._at else None

    def distribution(self) -> Distribution:
        """Return the next token's distribution; the model runs only if it has not seen this text.

        Raises what the model or a rule raises; the walk stays where it is.
        """
        logits = self._logits()
        ids = torch.tensor([self.ids], device=logits.device)
        scores = logits[None].clone()  # a rule may write into it
        for rule in self._rules():
            scores = rule(ids, scores)
        return Distribution(logits, scores[0])

    # Going on, and back.

    def next(self) -> Pick:
        """Choose the next token as the settings say, and append it.

        Raises ValueError where the text has ended, and what `distribution` raises.
        """
        if self.stop:
            raise ValueError(
                f"The text has ended ({self.stop}); go back, or force a token to go on from here."
            )
        shape = self.distribution()
        if not self.settings.sample:
            return self._append(shape, int(shape.scores.argmax()), "likeliest", self._generator())
        generator = torch.Generator(device=shape.scores.device)
        generator.set_state(self._generator())
        probs = shape.probs[None]
        try:
            token = torch.multinomial(probs, 1, generator=generator).item()
        except RuntimeError as error:
            raise no_distribution(probs, error) from error
        return self._append(shape, token, "drawn", generator.get_state())

    def run(self, on_pick: Callable[[Pick], None] | None = None) -> int:
        """Go on to the end of the text; return how many tokens that took.

        on_pick: called with each. Raises what `next` raises.
        """
        many = 0
        while not many or not self.stop:
            pick, many = self.next(), many + 1
            if on_pick:
                on_pick(pick)
        return many

    def force(self, token: int | str) -> list[Pick]:
        """Append a token by its id, or the tokens of a text, whatever their probability.

        Returns what was appended. Raises ValueError for an empty text, IndexError for an id outside
        the vocabulary, and what `distribution` raises.
        """
        if isinstance(token, str):
            tokens = self.tokenizer(token, add_special_tokens=False).input_ids
        else:
            tokens = [int(token)]
        if not tokens:
            raise ValueError(f"{token!r} has no tokens; type something, a space counts too.")
        vocab = self.model.get_input_embeddings().weight.shape[0]
        if not all(0 <= one < vocab for one in tokens):
            raise IndexError(
                f"token {token!r} is outside the vocabulary; pass an id of 0 to {vocab - 1}."
            )
        added = []
        for one in tokens:
            added.append(self._append(self.distribution(), one, "forced", self._generator()))
        return added

    def back(self, tokens: int = 1) -> None:
        """Take the last token back, or several. They stay in their branch, and `next` may come by.

        Raises ValueError if there are not that many.
        """
        if not 1 <= tokens <= self._at:
            raise ValueError(
                f"There are {self._at} new tokens, so {tokens} cannot be taken back."
                if self._at
                else "There is nothing to take back: this is the prompt."
            )
        self._at -= tokens

    def start_over(self) -> None:
        """Go back to the prompt; the branches stay."""
        self._at = 0

    def change(self, **settings) -> Settings:
        """Change some settings for the tokens to come, such as `temperature=0.7`.

        Raises ValueError for numbers that cannot work; the settings then stay as they were.
        """
        if "temperature" in settings:
            settings["temperature"] = float(settings["temperature"])
        self.settings = replace(self.settings, **settings)
        return self.settings

    # Branches.

    @property
    def branches(self) -> list[list[Pick]]:
        """Every line of tokens that was tried, in the order in which they left another one."""
        return [list(line) for line in self._lines]

    @property
    def branch(self) -> int:
        """The number of the branch that we are on."""
        return self._line

    def go_to(self, branch: int) -> None:
        """Go to the end of a branch. Raises IndexError if there is no such branch."""
        if not 0 <= branch < len(self._lines):
            raise IndexError(
                f"branch={branch} does not exist; pass a number of 0 to {len(self._lines) - 1}."
            )
        self._line, self._at = branch, len(self._lines[branch])

    def compare(self, most: int = 12) -> Table:
        """Return the branches as a table, the last `most` of them: text, probability, end.

        A bar in a text is where it leaves the first branch shown with the same beginning.
        """
        numbers = range(max(0, len(self._lines) - most), len(self._lines))
        rows = [self._branch_row(number) for number in numbers]
        left_out = f"; the first {numbers.start} left out" if numbers.start else ""
        count = len(self._lines)
        caption = f"{count} branch{'es' if count != 1 else ''} tried{left_out}"
        headers = ("branch", "text", "tokens", "forced", "model's probability", "end")
        here = frozenset([self._line - numbers.start])
        return Table(caption, headers, rows, here)

    def _branch_row(self, number: int) -> tuple[str, ...]:
        line = self._lines[number]
        shared = max((_shared(line, other) for other in self._lines[:number]), default=0)
        texts = [pick.text for pick in line]
        shown = "".join(texts[:shared]) + ("|" if shared else "") + "".join(texts[shared:])
        if len(shown) > _LONGEST:
            start = max(0, len("".join(texts[:shared])) - 30)
            end = start + _LONGEST
            before, after = "…" if start else "", "…" if len(shown) > end else ""
            shown = before + shown[start:end] + after
        likely = 1.0
        for pick in line:
            likely *= pick.raw
        return (
            f"{number}, here" if number == self._line else str(number),
            shown,
            str(len(line)),
            str(sum(pick.how == "forced" for pick in line)),
            percent(likely) if likely >= 0.001 or not line else f"{likely:.0e}",
            (line[-1].stop if line else None) or "open",
        )

    # How it is done.

    def _prepared(self):
        """Prepare the call as for sampling; the rules for that are left out when not drawing."""
        call = {**self._call, "do_sample": True}
        return ingredients(self.model, tokenizer=self.tokenizer, **call)

    def _rules(self) -> list[Callable]:
        """Return the rules in force, in the library's order: the call's, and our settings'."""
        sample = self.settings.sample
        theirs = [
            (place, rule)
            for place, rule in self._placed
            if not rules.ORDER[place].only_sampling
            or (sample and rules.ORDER[place].setting not in _OFF)
        ]
        ours = self.settings.rules() if sample else []
        return [rule for _, rule in sorted(theirs + ours, key=lambda placed: placed[0])]

    def _generator(self) -> torch.Tensor:
        """Return the state of the generator for the next draw: a new seed starts it anew."""
        seed = self.settings.seed
        if self._at and self.picks[-1].seed == seed:
            return self.picks[-1].generator
        return torch.Generator(device=self.model.device).manual_seed(seed).get_state()

    def _append(self, shape: Distribution, token: int, how: str, generator) -> Pick:
        ids = torch.tensor([[*self.ids, token]], device=self.model.device)
        done, votes = vote(self._criteria, ids, None)
        (stop,) = explain((None,), done, self._criteria, votes, ids, len(self.prompt))
        pick = Pick(
            token=token,
            text=token_text(self.tokenizer, token),
            how=how,
            p=shape.probs[token].item(),
            raw=shape.raw[token].item(),
            stop=stop,
            seed=self.settings.seed,
            generator=generator,
        )
        here = [one.token for one in self.picks] + [token]
        for number in (self._line, *range(len(self._lines))):
            if [one.token for one in self._lines[number][: len(here)]] == here:
                self._line = number  # we were here before
                self._lines[number][self._at] = pick
                break
        else:
            if self._at < len(self._lines[self._line]):
                self._lines.append(self.picks)
                self._line = len(self._lines) - 1
            self._lines[self._line].append(pick)
        self._at += 1
        return pick

    def _logits(self) -> torch.Tensor:
        """Return the next token's logits, (vocab,) float32, from memory or from the model."""
        ids = self.ids
        key = tuple(ids[len(self.prompt) :])
        if key not in self._known:
            try:
                self._known[key] = self._forward(ids)
            except BaseException:
                self._inputs = None  # some layers may have read, others not: start a new cache
                raise
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    @torch.no_grad()
    def _forward(self, ids: list[int]) -> torch.Tensor:
        """Read what the cache has not read, after taking back what is no longer in the text."""
        kept = _shared(self._read, ids[:-1])  # the last token is read in any case
        if self._inputs is None or not self._forget(len(self._read) - kept, len(ids) - kept):
            self._inputs, kept = self._prepared().model_kwargs, 0
        inputs = dict(self._inputs)
        cache = cache_in(inputs)
        if not inputs.get("use_cache") or cache is None:
            kept = 0
        mask, positions = inputs.pop("attention_mask", None), inputs.pop("position_ids", None)
        mask, positions = grown(mask, positions, by=len(ids) - len(self.prompt))
        if kept and is_recurrent(cache):
            mask = None  # as in the loop: a state-space model needs it for the prefill only
        fed = torch.tensor([ids[kept:]], device=self.model.device)
        output = self.model(**inputs_for(fed, mask, positions), **inputs)
        self.forward_passes += 1
        self.tokens_read += fed.shape[1]
        self._read = ids
        return output.logits[0, -1].to(torch.float32, copy=True)

    def _forget(self, tokens: int, unread: int) -> bool:
        """Take the newest `tokens` out of the cache; False if it cannot be done.

        Layers of other kinds hold states, packed numbers, or less than all tokens. Those go on
        from where they are, one token at a time, or not at all.
        """
        cache = cache_in(self._inputs)
        if cache is None:
            return True
        if not all(map(_forgets, getattr(cache, "layers", [None]))):
            return tokens == 0 and unread == 1
        if tokens:
            cache.crop(-tokens)
        return True

    # What it looks like without controls.

    def next_tokens(self, top: int = 10) -> Table:
        """Return the next token's candidates: the model's probability, and after the rules."""
        shape = self.distribution()
        candidates = shape.candidates(top)
        rows = [
            (
                str(place),
                token_text(self.tokenizer, token),
                str(token),
                percent(raw),
                percent(p) if p else "dropped",
            )
            for place, (token, raw, p) in enumerate(candidates, start=1)
        ]
        left = int((shape.probs > 0).sum()) - sum(p > 0 for _, _, p in candidates)
        rest = [1 - sum(one[place] for one in candidates) for place in (1, 2)]
        others = f"{len(shape.probs) - len(candidates):,} others"
        after = percent(max(0.0, rest[1])) if left > 0 else "dropped"
        rows.append(("", others, "", percent(max(0.0, rest[0])), after))
        caption = f"Next token; {self.settings}"
        return Table(caption, ("number", "token", "id", "the model", "after the settings"), rows)

    def __repr__(self) -> str:
        texts = [token_text(self.tokenizer, token) for token in self.prompt[-60:]]
        earlier = len(self.prompt) - len(texts)
        cut = f"({earlier:,} tokens before) " if earlier else ""
        added = "".join(pick.text for pick in self.picks[-60:])
        dots = "… " if self._at > 60 else ""
        counted = plural(self._at, "new token") if self._at else "So far"
        new = f"{counted}: {dots}{added or 'no new tokens yet'}"
        lines = [f"Prompt: {cut}{''.join(texts)}", new]
        lines.append(f"Ended: {readable(self.stop.sentence)}" if self.stop else self._ahead())
        lines += [repr(self.compare())] if len(self._lines) > 1 else []
        return "\n".join(lines)

    def _ahead(self) -> str:
        try:
            return repr(self.next_tokens())
        except Exception as error:
            return f"The next token's distribution cannot be shown. {in_words(error)}"


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _forgets(layer) -> bool:
    """Tell whether the newest tokens can be taken out of a cache's layer, and nothing be lost."""
    if type(layer) is DynamicSlidingWindowLayer:
        return layer.get_seq_length() < layer.sliding_window
    return type(layer) is DynamicLayer


def _shared(one: list, other: list) -> int:
    """Return how many items two lists have in common before they part."""
    same = 0
    for a, b in zip(one, other, strict=False):
        if getattr(a, "token", a) != getattr(b, "token", b):
            break
        same += 1
    return same


def _one_prompt(prompt):
    """Return `prompt`; raises ValueError for several texts."""
    if isinstance(prompt, list | tuple):
        raise ValueError(
            f"A walk has one prompt, and this is a list of {len(prompt)}; pass a text."
        )
    return prompt


def _check(call: dict) -> None:
    for name, why in _REFUSED.items():
        if call.get(name):
            shown = re.sub(r"\s+", " ", str(call[name]))[:60]
            raise ValueError(f"{name}={shown} is not for a walk: {why}.")
    own = [type(rule).__name__ for rule in call.get("logits_processor") or ()]
    for name in own:
        if name in _LATE and rules.ORDER[_LATE[name]].only_sampling:
            raise ValueError(f"logits_processor= holds a {name}; pass its setting by name instead.")


def _check_one_text(made, model) -> None:
    if made.mode != GenerationMode.SAMPLE:
        raise ValueError(
            f"A walk makes one token at a time, and this call asks for {made.mode.value}; leave "
            "out num_beams, prompt_lookup_num_tokens and what else drafts."
        )
    if len(made.input_ids) > 1:
        raise ValueError(
            f"A walk follows one text, and this call has {len(made.input_ids)} rows; pass one "
            "prompt, with num_return_sequences=1."
        )
    check_prepared(model, made.input_ids, made.generation_config, made.model_kwargs, made.mode)
