"""Tokenizers made by hand, of a kind each, for the toy models: nothing to download.

One that has a token for each byte and a chat template is `letters` in `chat_templates.py`.
"""

from functools import cache

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.support.families import VOCAB


def numbered(letter: str = "w", **special: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer with a word for each id of the tiny models: `w7` is token 7.

    special: `pad_token="w0"` ...; the unknown token is `w0` where none is given.
    """
    special = {"unk_token": f"{letter}0", **special}
    vocabulary = {f"{letter}{number}": number for number in range(VOCAB)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk_token"]))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def of_texts(texts: list[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose tokens are `<unk>` and then `texts`; it splits at line breaks.

    Rust holds no surrogates: each becomes a question mark. A text that comes twice is one token.
    """
    known = [text.encode(errors="replace").decode() for text in texts]
    names = {text: number for number, text in enumerate(dict.fromkeys(["<unk>", *known]))}
    backend = Tokenizer(models.WordLevel(names, unk_token="<unk>"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Split("\n", "removed"), decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", pad_token="<unk>")


def three_colours(**special: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of five words, split at spaces; special: `eos_token="</s>"` ..."""
    words = {word: id for id, word in enumerate(["<unk>", "</s>", "red", "blue", "green"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), behavior="removed")
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", **special)


@cache
def letter_pairs() -> PreTrainedTokenizerFast:
    """Return a tokenizer of a, b ... j, aa, ab ..., for `stop_strings`."""
    letters = "abcdefghij"
    return letters_and([*letters, *(one + other for one in letters for other in letters)][:VOCAB])


def letters_and(words: list[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer of these words; it splits a text into letters."""
    vocabulary = {word: id for id, word in enumerate(words)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def sentencepiece_like(pieces: list[str]) -> PreTrainedTokenizerFast:
    """Return one as Llama 2's: `▁` for spaces, `<0xE4>` for bytes, one space less at the start."""
    vocab = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    scored = [(piece, -1.0 - 0.01 * place) for place, piece in enumerate(vocab)]
    backend = Tokenizer(models.Unigram(scored, unk_id=0, byte_fallback=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    strip = decoders.Strip(content=" ", left=1, right=0)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip]
    backend.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")


def wordpiece_like() -> PreTrainedTokenizerFast:
    """Return one as BERT's: `##` for the rest of a word, spaces put back between words."""
    letters = [chr(code) for code in range(33, 127)]
    vocab = ["[UNK]", "[SEP]", *letters, *(f"##{letter}" for letter in letters), "Hello", "##llo"]
    vocabulary = {piece: at for at, piece in enumerate(vocab)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="[SEP]", unk_token="[UNK]")


def learned(text: str, size: int) -> PreTrainedTokenizerFast:
    """Return one as GPT-2's, of `size` tokens, learned from `text`; it has no padding token."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator([text], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")
