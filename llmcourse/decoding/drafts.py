"""Where drafts come from: from the text itself, from the same loop on a smaller model, and others.

All kinds have one interface. `propose(ids, mask, positions)` returns the draft, (n,) int64 with n
from 0 up, and the probabilities, (n, vocab) float32, that it was drawn from, None where it was not
drawn. `learn(proposed, kept)` hears how many of the proposed tokens were of use.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from transformers import LogitsProcessorList, MinLengthLogitsProcessor
from transformers.generation import AssistedCandidateGenerator
from transformers.utils import is_sklearn_available

from llmcourse.decoding import loop
from llmcourse.decoding.cache import CACHE_NAMES, LIBRARY, cache_in, cached_length
from llmcourse.decoding.ingredients import Ingredients, ingredients
from llmcourse.decoding.model_inputs import is_fed_as_usual
from llmcourse.decoding.refusals import check_drafter, check_rollback, drafts_asked_for
from llmcourse.decoding.stops import eos_ids
from llmcourse.decoding.user_code import checked, unchecked


class TextLookup:
    """Drafts looked up in the text: what followed the last time it said the same words."""

    def __init__(self, model, prompt: torch.Tensor, rules, generation_config):
        self.rules = rules
        self.vocab = model.config.get_text_config().vocab_size
        self.tokens = generation_config.prompt_lookup_num_tokens
        self.longest = generation_config.max_matching_ngram_size or 2
        self.max_length = generation_config.max_length
        self.eos = prompt.new_tensor(eos_ids(generation_config))

    def propose(self, ids: torch.Tensor, mask, positions) -> tuple[torch.Tensor, None]:
        """Return the first continuation in the text that the rules allow, without its EOS."""
        none = ids.new_empty(0)
        if ids.shape[1] + 1 == self.max_length:  # the big model's own token is the last one
            return none, None
        for continuation in look_up(ids[0], tokens=self.tokens, longest=self.longest):
            draft = allowed(continuation, ids, self.rules, self.vocab)
            if len(draft):
                ends = torch.isin(draft, self.eos).nonzero()
                return (draft[: ends[0].item()] if len(ends) else draft), None
        return none, None

    def learn(self, proposed: int, kept: int) -> None:
        """Learn nothing: the text is all there is to know."""


def look_up(text: torch.Tensor, *, tokens: int, longest: int) -> Iterator[torch.Tensor]:
    """Yield what followed each earlier occurrence of the text's last words.

    text: (length,) int64. tokens: the most to take. longest: how many last tokens must recur, at
    first; then one fewer and so on. Of equally long matches the earliest comes first.
    Source: Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding.
    """
    for size in range(min(longest, len(text) - 1), 0, -1):
        same = (text.unfold(0, size, 1) == text[-size:]).all(-1)
        for start in same.nonzero().flatten().tolist():
            if start + size < len(text):
                yield text[start + size : start + size + tokens]


def allowed(draft: torch.Tensor, ids: torch.Tensor, rules, vocab: int) -> torch.Tensor:
    """Return `draft`, (n,) int64, up to the first token that the rules forbid after `ids`."""
    scores = torch.ones(len(ids), vocab, device=ids.device)
    for place in range(len(draft)):
        text = torch.cat([ids, draft[None, :place]], dim=-1) if place else ids
        after_rules = rules(text, scores)  # which may write into the text, and so into the draft
        score = after_rules[0, draft[place]]
        if score == float("-inf") or score == torch.finfo(score.dtype).min:
            return draft[:place]
    return draft


class DraftModel:
    """Drafts by a smaller model of the same vocabulary: its own loop, with a cache of its own.

    How many tokens it drafts, and when it is too unsure to go on, `generate` reads from the smaller
    model and nowhere else: `assistant_model.generation_config.num_assistant_tokens`,
    `num_assistant_tokens_schedule`, `assistant_confidence_threshold`.
    """

    def __init__(self, model, prompt: torch.Tensor, rules, generation_config):
        alone = ingredients(model, prompt.to(model.device), max_new_tokens=1)
        check_drafter(model, generation_config, cache_in(alone.model_kwargs))
        own = alone.generation_config  # the smaller model's settings, with the hidden defaults
        self.model = model
        self.tokens = own.num_assistant_tokens
        self.schedule = own.num_assistant_tokens_schedule
        own_length = MinLengthLogitsProcessor  # of the big model's text, not of a draft
        self.rules = [rule for rule in unchecked(rules) if not isinstance(rule, own_length)]
        self.min_length = generation_config.min_length or 0
        self.max_length = generation_config.max_length
        self.settings = copy.deepcopy(generation_config)  # it draws as the big model does
        self.settings.update(
            min_length=None,
            max_length=None,
            is_assistant=True,  # adds the criterion that stops an unsure draft
            assistant_confidence_threshold=own.assistant_confidence_threshold,
            return_dict_in_generate=True,  # that criterion looks at the scores
            output_scores=True,
            cache_implementation=None,
            compile_config=None,
        )
        self.cache = {}  # by the name that the model knows it by
        self.sureness, self.hits = [], []  # of the tokens drafted so far

    def propose(self, ids: torch.Tensor, mask, positions) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a draft made with `loop.decode`, the loop of greedy decoding and sampling."""
        length = ids.shape[1]
        most = min(int(self.tokens), self.max_length - length - 1)
        if most == 0:
            return ids.new_empty(0), None
        self._forget_rejected(length)
        self.settings.max_new_tokens = most
        self.settings.min_new_tokens = max(min(most, self.min_length - length), 0)
        made = ingredients(
            self.model,
            **_on(self.model.device, input_ids=ids, attention_mask=mask, position_ids=positions),
            **self.cache,
            generation_config=self.settings,
            logits_processor=self.rules,
        )
        drawn = self.settings.do_sample
        made = replace(made, logits_processor=checked(made.logits_processor, greedy=not drawn))
        steps = list(loop.decode(self.model, **made.for_the_loop()))
        self._keep_cache(made.model_kwargs)
        draft = torch.cat([step.chosen for step in steps]).to(ids.device)
        probs = torch.cat([step.scores for step in steps]).softmax(-1).to(ids.device)
        self.sureness += probs.gather(1, draft[:, None]).flatten().tolist()
        return draft, probs

    def learn(self, proposed: int, kept: int) -> None:
        """Draft more after a draft that was all of use, fewer after another, if so scheduled."""
        if self.schedule in ("heuristic", "heuristic_transient"):
            self.tokens = self.tokens + 2 if kept == proposed else max(1, self.tokens - 1)
        if self.schedule == "heuristic":  # the next call starts where this one ends
            self.model.generation_config.num_assistant_tokens = self.tokens
        self._learn_threshold(kept)

    def _forget_rejected(self, length: int) -> None:
        """Roll the cache back; as in `generate`, the two newest tokens are read again."""
        cache = cache_in(self.cache)
        surplus = cached_length(cache) - (length - 2)
        if cache is not None and surplus >= 0:
            cache.crop(-surplus)

    def _keep_cache(self, model_kwargs: dict) -> None:
        if not self.cache:
            check_rollback(self.model, cache_in(model_kwargs))
        self.cache = {name: model_kwargs[name] for name in CACHE_NAMES if name in model_kwargs}

    def _learn_threshold(self, kept: int) -> None:
        """Learn how sure is sure enough; `generate` does so where scikit-learn is installed."""
        if not (self.settings.assistant_confidence_threshold and is_sklearn_available()):
            return
        self.hits += [1] * kept
        if len(self.sureness) > len(self.hits):
            self.hits.append(0)  # the rejected token; those behind it say nothing
        del self.sureness[len(self.hits) :]
        if len(self.sureness) > 5 and len(set(self.hits)) == 2:
            from sklearn.metrics import roc_curve

            false_hits, hits, thresholds = roc_curve(self.hits, self.sureness)
            cost = false_hits + 3 * (1 - hits)  # a draft cut short costs more than a wrong token
            self.settings.assistant_confidence_threshold = thresholds[cost.argmin()]


