"""Text that arrives in pieces is the text: no space, no half character lost or doubled."""

from threading import Thread

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TextIteratorStreamer, TextStreamer

import llmcourse
from tests.support.families import tiny
from tests.support.toy_tokenizers import sentencepiece_like, wordpiece_like

TEXTS = {
    "english": "Hello there, how are you?  Two spaces.\n\nA new line. ",
    "chinese": "今天天气很好,我们去公园。",
    "emoji": "☀️ 🌧️ 👩‍👩‍👧 🏳️‍🌈 end",
    "accents": "Où êtes-vous allé l'été dernier ?",
    "arabic": "مرحبا بالعالم",
    "leading_spaces": "   indented\n    more\n\ttab",
    "code": "def f(x):\n    return  x ** 2  # square",
    "rare_letters": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \u200bzero width",
    "empty": "",
}
# Pieces of a small SentencePiece-like vocabulary; all else is spelled in bytes.
PIECES = [
    "▁",
    "▁Hello",
    "▁there",
    ",",
    "▁how",
    "▁are",
    "▁you",
    "?",
    "e",
    "o",
    "天",
    "今",
    "好",
    "x",
]


@pytest.fixture(scope="module")
def tokenizers(course_model):
    return {
        "byte level": course_model[1],
        "sentencepiece": sentencepiece_like(PIECES),
        "wordpiece": wordpiece_like(),
    }


def whole(tokenizer, ids) -> str:
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    return tokenizer.decode(ids, **options)


def no_bytes(tokenizer, text: str) -> bool:
    return "<0x" not in text


@pytest.mark.parametrize("kind", ["byte level", "sentencepiece", "wordpiece"])
@pytest.mark.parametrize("name", TEXTS)
def test_the_pieces_joined_are_the_whole(tokenizers, kind, name):
    tokenizer = tokenizers[kind]
    ids = tokenizer(TEXTS[name]).input_ids
    pieces = list(llmcourse.stream_text(tokenizer, ids))
    assert "".join(pieces) == whole(tokenizer, ids)
    assert all(pieces), "no empty piece"
    if kind != "wordpiece":
        assert "".join(pieces) == TEXTS[name], "these two vocabularies can spell everything"


@pytest.mark.parametrize("kind", ["byte level", "sentencepiece", "wordpiece"])
@settings(max_examples=300, deadline=None, derandomize=True)
@given(numbers=st.lists(st.integers(0, 10**6), max_size=40))
def test_any_tokens_in_any_order_joined_are_the_whole(tokenizers, kind, numbers):
    """A model may say anything: half characters, bytes that are no character, special tokens."""
    tokenizer = tokenizers[kind]
    vocab = min(len(tokenizer), 1200)  # bytes and short pieces come first
    ids = [number % vocab for number in numbers]
    assert "".join(llmcourse.stream_text(tokenizer, ids)) == whole(tokenizer, ids)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=st.text(max_size=30))
def test_any_text_comes_through(tokenizers, text):
    for kind in ("byte level", "sentencepiece"):
        ids = tokenizers[kind](text).input_ids
        pieces = "".join(llmcourse.stream_text(tokenizers[kind], ids))
        assert pieces == whole(tokenizers[kind], ids)


def test_decoding_token_by_token_is_not_the_whole(tokenizers):
    """If it were, the tests above would prove nothing."""
    for kind, name in (("byte level", "emoji"), ("sentencepiece", "english")):
        ids = tokenizers[kind](TEXTS[name]).input_ids
        one_by_one = "".join(whole(tokenizers[kind], [token]) for token in ids)
        assert one_by_one != whole(tokenizers[kind], ids)


def test_no_piece_ends_in_half_a_character(tokenizers):
    for name in ("chinese", "emoji", "arabic"):
        ids = tokenizers["byte level"](TEXTS[name]).input_ids
        pieces = list(llmcourse.stream_text(tokenizers["byte level"], ids))
        assert not any("\ufffd" in piece for piece in pieces)
        assert len(pieces) > 3, "it comes in pieces all the same"


def test_half_a_character_at_the_end_is_not_swallowed(tokenizers):
    tokenizer = tokenizers["byte level"]
    ids = tokenizer("A 🤗").input_ids[:-1]
    pieces = list(llmcourse.stream_text(tokenizer, ids))
    assert "".join(pieces) == whole(tokenizer, ids)
    assert "\ufffd" in pieces[-1]


def test_a_special_token_that_is_left_out_does_not_break_a_run_of_bytes(tokenizers):
    """Found by drawing tokens: the bytes on its two sides are decoded together."""
    tokenizer = tokenizers["sentencepiece"]
    for ids in ([3, 0, 131], [3, 2, 131, 0], [0, 131, 2, 3]):
        assert "".join(llmcourse.stream_text(tokenizer, ids)) == whole(tokenizer, ids)


