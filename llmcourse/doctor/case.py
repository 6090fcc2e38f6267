"""One call to `generate` as the checks see it: completed, and with the facts they ask for."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import torch

from llmcourse.decoding.cache import CACHE_NAMES
from llmcourse.decoding.ingredients import CALL, CONFIG, HIDDEN, MODEL, asked, ingredients
from llmcourse.decoding.refusals import check_call
from llmcourse.doctor.finding import THE_MODEL
from llmcourse.doctor.quiet import quietly
from llmcourse.doctor.remembered import Remembered, facts_of
from llmcourse.doctor.template_marks import Template, squeezed
from llmcourse.sandbox import apply_chat_template

PIPELINE = "the pipeline's defaults"  # one more place that a setting may come from
_SET_BY = {
    CALL: "the call sets",
    CONFIG: "the passed generation_config sets",
    MODEL: f"{THE_MODEL} sets",
    PIPELINE: "the pipeline sets by its own defaults",
    HIDDEN: "nobody sets",
}

# Arguments of `apply_chat_template` that are about ids, not about the text.
_ABOUT_IDS = (
    *("tokenize", "return_tensors", "return_dict", "padding", "truncation", "max_length"),
    *("tokenizer_kwargs", "return_assistant_tokens_mask", "sanitize_control_tokens"),
)
# What a case works out once of its prompt, its tokenizer and its settings.
_OF_THE_PROMPT = ("eos_ids", "pad_id", "template", "texts", "is_chat")
# Rows of a batch that are read as text: enough to see how they were made, at little cost.
MOST_ROWS = 8


@dataclass(frozen=True)
class Unused:
    """A list of turns of which nothing is in the messages that a template was given."""

    name: str  # of the variable that holds it
    turns: int  # how many it has
    said: str  # the last of them that is not in the messages
    given: bool  # whether the function got it as an argument; else it grew from call to call


@dataclass(frozen=True)
class TemplateCall:
    """A recorded `apply_chat_template`."""

    messages: list  # the conversation that was passed
    kwargs: dict[str, Any]  # the other arguments
    result: Any  # what came back: a text, ids, or a BatchEncoding
    unused: Unused | None = None  # turns that the script keeps and that are not in `messages`


@dataclass(frozen=True)
class Chat:
    """A conversation, and the text that a template made of it."""

    messages: list  # dictionaries
    text: str  # as the template writes it
    options: dict[str, Any]  # what the template was given besides
    sanitized: bool = False  # whether control tokens in the messages are plain text
    unused: Unused | None = None  # turns that the script keeps, of which nothing is in the messages

    @property
    def squeezed(self) -> str:
        """The text without white space."""
        return squeezed(self.text)


@dataclass(frozen=True)
class TokenizerCall:
    """A recorded call of a tokenizer whose ids are in the prompt."""

    text: Any  # what was passed: a text, texts, or words
    kwargs: dict[str, Any]  # the other arguments
    rows: list[list[int]]  # what came back, the first rows


@dataclass(frozen=True)
class LoadReport:
    """What a load of weights left open: parameters and weights in the files, by their names."""

    made_anew: tuple[str, ...] = ()  # not in the files, and as the library made them since
    # In the files in another shape, and made anew: the shape there and the model's.
    other_shapes: dict[str, tuple] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # in the files, and the model has no place for them
    given: int = 0  # weights in the files, as far as that is known
    from_state_dict: bool = False  # whether it was `load_state_dict`, not `from_pretrained`


@dataclass(frozen=True)
class Decoded:
    """A recorded `decode` of one row."""

    ids: list[int]  # the row
    kwargs: dict[str, Any]  # the other arguments
    text: str  # what came back
    line: int | None = None  # where the call stands, from 1
    file: str | None = None
    tokenizer: Any = None  # whose `decode`


@dataclass(frozen=True, eq=False)
class Origin:
    """A text that was decoded of a call's output, and which part of it is the prompt's."""

    text: str  # the very object that the script got
    ids: list[int]  # what was decoded
    tokenizer: Any  # whose `decode`
    options: dict[str, Any]  # its other arguments
    new_at: int = 0  # characters of the prompt that it begins with
    prompts: tuple[str, ...] = ()  # the call's prompts, as the script wrote them
    has_end: bool = False  # whether a token that ends texts is among the new ones
    at_limit: bool = False  # whether there are as many new tokens as the call allows
    runs: bool = False  # whether the call has not ended: a criterion or a streamer decoded it

    @property
    def new(self) -> str:
        """The text without the prompt."""
        return self.text[self.new_at :]

    @cached_property
    def written(self) -> str:
        """The same ids with all special tokens."""
        return self.tokenizer.decode(self.ids, clean_up_tokenization_spaces=False)


@dataclass(eq=False)
class Use:
    """One thing that a script did with a decoded text, or with what it made of one."""

    name: str  # "str.split", "re.search", "json.loads", "int", "==", "in", "[:]", "+", "f"
    text: str  # what it was done with; of a list or a finding, the text that it was taken from
    inputs: tuple  # of the expression, in order: first what a method is called on
    names: tuple[str, ...]  # what each input is: "of", a keyword's name, "lower", "upper" or ""
    at: int  # which of them the text is
    span: tuple[int, int] | None  # where that text stands in the decoded one, if it is a part of it
    done: tuple["Use", ...]  # what was done before to get it, the first thing first
    origin: Origin
    file: str  # as Python names it
    line: int  # from 1
    parts: tuple[str | None, ...] = ()  # of an f-string: its texts, None for each input
    result: Any = None
    ended: bool = False  # whether there was a result, and no error
    ended_it: bool = False  # whether its error ended the script

    def argument(self, number: int) -> Any:
        """Return what was passed by position, from 0; None where nothing was."""
        passed = [one for one, name in zip(self.inputs, self.names, strict=True) if name == ""]
        return passed[number] if number < len(passed) else None

    def named(self, name: str) -> Any:
        """Return what was passed by a name, or an end of a slice; None where nothing was."""
        return next(
            (one for one, known in zip(self.inputs, self.names, strict=True) if known == name), None
        )

    @property
    def others(self) -> list:
        """The inputs beside the text."""
        return [one for number, one in enumerate(self.inputs) if number != self.at]

    @property
    def begins_with_prompt(self) -> bool:
        """Whether the text still has some of the prompt at its beginning."""
        return self.span is not None and self.span[0] < self.origin.new_at

    @property
    def new_at(self) -> int:
        """The characters of the prompt that the text begins with."""
        return 0 if self.span is None else max(0, self.origin.new_at - self.span[0])

    @cached_property
    def pattern(self) -> re.Pattern:
        """The expression of a function of `re`, or whose method it is."""
        given = self.inputs[0] if isinstance(self.inputs[0], re.Pattern) else self.argument(0)
        flags = self.named("flags") or 0
        if isinstance(given, str) and not flags and self.inputs[0] is not given:
            number = {"re.sub": 4, "re.subn": 4, "re.split": 3}.get(self.name, 2)
            flags = self.argument(number) or 0
        return re.compile(given, flags) if isinstance(given, str) else given


@dataclass(eq=False)
class Streamed:
    """The pieces of a stream, and what a script looked for in single ones."""

    pieces: list[str] = field(default_factory=list)  # as the streamer gave them out
    # (the piece's number from 0, what was looked for, file, line), the first searches.
    searches: list[tuple[int, str, str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Forward:
    """A recorded forward pass outside `generate`; None: not passed."""

    input_ids: torch.Tensor | None = None  # (batch, length) int64
    attention_mask: torch.Tensor | None = None  # (batch, length); with a cache it is longer
    position_ids: torch.Tensor | None = None  # (batch, length) int64
    line: int | None = None  # where the call stands, from 1
    file: str | None = None
    labels: torch.Tensor | None = None  # (batch, length) int64
    names: tuple[str, ...] = ()  # of all arguments
    cached: int = 0  # tokens that the cache held before
    has_cache: bool = False  # whether a cache, or another state, was passed
    fed: torch.Tensor | None = None  # (batch, cached) int64, what the cache holds, if that is known
    # Of the steps that led here, the token that each added to each row, the last one's at the end.
    written: tuple[tuple[int, ...], ...] = ()
    # Whether the ids are those of the pass before without their first, and a new one.
    slid: bool = False
    learns: bool = True  # whether gradients were on
    reads_last: bool = False  # whether the source takes the logits of the last place


@dataclass(frozen=True)
class Edit:
    """What a logits processor did to one row of scores in a step."""

    changed: int = 0  # tokens whose score is another
    bans: bytes = b""  # which tokens it took away, as a digest; b"" for none
    banned: tuple[int, ...] = ()  # these tokens, where they are few
    left: tuple[int, ...] = ()  # the tokens that may still come, where they are few
    faults: frozenset[str] = frozenset()  # "nan", "infinite", "none left", "probabilities", "mask"
    # Tokens that were given one and the same finite score, at most 0: the score, how many, and the
    # probability of all of them before and after.
    flat: tuple[float, int, float, float] | None = None
    # Of a change to tokens of the text alone: how many negative scores rose and fell, and how many
    # positive ones.
    signs: tuple[int, int, int, int] | None = None
    factor: float | None = None  # by which all of these were multiplied, where it is one


@dataclass(frozen=True)
class Step:
    """What one of the user's callables got and returned in a step of `generate`."""

    length: int  # of the ids that it got
    texts: tuple[bytes, ...]  # a digest of each row's ids, the first rows
    returned: str  # what came back: "", as it has to be, or what it was instead
    # What can be compared between steps: each row's bans, verdict or allowed tokens; of a streamer,
    # whether it decoded all that it was given as one text.
    said: tuple[Any, ...] = ()
    rows: int = 1  # of the ids that it got
    edits: tuple[Edit, ...] = ()  # of a processor, the first rows
    ids: tuple[int, ...] | None = None  # of a function of allowed tokens, where they are few
    ends: bool = False  # whether these hold a token that ends a text
    everything: bool = False  # whether they are the whole vocabulary
    beyond: int | None = None  # one of them that the vocabulary lacks


