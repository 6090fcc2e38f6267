"""How many bytes a step has to read, and so how fast the machine could decode at best.

To make one token for each row the model reads all of its weights and each row's cache. Where the
processor waits for memory, as with few rows, tokens a second are at most bandwidth / bytes.
"""

from dataclasses import dataclass

from torch import nn

from llmcourse.measure.cache_size import cache_bytes
from llmcourse.measure.memory import weight_bytes
from llmcourse.show import amount


@dataclass(frozen=True)
class Reads:
    """The bytes that one step of decoding reads."""

    weights: int  # once for all rows; of experts those that are chosen
    cache: int  # of all rows
    rows: int  # of the batch
    tokens: float = 1.0  # new ones of a row in a step; more than 1 where drafts are right
    all_experts: bool = False  # True: all are counted, for nobody says how many a token reads

    @property
    def per_token(self) -> float:
        """Bytes for each new token."""
        return (self.weights + self.cache) / (self.rows * self.tokens)

    def limit(self, gb_per_second: float) -> float:
        """Return the most tokens a second, of all rows, at so many GB a second."""
        return gb_per_second * 1e9 / self.per_token

    def __repr__(self) -> str:
        rows = f" for {self.rows} rows" if self.rows > 1 else ""
        experts = ", all experts counted" if self.all_experts else ""
        return (
            f"Reads: weights {amount(self.weights)}, cache {amount(self.cache)}{rows}: "
            f"{amount(self.per_token)} a token{experts}"
        )


def reads(
    model, length: int, rows: int = 1, *, cache: int | None = None, tokens: float = 1.0
) -> Reads:
    """Return what a step reads when each row has `length` tokens.

    cache: bytes of all rows, where it is another than a dynamic one; by default what `cache_bytes`
    reckons. tokens: new ones of a row in a step, more than 1 where drafts are right. Of an input
    table that is not the output's too a step reads a row for each token, which is not counted. Of a
    mixture of experts those count that a token is sent to: the config's `num_experts_per_tok`, with
    several rows as many different ones as even draws give. Raises ValueError where `cache_bytes`
    does.
    """
    if cache is None:
        cache = cache_bytes(model.config, length, rows=rows, dtype=model.dtype)
    idle = _idle_experts(model, rows * tokens)
    weights = weight_bytes(model) - _input_table(model) - (idle or 0)
    return Reads(weights, cache, rows, tokens, all_experts=idle is None)


def _input_table(model) -> int:
    """Return the bytes of the input embeddings, 0 where the last layer reads them all."""
    table, last = model.get_input_embeddings(), model.get_output_embeddings()
    if not isinstance(table, nn.Embedding) or last is None:
        return 0
    return 0 if last.weight.data_ptr() == table.weight.data_ptr() else table.weight.nbytes


def _idle_experts(model, tokens: float) -> int | None:
    """Return the bytes of experts to which none of so many tokens is sent; None if not known."""
    chosen = getattr(model.config.get_text_config(), "num_experts_per_tok", None)
    idle = 0.0
    for layer in model.modules():
        count = getattr(layer, "num_experts", None)
        if not type(layer).__name__.endswith("Experts") or not isinstance(count, int):
            continue
        if not isinstance(chosen, int):
            return None
        missed = max(0.0, 1 - chosen / count) ** tokens  # the share that no draw hits
        own = layer.parameters(recurse=False)
        idle += missed * sum(weight.nbytes for weight in own if len(weight) == count)
    return round(idle)


def fraction_of_limit(tokens_per_second: float, read: Reads, gb_per_second: float) -> float:
    """Return which share of the machine's limit was reached; all rows' tokens a second."""
    return tokens_per_second / read.limit(gb_per_second)
