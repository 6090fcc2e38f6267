"""Pitfalls in the vocabulary: another model's tokenizer, tokens that were never trained."""

import os
import weakref
from collections.abc import Iterator
from typing import Any

import torch

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, WARNING, Finding
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.show import plural, printable

# Rows of embeddings beyond the tokenizer's tokens that are no padding to a round number: as many,
# and as large a share. Published models have up to 905 of 51,200.
_SPARE_ROWS, _SPARE_SHARE = 2048, 0.1
_SAMPLES = 64  # tokens by which two vocabularies are compared
# An embedding that was trained is away from the mean of all by 3/4 of the usual distance or more; a
# row that was made by a resize, by 1/50; one that is the same as another, by none.
_ROWS, _AT_THE_MEAN, _THE_SAME = 2048, 0.1, 0.01
_NEIGHBOURS = 64  # last rows of the vocabulary among which the same one is looked for
_FEW = 4  # tokens; fewer may be in the output of another model too
_SHOWN = 60  # characters of a name that a finding repeats


@pitfall(
    "tokenizer-of-another-model",
    subject=Subject.MODEL,
    severities=(ERROR, WARNING),
    needs=(Needs.CALL, Needs.DECODINGS),
    symptom="Fluent nonsense, pieces of words, or an IndexError.",
    cause="""
        An id is a row of the model's embeddings. Another tokenizer has another token at each id:
        the model reads another text than was written, and its answer is decoded to words that it
        did not say.
    """,
    fix="Load both from the same name.",
    example="""
        model = AutoModelForCausalLM.from_pretrained(name)
        tokenizer = AutoTokenizer.from_pretrained(name)
    """,
    how_sure="""
        Certain where the output is streamed or decoded by another vocabulary than that of the
        tokenizer which made the ids. Likely where it is inferred: from a model with far more
        embeddings than the tokenizer has tokens, or from two names and two pairs of tokens that
        begin and end texts.
    """,
)
def tokenizer_of_another_model(case: Case) -> Iterator[Finding]:
    """The tokenizer's vocabulary is not the model's, or the streamer's is another."""
    if case.tokenizer is None:
        return
    for one in case.decoded:
        if len(one.ids) < _FEW or case.tokenizer_is_a_guess or one.tokenizer is None:
            continue
        if not _differ(one.tokenizer, case.tokenizer):
            continue
        yield Finding(
            code="tokenizer-of-another-model",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"The output is decoded by a tokenizer of {len(one.tokenizer)} tokens, which is "
                f"another vocabulary than that of the prompt's ({len(case.tokenizer)} tokens)."
            ),
            why="Each id is another token there: what is read is not what the model wrote.",
            fix="tokenizer.decode(output[0])  # by the tokenizer that made the prompt's ids",
            line=one.line,
            file=one.file,
        )
        return
    if not hasattr(case.model, "get_input_embeddings"):  # it is gone: only the output is left
        return
    streams = getattr(case.call.get("streamer"), "tokenizer", None)
    known = not case.tokenizer_is_a_guess
    if known and streams is not None and _differ(streams, case.tokenizer):
        yield Finding(
            code="tokenizer-of-another-model",
            severity=ERROR,
            confidence=CERTAIN,
            what=(
                f"The streamer decodes with a tokenizer of {len(streams)} tokens, which is another "
                f"vocabulary than that of the prompt's tokenizer ({len(case.tokenizer)} tokens)."
            ),
            why="Each id is another token there: what is streamed is not what the model wrote.",
            fix=f"{type(case.call['streamer']).__name__}(tokenizer, skip_prompt=True)",
        )
    sign = _too_few_tokens(case) or _other_names_and_ends(case)
    if sign is None:
        return
    severity, said = sign
    yield Finding(
        code="tokenizer-of-another-model",
        severity=severity,
        confidence=LIKELY,
        what=said,
        why="If it is another model's, the ids mean other tokens: it reads and writes nonsense.",
        fix="tokenizer = AutoTokenizer.from_pretrained(model.name_or_path)",
    )