@dataclass(frozen=True, eq=False)
class Called:
    """One of the user's callables in a call to `generate`: a processor, a criterion or the like."""

    # "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn" or "streamer"
    kind: str
    name: str  # its own, or its class's
    what: Any  # the callable; None where the call is over
    steps: list[Step]  # what it was asked, the first times
    before: dict[str, Any]  # its state when the call began, by name
    after: dict[str, Any]  # when it had ended
    error: Exception | None = None  # what it raised
    # At the first step, of the first rows where few tokens were left: the likeliest before, the
    # tokens that were left, and the probability that these had before.
    first_choice: tuple[tuple[int, tuple[int, ...], float], ...] = ()
    earlier: tuple["Called", ...] = ()  # the same object in earlier calls, the last one last
    whole: bool = True  # whether `steps` are all there were


@dataclass
class Case:
    """One call, completed."""

    model: Any
    tokenizer: Any  # None where nobody knows it
    prompt: str | list[str] | None = None  # the text or texts, if such were given
    messages: list[dict] | None = None  # the chat, if one was given
    # The tensors for `generate`, by name, as they were passed or made from the text; they stay as
    # they are once the case has been asked about them.
    inputs: dict[str, Any] = field(default_factory=dict)
    # The other arguments of `generate`, as the caller wrote them.
    call: dict[str, Any] = field(default_factory=dict)
    # Every setting resolved; None if `generate` refuses the call, or cannot be asked.
    config: Any = None
    refusal: Exception | None = None  # why the call fails, if it does
    repeatable: bool = False  # whether the caller expects the same text again
    by_pipeline: frozenset[str] = frozenset()  # settings that a pipeline added of its own accord
    earlier: torch.Tensor | None = None  # what one of the last calls made of the same ids
    seed: int | None = None  # torch's, when the call began
    earlier_seed: int | None = None  # at that earlier call
    random_state: bytes = b""  # a digest of torch's generators, when the call began
    # Of the last calls at this line, those of the same ids and settings, and of the same random
    # state where the call draws.
    asked_alike: int = 0
    cached: int = 0  # tokens that the call's cache held before the call
    held: torch.Tensor | None = None  # (batch, length) int64, these tokens, where they were seen
    encoded_by: Any = None  # the tokenizer that was seen to make the ids
    output: torch.Tensor | None = None  # (rows, length) int64, what `generate` returned, if it ran
    rendered: list[str] = field(default_factory=list)  # `messages` as the template writes them
    # Facts that only somebody who watches can know.
    tokenizer_is_a_guess: bool = False  # whether it was neither named nor seen to make the ids
    template_calls: list[TemplateCall] = field(default_factory=list)  # that led to the prompt
    tokenizer_calls: list[TokenizerCall] = field(default_factory=list)  # that led to the prompt
    earlier_chats: list[list] = field(default_factory=list)  # conversations of earlier calls
    # Conversations of earlier calls, each with a text that was decoded of its answer.
    answers: list[tuple[list, str]] = field(default_factory=list)
    unfilled: frozenset[str] = frozenset()  # names in braces that are variables of the script's
    loads: list[dict[str, Any]] = field(default_factory=list)  # arguments of `from_pretrained`
    # The tokenizer's call that ended the program, by its method's name, and what it was given; its
    # error is the refusal, and there is no model.
    failed: tuple[str, dict[str, Any]] | None = None
    load_reports: list[LoadReport] = field(default_factory=list)  # what they left open
    decoded: list[Decoded] = field(default_factory=list)  # from the output, afterwards
    forwards: list[Forward] = field(default_factory=list)  # in a loop written by hand
    uses: list[Use] = field(default_factory=list)  # of one text decoded from the output, in order
    called: list[Called] = field(default_factory=list)  # the user's callables, and what they did
    streamed: Streamed | None = None  # pieces that a streamer gave out

    @cached_property
    def input_ids(self) -> torch.Tensor | None:
        """(batch, length) int64, or None where the call has none or no such."""
        ids = self.inputs.get("input_ids", self.inputs.get("inputs"))
        fits = isinstance(ids, torch.Tensor) and ids.dim() == 2 and not ids.is_floating_point()
        return ids if fits else None

    @cached_property
    def id_rows(self) -> list[list[int]]:
        """`input_ids` as plain ids; [] where the call has none."""
        return [] if self.input_ids is None else self.input_ids.tolist()

    @cached_property
    def attention_mask(self) -> torch.Tensor | None:
        """The mask that the caller passed, (batch, length) int64; None if there is none."""
        mask, ids = self.inputs.get("attention_mask"), self.input_ids
        if ids is None or not isinstance(mask, torch.Tensor) or mask.dim() != 2:
            return None
        mask = mask[:, -ids.shape[1] :]  # with a cache the mask is longer
        return mask if mask.shape == ids.shape else None

    @cached_property
    def starts(self) -> list[int]:
        """Where each row's text begins: after the padding on its left."""
        if self.attention_mask is not None:
            return (self.attention_mask != 0).long().argmax(1).tolist()
        if self.input_ids is None or self.pad_id is None:
            return [0] * len(self.id_rows)
        return (self.input_ids == self.pad_id).long().cumprod(1).sum(1).tolist()

    @property
    def mask_given(self) -> bool:
        """Whether the caller passed a mask."""
        return self.inputs.get("attention_mask") is not None

    @cached_property
    def decoder_only(self) -> bool:
        """Whether the prompt and the new text are one sequence."""
        return not getattr(self.model.config, "is_encoder_decoder", False)

    @property
    def for_stop_strings(self) -> dict[str, Any]:
        """What `generate` needs besides, if the call has stop strings: the tokenizer."""
        return {"tokenizer": self.tokenizer} if self.asked("stop_strings") else {}

    @cached_property
    def prompt_length(self) -> int:
        """The prompt's tokens, padding included, as `generate` counts them."""
        return 0 if self.input_ids is None else self.input_ids.shape[1]

    @property
    def new_rows(self) -> list[list[int]]:
        """The tokens that were added to each prompt; [] if the call was not run."""
        if self.output is None or not self.decoder_only:
            return []
        return [row[self.prompt_length :] for row in self.rows]

    @property
    def rows(self) -> list[list[int]]:
        """`output` as plain ids, prompt and new tokens; [] if the call was not run."""
        known = vars(self).get("_rows")
        if known is None or known[0] is not self.output:  # it is known later than the prompt
            rows = [] if self.output is None else self.output.tolist()
            known = vars(self)["_rows"] = self.output, rows
        return known[1]

    @cached_property
    def window(self) -> int | None:
        """The most tokens that the model was made for; None if its config does not say."""
        config = self.model.config.get_text_config()
        return getattr(config, "max_position_embeddings", None) or None

    def setting(self, name: str) -> Any:
        """Return the value in force, also where `generate` refuses the call."""
        if self.config is not None:
            return getattr(self.config, name, None)
        return self.asked(name)

    def asked(self, name: str) -> Any:
        """Return a setting as it was asked for, not completed; None if nobody did."""
        return self._who_asks(name)[1]

    def _who_asks(self, name: str) -> tuple[str, Any]:
        """Return the strongest that asks for a setting, and what it asks for; looked up once."""
        known = vars(self).setdefault("_askers", {})
        if name not in known:
            known[name] = next(asked(name, self.model, self.call), (HIDDEN, None))
        return known[name]

    def origin(self, name: str) -> str:
        """Return who asked for a setting: the call, its config, a pipeline, the model, nobody."""
        if name in self.by_pipeline:
            return PIPELINE
        return self._who_asks(name)[0]

    def asked_here(self, name: str) -> bool:
        """Whether the call or the config passed with it asks for a setting."""
        return self.origin(name) in (CALL, CONFIG)

    def set_by(self, name: str) -> str:
        """Return who asked for a setting in words that its name completes: "the call sets"."""
        return _SET_BY[self.origin(name)]

    @cached_property
    def eos_ids(self) -> tuple[int, ...]:
        """The tokens that end a text in this call; () also where they are no ids."""
        ids = self.setting("eos_token_id")
        try:
            return () if ids is None else tuple(map(int, torch.as_tensor(ids).flatten().tolist()))
        except (TypeError, ValueError, RuntimeError):  # names of tokens: the call is refused
            return ()

    @cached_property
    def pad_id(self) -> int | None:
        """The token that stands for padding: the tokenizer's, or else the one `generate` uses."""
        pad = getattr(self.tokenizer, "pad_token_id", None)
        pad = self.setting("pad_token_id") if pad is None else pad
        return None if pad is None else int(pad)

    @cached_property
    def template(self) -> Template | None:
        """What the tokenizer's chat template does; None if it has none."""
        return Template.of(self.tokenizer)

    @cached_property
    def chats(self) -> list[Chat]:
        """The conversations behind the prompt, as far as they are known."""
        if not getattr(self.tokenizer, "chat_template", None):
            return []
        found = []
        if self.messages is not None and self.rendered:
            found = [Chat(self.messages, self.rendered[0], {"add_generation_prompt": True})]
        found += [self._chat(call) for call in self.template_calls]
        return [
            chat
            for chat in found
            if chat is not None and all(isinstance(one, Mapping) for one in chat.messages)
        ]

    def _chat(self, call: TemplateCall) -> Chat | None:
        options = {name: value for name, value in call.kwargs.items() if name not in _ABOUT_IDS}
        sanitized = bool(call.kwargs.get("sanitize_control_tokens"))
        text = call.result
        if not isinstance(text, str):
            text = render_again(self.tokenizer, call.messages, options)
        return None if text is None else Chat(call.messages, text, options, sanitized, call.unused)

    @cached_property
    def texts(self) -> list[str]:
        """The first prompts as text, special tokens included, padding not."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt is not None:
            return list(self.prompt[:MOST_ROWS])
        if self.messages is not None and self.rendered:
            return self.rendered[:1]
        if self.input_ids is None or self.tokenizer is None:
            return []
        return [self._text(row) for row in range(min(MOST_ROWS, len(self.input_ids)))]

    def later(self, **changes) -> "Case":
        """Return the call with other facts; what was worked out of its prompt is kept.

        changes: of fields that neither the prompt's text nor the tokenizer depend on.
        """
        other = object.__new__(type(self))
        vars(other).update({name: vars(self)[name] for name in _FIELDS} | changes)
        if self.tokenizer is not None:  # else it may still be seen
            known = {name: vars(self)[name] for name in _OF_THE_PROMPT if name in vars(self)}
            vars(other).update(known)
        return other

    def _text(self, row: int) -> str:
        ids = self.input_ids[row]
        if self.attention_mask is not None:
            seen = self.attention_mask[row].nonzero().flatten()
            ids = ids[int(seen[0]) : int(seen[-1]) + 1] if len(seen) else ids[:0]
        return self.tokenizer.decode(ids.tolist(), clean_up_tokenization_spaces=False)

    @cached_property
    def is_chat(self) -> bool:
        """Whether the prompt is in the format of the tokenizer's template."""
        if self.template is None:
            return False
        return self.messages is not None or any(map(self.template.is_in, self.texts))


