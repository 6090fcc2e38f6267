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

    weights: int  # once for all rows
    cache: int  # of all rows
    rows: int

    @property
    def per_token(self) -> float:
        """Bytes for each new token."""
        return (self.weights + self.cache) / self.rows

    def limit(self, gb_per_second: float) -> float:
        """Return the most tokens a second, of all rows, at so many GB a second."""
        return gb_per_second * 1e9 / self.per_token

    def __repr__(self) -> str:
        rows = f" for {self.rows} rows" if self.rows > 1 else ""
        return (
            f"Reads: weights {amount(self.weights)}, cache {amount(self.cache)}{rows}: "
            f"{amount(self.per_token)} a token"
        )


def reads(model, length: int, rows: int = 1) -> Reads:
    """Return what a step reads when each row has `length` tokens.

    Of an input table that is not the output's too a step reads a row for each token, which is not
    counted. A mixture of experts reads fewer weights than it has: for one it is an upper bound.
    Raises ValueError where `cache_bytes` does.
    """
    cache = cache_bytes(model.config, length, rows=rows, dtype=model.dtype)
    return Reads(weight_bytes(model) - _input_table(model), cache, rows)


def _input_table(model) -> int:
    """Return the bytes of the input embeddings, 0 where the last layer reads them all."""
    table, last = model.get_input_embeddings(), model.get_output_embeddings()
    if not isinstance(table, nn.Embedding) or last is None:
        return 0
    return 0 if last.weight.data_ptr() == table.weight.data_ptr() else table.weight.nbytes


def fraction_of_limit(tokens_per_second: float, read: Reads, gb_per_second: float) -> float:
    """Return which share of the machine's limit was reached; all rows' tokens a second."""
    return tokens_per_second / read.limit(gb_per_second)
