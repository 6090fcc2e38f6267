"""Which tokens a model reads: with a BOS or not, and where an answer's tokens begin."""


def encode(tokenizer, text: str) -> list[int]:
    """Return a text's tokens with what the tokenizer always adds, such as a BOS, but never twice.

    A text that begins with the BOS, as a chat template's may, is taken as it is.
    """
    first = _first(tokenizer)
    begins = first is not None and text.startswith(tokenizer.decode(first))
    return tokenizer.encode(text, **({"add_special_tokens": False} if begins else {}))


def token_ids(tokenizer, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """Return the tokens of a context and of what follows it, as lm-evaluation-harness cuts them.

    Both are encoded as one text, of which the tokens beyond the context's count are the
    continuation's; white space at the context's end goes to the continuation first, for most
    vocabularies have tokens that begin with a space. After no context comes the
    continuation alone, behind the BOS, or the EOS where there is none.
    Source: EleutherAI/lm-evaluation-harness 0.4.13, `_encode_pair` and `loglikelihood`.
    """
    if not context:
        first = _first(tokenizer)
        ids = tokenizer.encode(continuation, add_special_tokens=False)
        return ([first], ids) if first is not None and ids[:1] != [first] else (ids[:1], ids[1:])
    kept = context.rstrip()
    continuation, context = context[len(kept) :] + continuation, kept
    before = encode(tokenizer, context)
    return before, encode(tokenizer, context + continuation)[len(before) :]


def _first(tokenizer) -> int | None:
    """Return the BOS, the EOS where there is none, or None."""
    known = tokenizer.bos_token_id, tokenizer.eos_token_id
    return next((one for one in known if one is not None), None)