_FIELDS = tuple(one.name for one in fields(Case))


def render_again(tokenizer, messages: list, options: dict[str, Any]) -> str | None:
    """Return what a template writes; None if it refuses the messages."""
    try:
        return apply_chat_template(tokenizer, messages, **{**options, "tokenize": False})
    except Exception:  # a template may raise what it likes
        return None


def complete(
    model,
    tokenizer,
    prompt_or_inputs,
    call: dict[str, Any],
    repeatable: bool = False,
    remembered: Remembered | None = None,
) -> Case:
    """Return the call as a Case: prompt tokenized, settings resolved; no forward pass is run.

    prompt_or_inputs: a text, texts, messages, ids, or what a tokenizer returns. remembered: the
    settings of earlier calls. What the tokenizer, its template or `generate` refuses becomes the
    case's `refusal`. Raises TypeError for a prompt that is none of these.
    """
    case = Case(model, tokenizer, call=dict(call), repeatable=repeatable)
    case.cached = _cached(call.get("past_key_values"))
    _read(case, prompt_or_inputs)
    if case.refusal is None:
        resolve(case, remembered or Remembered())
    return case


def _cached(cache) -> int:
    """Return how many tokens a cache holds; 0 for none, or where it cannot be asked."""
    length = getattr(cache, "get_seq_length", None)
    try:
        return 0 if length is None else int(length())
    except Exception:  # a cache of one's own, or one that was never used
        return 0