class LibraryDraft:
    """Drafts of the library's own candidate generators, for what the course does not teach.

    An early exit of the model itself, heads that predict several tokens, a smaller model with
    another tokenizer, or one that is called in its own way. What is proposed comes from there; the
    verdict stays in `speculative.decode`. forward: the model as the loop calls it. Raises
    ValueError before 5.23, by name.
    """

    def __init__(self, forward, made: Ingredients):
        if LIBRARY < (5, 23):
            name = drafts_asked_for(made.generation_config, made.assistant_model)[0]
            raise ValueError(
                f"{name}= in this way is followed from transformers 5.23 on, with which it was "
                "compared; upgrade transformers, or leave it out."
            )
        self.forward, self.kept = forward, 0  # kept: how many of the last draft were of use
        self.generator = forward.model._get_candidate_generator(
            generation_config=made.generation_config,
            input_ids=made.input_ids,
            inputs_tensor=made.input_ids,
            logits_processor=LogitsProcessorList(unchecked(made.logits_processor)),
            model_kwargs=made.model_kwargs,
            assistant_model=made.assistant_model,
            target_tokenizer=made.tokenizer,
            assistant_tokenizer=made.assistant_tokenizer,
        )
        self.looks_on = getattr(self.generator, "requires_model_outputs", False)
        if self.looks_on:
            forward.more = self.generator.model_kwargs_overrides

    def propose(self, ids: torch.Tensor, mask, positions) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the library's draft, and what it was drawn from where the library says that."""
        seen = {}
        if self.looks_on:
            last = self.forward.output
            seen = {
                "model_kwargs": {"attention_mask": mask, "position_ids": positions},
                "model_outputs": last,
                "is_first_iteration": last is None,
                "n_last_matches": self.kept,
            }
        with _all_layers_after(self.forward.model):
            drafted, logits = self.generator.get_candidates(ids, **seen)
        probs = None if logits is None else logits[0].to(ids.device).softmax(-1)
        return drafted[0, ids.shape[1] :].to(ids.device), probs

    def learn(self, proposed: int, kept: int) -> None:
        """Let the library draw its conclusions, which are about the length of the next draft."""
        self.kept = kept
        verdict = torch.empty(1, proposed + 1, 0)  # of the scores it looks at their number alone
        self.generator.update_candidate_strategy(None, verdict, kept)
        if isinstance(self.generator, AssistedCandidateGenerator):
            settings = self.generator.assistant_model.generation_config
            if settings.num_assistant_tokens_schedule == "heuristic":  # for the next call
                settings.num_assistant_tokens = self.generator.num_assistant_tokens


@contextmanager
def _all_layers_after(model) -> Iterator[None]:
    """Leave a model with all its layers, also where the library's early exit fails on it."""
    config = getattr(model, model.base_model_prefix, model).config
    layers = getattr(config, "num_hidden_layers", None)
    try:
        yield
    finally:
        if layers is not None:
            config.num_hidden_layers = layers


def drafts_in_the_library(made: Ingredients) -> bool:
    """Tell whether a call's drafts are made by the library, not by one of the classes above."""
    config, assistant = made.generation_config, made.assistant_model
    if getattr(config, "assistant_early_exit", None) is not None:
        return True
    if config.prompt_lookup_num_tokens is not None:
        return False
    given = (made.model_kwargs.get(name) for name in ("inputs_embeds", "token_type_ids"))
    return (
        assistant is None
        or made.assistant_tokenizer is not None
        or any(value is not None for value in given)  # the smaller model reads them too
        or not is_fed_as_usual(assistant, config)
    )


def _on(device, **tensors) -> dict:
    """Return the tensors that there are, on `device`."""
    return {name: tensor.to(device) for name, tensor in tensors.items() if tensor is not None}
