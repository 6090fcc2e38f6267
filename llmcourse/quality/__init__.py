"""How often a model is right: items, their scores, and how far a score can be trusted.

    >>> from llmcourse import quality
    >>> items = quality.read_items(kinds=["facts", "arithmetic"])
    >>> answered = quality.score(model, tokenizer, items)
    >>> quality.proportion(sum(one.right() for one in answered), len(answered))

A question with choices is answered by the choice that the model finds likeliest, a task without by
what it writes. Two models are compared on the same items, in pairs: `paired`.
"""

from llmcourse.quality.answers import BY, Answered, by_kind, choose, score, write
from llmcourse.quality.intervals import Paired, Proportion, paired, proportion
from llmcourse.quality.items import KINDS, Item, digest, read_items
from llmcourse.quality.likelihood import Likelihood, log_likelihoods
from llmcourse.quality.written import extract_number, is_right

__all__ = [
    "BY",
    "KINDS",
    "Answered",
    "Item",
    "Likelihood",
    "Paired",
    "Proportion",
    "by_kind",
    "choose",
    "digest",
    "extract_number",
    "is_right",
    "log_likelihoods",
    "paired",
    "proportion",
    "read_items",
    "score",
    "write",
]
