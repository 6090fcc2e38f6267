"""What is behind the words in which `generate` refuses a call."""

import difflib
import inspect
import re
from functools import cache

from transformers import GenerationConfig, GenerationMixin

from llmcourse.doctor.case import Case
from llmcourse.doctor.names_elsewhere import elsewhere
from llmcourse.show import message_of, printable

_UNUSED = re.compile(r"`model_kwargs` are not used by the model: \[(.*?)\]")


@cache
def _known() -> list[str]:
    """Return what `generate` has names for."""
    settings = [name for name in vars(GenerationConfig()) if not name.startswith("_")]
    return [*settings, *inspect.signature(GenerationMixin.generate).parameters]


def behind(case: Case) -> tuple[str, str] | None:
    """Return (cause, fix) for a refusal whose words do not say it; None where nothing is known."""
    words = message_of(case.refusal)[:2000]
    unused = _UNUSED.search(words)
    if unused:
        names = re.findall(r"'(\w+)'", unused[1])
        causes = [one for one in (_of_a_name(case, name) for name in names) if one is not None]
        return causes[0] if causes else None
    return next(((why, fix) for part, why, fix in _BEHIND if part in words), None)


def _of_a_name(case: Case, name: str) -> tuple[str, str] | None:
    """Return what an argument that `generate` does not know was meant for, and the fix."""
    value = printable(repr(case.call.get(name)), 40)
    known = elsewhere(name, value)
    if known is not None:
        return known
    near = difflib.get_close_matches(name, _known(), n=1, cutoff=0.75)
    if near:
        return (
            f"{name} is none of generate's settings; {near[0]} is.",
            f"{near[0]}=...  # not {name}",
        )
    return None


# Parts of the library's words, with what is behind them and what to write.
_BEHIND = (
    (
        "`top_k` has to be a strictly positive integer, but is -",
        "A negative top_k is vLLM's word for no limit; generate's is 0.",
        "model.generate(..., top_k=0)",
    ),
    (
        "`penalty` has to be a strictly positive float, but is",
        "Scores are divided by this penalty: 1.0 is off, not 0 as with a presence penalty.",
        "model.generate(..., repetition_penalty=1.0)",
    ),
    (
        "`bad_words_ids` has to be a",
        "Each banned word is a list of ids by itself, also one of a single id.",
        "tokenizer(words, add_special_tokens=False).input_ids  # for bad_words_ids",
    ),
    (
        "`sequence_bias` has to be a dict with tuples",
        "The keys are ids, one tuple for each word.",
        "{tuple(tokenizer(word, add_special_tokens=False).input_ids): bias}  # for sequence_bias",
    ),
    (
        "has to be a float in the [0, 1] interval",
        "It is a share, from 0 to 1, not percent.",
        "# 0.05 for 5%",
    ),
    (
        "could not locate a tokenizer",
        "Stop strings are compared with text, and generate has none without a tokenizer.",
        "model.generate(..., tokenizer=tokenizer)",
    ),
    (
        "do not support `num_return_sequences`",
        "Greedy decoding has one text; several need draws, or as many beams.",
        "model.generate(..., do_sample=True)  # or num_beams",
    ),
    (
        "has to be smaller or equal to `num_beams`",
        "A search returns no more texts than it has beams.",
        "# num_beams at least as large as num_return_sequences",
    ),
    (
        "Group Beam Search requires `trust_remote_code=True`",
        "num_beam_groups is no setting of the library's own beam search since version 5.",
        "model.generate(..., num_beams=4)  # or do_sample=True, for texts that differ",
    ),
    (
        "Constrained Beam Search requires `trust_remote_code=True`",
        "Forced words and constraints are no part of the library's beam search since version 5.",
        "model.generate(..., prefix_allowed_tokens_fn=allowed)  # or sequence_bias",
    ),
    (
        "probability tensor contains either `inf`, `nan`",
        "No token is left to draw, as all scores are -inf, or some are nan: by a logits processor "
        "or bans that leave nothing, or by numbers beyond float16.",
        "scores.isfinite().any(-1)  # in the processor: at least one token for each row",
    ),
    (
        "too many dimensions 'str'",
        "A list of texts stands where ids of tokens are wanted.",
        "tokenizer.convert_tokens_to_ids(tokens)",
    ),
    (
        "`streamer` cannot be used with beam search",
        "A beam's tokens may still change, so nothing can be shown before the end.",
        "model.generate(..., streamer=streamer, num_beams=1)",
    ),
    (
        "but the following tokens were being biased",
        "These ids are beyond the model's vocabulary: they are of another tokenizer.",
        "# ids from the model's own tokenizer",
    ),
    (
        "returned an empty list for batch ID",
        "The function allows nothing for what was written so far, not even the end.",
        "return allowed or [tokenizer.eos_token_id]  # in prefix_allowed_tokens_fn",
    ),
    (
        "integer division or modulo by zero",
        "num_beams=0 or num_return_sequences=0 is not off: 1 is.",
        "model.generate(..., num_beams=1, num_return_sequences=1)",
    ),
    (
        "does not have a padding token",
        "Rows of a batch are made as long as one another, and no token is named for that.",
        "tokenizer.pad_token = tokenizer.eos_token",
    ),
)