def test_special_tokens_are_left_out_or_kept_as_asked(tokenizers):
    tokenizer = tokenizers["byte level"]
    ids = [*tokenizer("Hi there").input_ids, tokenizer.eos_token_id]
    assert "".join(llmcourse.stream_text(tokenizer, ids)) == "Hi there"
    kept = llmcourse.stream_text(tokenizer, ids, skip_special_tokens=False)
    assert "".join(kept) == "Hi there" + tokenizer.eos_token


def test_a_piece_comes_before_the_next_step_is_made(course_model):
    model, tokenizer = course_model
    made = []

    def watched():
        for step in llmcourse.steps(model, **inputs, max_new_tokens=6):
            made.append(step)
            yield step

    inputs = tokenizer("A list of colors: red, blue", return_tensors="pt")
    seen = [len(made) for _ in llmcourse.stream_text(tokenizer, watched())]
    assert seen == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("prompt", ["今天天气", "Weather: ☀️ 🌧️", "def f(x):\n   "])
def test_what_the_course_model_says_comes_through(course_model, prompt):
    model, tokenizer = course_model
    inputs = tokenizer(prompt, return_tensors="pt")
    call = {**inputs, "max_new_tokens": 20, "do_sample": True, "temperature": 1.5}
    torch.manual_seed(1)
    pieces = list(llmcourse.stream_text(tokenizer, llmcourse.steps(model, **call)))
    torch.manual_seed(1)
    ids = model.generate(**call)[0, inputs["input_ids"].shape[1] :]
    assert "".join(pieces) == whole(tokenizer, ids)


def test_several_texts_at_once_are_refused(course_model):
    model, tokenizer = course_model
    ids = torch.tensor([[7, 8, 9], [10, 11, 12]])
    for call in ({"input_ids": ids}, {"input_ids": ids[:1], "num_beams": 2}):
        walk = llmcourse.steps(model, **call, max_new_tokens=2)
        with pytest.raises(ValueError, match="pass one prompt, without num_beams"):
            list(llmcourse.stream_text(tokenizer, walk))


# The library's own streamers, driven by the loop.


def printed(run, capsys) -> str:
    run()
    return capsys.readouterr().out


def test_the_librarys_text_streamer_prints_the_same_in_the_same_pieces(course_model, capsys):
    model, tokenizer = course_model
    call = dict(tokenizer("A list of colors: red, blue", return_tensors="pt"), max_new_tokens=12)

    class Recorded(TextStreamer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.heard = []

        def on_finalized_text(self, text, stream_end=False):
            self.heard.append((text, stream_end))
            super().on_finalized_text(text, stream_end)

    heard, texts = [], []
    for run in (
        lambda streamer: model.generate(**call, streamer=streamer),
        lambda streamer: llmcourse.generate(model, **call, streamer=streamer),
        lambda streamer: list(llmcourse.steps(model, **call, streamer=streamer)),
        lambda streamer: model.generate(
            **call, streamer=streamer, custom_generate=glass_box_with(streamer)
        ),
    ):
        streamer = Recorded(tokenizer)
        texts.append(printed(lambda run=run, streamer=streamer: run(streamer), capsys))
        heard.append(streamer.heard)
    assert len(heard[0]) > 5 and heard[0][-1][1]
    assert all(calls == heard[0] for calls in heard)
    assert all(text == texts[0] for text in texts) and "green" in texts[0]


def glass_box_with(streamer):
    """`generate` gives the streamer the prompt; the function that it calls gives it the rest."""
    from functools import partial

    return partial(llmcourse.glass_box, streamer=streamer)


def test_the_librarys_iterator_streamer_hears_the_loop_in_another_thread(course_model):
    model, tokenizer = course_model
    call = dict(tokenizer("1, 2, 3", return_tensors="pt"), max_new_tokens=8)
    texts = []
    for generate in (model.generate, lambda **kwargs: llmcourse.generate(model, **kwargs)):
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)
        thread = Thread(target=generate, kwargs={**call, "streamer": streamer})
        thread.start()
        texts.append(list(streamer))
        thread.join()
    assert texts[0] == texts[1] and "".join(texts[0]).startswith(", 4")


def test_a_streamer_that_fails_is_not_hidden():
    class Broken:
        def put(self, ids):
            raise OSError("the line is dead")

        def end(self):
            pass

    with pytest.raises(OSError, match="the line is dead"):
        llmcourse.generate(
            tiny("llama"), input_ids=torch.tensor([[7]]), max_new_tokens=2, streamer=Broken()
        )