def _differ(one: Any, other: Any) -> bool:
    """Tell whether two tokenizers have other tokens at the same ids."""
    if one is other:
        return False
    try:
        most = min(len(one), len(other))
        ids = list(range(0, most, max(1, most // _SAMPLES)))
        return one.convert_ids_to_tokens(ids) != other.convert_ids_to_tokens(ids)
    except Exception:  # a tokenizer of one's own, which cannot be asked so
        return False


def _too_few_tokens(case: Case) -> tuple[str, str] | None:
    """Return how grave it is that most of the model's embeddings have no token, in words; None."""
    rows = case.model.get_input_embeddings().weight.shape[0]
    tokens = len(case.tokenizer)
    if rows - tokens < max(_SPARE_ROWS, _SPARE_SHARE * rows):
        return None
    return (
        ERROR if 2 * tokens < rows else WARNING,
        f"The tokenizer has {tokens} tokens and the model embeddings for {rows}: "
        "it seems to be another model's tokenizer.",
    )


def _other_names_and_ends(case: Case) -> tuple[str, str] | None:
    """Return that the names differ, and the tokens that begin and end texts too; else None."""
    named = [os.path.basename(str(getattr(one, "name_or_path", "") or "")) for one in _both(case)]
    if not all(named) or named[0] == named[1]:
        return None
    config, tokenizer = case.model.config.get_text_config(), case.tokenizer
    begins = [getattr(one, "bos_token_id", None) for one in (config, tokenizer)]
    own = getattr(case.model, "generation_config", None)
    ends = _ids(getattr(config, "eos_token_id", None)) | _ids(getattr(own, "eos_token_id", None))
    end = getattr(tokenizer, "eos_token_id", None)
    if None in begins or begins[0] == begins[1]:
        return None
    if not ends or end is None or end in ends:
        return None
    model_name, name = (repr(printable(one, _SHOWN)) for one in named)
    return (
        WARNING,
        f"The tokenizer is that of {name} and the model is {model_name}: texts begin with token "
        f"{begins[1]} there and {begins[0]} here, and end with {end} there and {min(ends)} here.",
    )


def _both(case: Case) -> tuple:
    return case.model, case.tokenizer


def _ids(given) -> set[int]:
    """Return one id, several or none as a set."""
    if given is None:
        return set()
    return set(given) if isinstance(given, list | tuple | set) else {given}


@pitfall(
    "untrained-token",
    subject=Subject.MODEL,
    severities=(WARNING,),
    symptom="Marks that were added, or a chat template on a base model, change nothing; or noise.",
    cause="""
        A token that was added gets a row of embeddings that nothing has trained: near the mean of
        all others, the same as other new ones, or zero. Base models have such rows too, for the
        marks that only their chat versions were trained with.
    """,
    fix="Train the new rows, take the chat version, or write the prompt in plain words.",
    example="""
        tokenizer.add_special_tokens({"additional_special_tokens": ["<note>"]})
        model.resize_token_embeddings(len(tokenizer))
        # ... and train, embeddings and head included, before it is used in a prompt
    """,
    how_sure="""
        Likely: the row is zero, the same as another's, or the mean of a sample of the others, which
        no trained row was found to be.
    """,
)
def untrained_token(case: Case) -> Iterator[Finding]:
    """The prompt has tokens whose embeddings were never trained."""
    ids = case.input_ids
    if case.tokenizer is None or ids is None:
        return
    first_added = getattr(case.tokenizer, "vocab_size", None)
    if not isinstance(first_added, int):
        return
    if max(map(max, filter(None, case.id_rows)), default=0) < first_added:
        return
    ids = ids if case.attention_mask is None else ids[case.attention_mask.bool()]
    added = sorted({one for one in ids.flatten().tolist() if one >= first_added})
    weight = case.model.get_input_embeddings().weight
    if not added or added[-1] >= len(weight) or weight.device.type == "meta":
        return
    untrained = _untrained(weight, added, min(len(case.tokenizer), len(weight)))
    if not untrained:
        return
    names = ", ".join(case.tokenizer.convert_ids_to_tokens(untrained[:3]))
    yield Finding(
        code="untrained-token",
        severity=WARNING,
        confidence=LIKELY,
        what=(
            f"The prompt has {plural(len(untrained), 'token')} that seem never to have been "
            f"trained: {printable(names, _SHOWN)}."
        ),
        why="Their embeddings are zero, or those of no token: to the model they mean nothing.",
        fix="# train the new rows of the embeddings, or take the chat version of the model",
    )


# What was found of a matrix of embeddings: itself, how often it was written to, its ids by whether
# they are trained.
_known: dict[int, tuple[weakref.ref, int, dict[int, bool]]] = {}


def _untrained(weight: torch.Tensor, ids: list[int], tokens: int) -> list[int]:
    """Return those ids whose rows were never trained; each is looked at once."""
    held = _known.get(id(weight))
    if held is None or held[0]() is not weight or held[1] != weight._version:
        for gone in [key for key, value in _known.items() if value[0]() is None]:
            del _known[gone]
        held = _known[id(weight)] = (weakref.ref(weight), weight._version, {})
    seen = held[2]
    new = [one for one in ids if one not in seen]
    if new:
        seen.update(zip(new, _are_untrained(weight.detach(), new, tokens), strict=True))
    return [one for one in ids if seen[one]]


def _are_untrained(weight: torch.Tensor, ids: list[int], tokens: int) -> list[bool]:
    """Tell of each id whether its row is zero, the mean of all, or the same as a late one."""
    sample = weight[:: max(1, len(weight) // _ROWS)].float()
    mean = sample.mean(0)
    usual = (sample - mean).norm(dim=1).median()
    rows = weight[ids].float()
    near = (rows - mean).norm(dim=1) < _AT_THE_MEAN * usual
    late = torch.arange(max(0, tokens - _NEIGHBOURS), tokens, device=weight.device)
    apart = torch.cdist(rows, weight[late].float())
    apart[late[None] == torch.tensor(ids, device=weight.device)[:, None]] = torch.inf
    same = apart.min(dim=1).values < _THE_SAME * usual
    return (near | same | (rows == 0).all(dim=1)).tolist()


@pitfall(
    "pad-token-chosen",
    subject=Subject.CHOOSING,
    severities=(ERROR, WARNING),
    needs=(Needs.OUTPUT,),
    symptom="The answer is [PAD] over and over, or empty once special tokens are skipped.",
    cause="""
        The model chose the padding token itself. The row of a token that was added and never
        trained may win every step; and a model that was trained with its padding in the loss has
        learned to write it.
    """,
    fix="Take a token for padding that the model knows, and mask it in the loss.",
    example="""
        tokenizer.pad_token = tokenizer.eos_token
        model.generate(**inputs, suppress_tokens=[pad_id])
    """,
    how_sure="""
        Certain: `generate` pads a row only after it has ended, and these did not. An error where it
        is half of a text or more.
    """,
)
def pad_token_chosen(case: Case) -> Iterator[Finding]:
    """Padding stands in a text that has not ended."""
    pad, others = case.setting("pad_token_id"), ("stopping_criteria", "custom_generate", "max_time")
    if pad is None or case.asked("stop_strings") or any(case.call.get(one) for one in others):
        return
    pad = int(torch.as_tensor(pad).flatten()[0])
    if pad in case.eos_ids or pad == getattr(case.tokenizer, "eos_token_id", None):
        return  # then it is an end that is not heeded, which is another matter
    for row, new in enumerate(case.new_rows):
        ends = [place for place, token in enumerate(new) if token in case.eos_ids]
        text = new[: ends[0]] if ends else new
        if pad not in text:
            continue
        name = f"token {pad}"
        if case.tokenizer is not None:
            name = repr(printable(str(case.tokenizer.convert_ids_to_tokens(pad)), _SHOWN))
        yield Finding(
            code="pad-token-chosen",
            severity=ERROR if 2 * text.count(pad) >= len(text) else WARNING,
            confidence=CERTAIN,
            what=(
                f"Row {row}: {text.count(pad)} of its {len(text)} new tokens are {name}, the "
                "padding, though the text had not ended."
            ),
            why="The model chose it: a row that was never trained may win, or it was trained to.",
            fix=f"model.generate(..., suppress_tokens=[{pad}])  # or another pad token",
        )
        return
