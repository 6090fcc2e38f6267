"""One text, greedily, token by token: what every decode step written by hand is wrapped in."""

from collections.abc import Iterator


class Greedy:
    """Greedy decoding of one text with a step that reads one token and names the next.

    A subclass says what `step(token, position) -> token` does; it has keys and values of its own,
    which a new text overwrites from position 0.
    """

    max_length: int  # the most tokens, those of the prompt included
    vocabulary: int
    bytes_per_token: int  # of the weights that one step reads

    def step(self, token: int, position: int) -> int:
        """Read a token at its position and return the likeliest next one."""
        raise NotImplementedError

    def generate(self, prompt_ids: list[int], max_new_tokens: int) -> list[int]:
        """Return so many new tokens; an end-of-text token is one of them and stops nothing.

        Raises what `stream` raises.
        """
        return list(self.stream(prompt_ids, max_new_tokens))

    def stream(self, prompt_ids: list[int], max_new_tokens: int) -> Iterator[int]:
        """Yield the new tokens as they come. The prompt is read token by token, by the same step.

        Raises ValueError for an empty prompt, a token that the vocabulary does not have, and more
        tokens than `max_length`.
        """
        self._check(prompt_ids, max_new_tokens)
        for position, number in enumerate(prompt_ids):
            token = self.step(number, position)
        yield token
        for position in range(len(prompt_ids), len(prompt_ids) + max_new_tokens - 1):
            token = self.step(token, position)
            yield token

    def _check(self, prompt_ids: list[int], max_new_tokens: int) -> None:
        asked = len(prompt_ids) + max_new_tokens
        if not prompt_ids:
            raise ValueError("prompt_ids is empty; give at least one token, such as BOS.")
        if unknown := [number for number in prompt_ids if not 0 <= number < self.vocabulary]:
            raise ValueError(
                f"prompt_ids has {unknown[0]}; ids are from 0 to {self.vocabulary - 1}."
            )
        if max_new_tokens < 1 or asked > self.max_length:
            raise ValueError(
                f"{len(prompt_ids)} prompt tokens and max_new_tokens={max_new_tokens} must be at "
                f"least 1 new token and together at most max_length={self.max_length}."
            )