def _read(case: Case, prompt) -> None:
    """Fill in the case's prompt, messages and inputs."""
    if isinstance(prompt, torch.Tensor):
        case.inputs = {"input_ids": prompt if prompt.dim() != 1 else prompt[None]}
    elif isinstance(prompt, Mapping):
        case.inputs = {name: value for name, value in prompt.items() if value is not None}
    elif is_chat(prompt):
        case.messages = list(prompt)
        try:
            _render(case)
        except Exception as error:  # a template may raise what it likes
            case.refusal = error
    elif isinstance(prompt, str) or _is_texts(prompt):
        case.prompt = prompt if isinstance(prompt, str) else list(prompt)
        texts = [prompt] if isinstance(prompt, str) else list(prompt)
        try:
            made = case.tokenizer(texts, return_tensors="pt", padding=len(texts) > 1)
        except ValueError as error:  # no padding token
            case.refusal = error
            return
        case.inputs = tensors_for(case.model, made)
    else:
        raise TypeError(
            f"prompt_or_inputs is a {type(prompt).__name__}; pass a text, a list of texts, a list "
            "of messages, ids of shape (batch, length), or what the tokenizer returns."
        )


def _render(case: Case) -> None:
    """Fill in the case's inputs from its messages, as the template writes them."""
    options = {"add_generation_prompt": True, "tokenize": False}
    text = apply_chat_template(case.tokenizer, case.messages, **options)
    made = case.tokenizer(text, return_tensors="pt", add_special_tokens=False)
    case.rendered, case.inputs = [text], tensors_for(case.model, made)


def tensors_for(model, made) -> dict[str, torch.Tensor]:
    """Return what `generate` takes of what a tokenizer made; an empty text gives floats."""
    known = ("input_ids", "attention_mask")
    return {name: made[name].long().to(model.device) for name in known if name in made}


def shared(one: str, other: str) -> int:
    """Return how many characters two texts begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def is_chat(prompt) -> bool:
    """Whether a prompt is a conversation: dictionaries, each with a role."""
    return (
        isinstance(prompt, list | tuple)
        and len(prompt) > 0
        and all(isinstance(message, Mapping) and "role" in message for message in prompt)
    )


def _is_texts(prompt) -> bool:
    return (
        isinstance(prompt, list | tuple)
        and len(prompt) > 0
        and all(isinstance(text, str) for text in prompt)
    )


# What does not change the settings, and what `custom_generate` could not be asked with.
_NOT_ASKED = (
    "streamer",
    "custom_generate",
    "assistant_model",
    "assistant_tokenizer",
    "tokenizer",
    "synced_gpus",
    "trust_remote_code",
)


def resolve(case: Case, remembered: Remembered) -> None:
    """Fill in the case's config, or its refusal: ask `generate`, quietly, once for equal calls."""
    call = {name: value for name, value in case.call.items() if name not in _NOT_ASKED}
    if not case.decoder_only or call.get("cache_implementation") == "paged":
        return
    if case.call.get("custom_generate") is not None and "num_beam_groups" in call:
        return  # a way of decoding that lives outside the library
    facts = facts_of(case.model, case.inputs, call)
    try:
        case.config = remembered.config_for(case.model, facts)
        if case.config is not None:  # what it depends on besides is what is in the tensors
            check_call(case.model, {**case.inputs, **call})
            return
        with quietly():
            inputs, call = with_own_cache(case.inputs), with_own_cache(call)
            made = ingredients(case.model, tokenizer=case.tokenizer, **inputs, **call)
    except Exception as error:  # whatever `generate` raises
        case.config, case.refusal = None, error
        return
    case.config = made.generation_config
    remembered.keep(case.model, facts, case.config)


def with_own_cache(call: dict[str, Any]) -> dict[str, Any]:
    """Return the call with a copy of the cache in it, since `generate` writes into what it gets."""
    caches = {name: call[name] for name in CACHE_NAMES if call.get(name) is not None}
    return {**call, **copy.deepcopy(caches)}
