"""The chat gives the tokens of the loop, stops when it is told to, and shows an error in words."""

import json
import threading

import pytest
import torch

import llmcourse
from llmcourse import views
from tests.support.controls import CORE, controls
from tests.support.families import PAD, build, tiny
from tests.support.pages import INERT, NASTY, tags
from tests.support.toy_chats import add, call_of, chatting, has_written

CALL = {"max_new_tokens": 10, "eos_token_id": None, "pad_token_id": PAD, "do_sample": False}
TEMPLATE = "{% for m in messages %}w1 {{ m['content'] }} {% endfor %}w2"


class Held:
    """A model whose forward passes wait, from the third on, until they are let through."""

    def __init__(self, model):
        self.passes, self.reached, self.open = 0, threading.Event(), threading.Event()
        self.model = model
        model.register_forward_pre_hook(self.wait)

    def wait(self, *_):
        self.passes += 1
        if self.passes == 3:
            self.reached.set()
            assert self.open.wait(30), "the test has not let the third pass through"


@pytest.fixture
def spaced(words):
    """The tokenizer of `words`, whose texts are words with spaces between, with a template."""
    from tokenizers import pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = words.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="w0")
    made.chat_template = TEMPLATE
    return made


def finish(made) -> None:
    made.writer.join(30)
    assert not made.writing


def press_send(made, text: str) -> None:
    made.message.value = text
    made.send.click()


def test_an_answer_has_the_tokens_of_the_loop_and_is_counted(spaced):
    made = views.conversation(tiny("llama"), spaced, **CALL)
    assert made.used == 0 and "Nothing said yet" in repr(made)
    answer = made.say("w7 w8")
    ids = torch.tensor([[1, 7, 8, 2]])
    new = llmcourse.generate(tiny("llama"), input_ids=ids, **CALL)[0, 4:]
    assert answer == spaced.decode(new, skip_special_tokens=True)
    assert made.used == 4 + 10 and f"context used: 14 of {made.limit} tokens" in made.page.value
    assert made.messages == [
        {"role": "user", "content": "w7 w8"},
        {"role": "assistant", "content": answer},
    ]
    assert made.turns[1].end == "cut off: length" and "(cut off: length)" in repr(made)


def test_the_next_question_sends_all_that_was_said(spaced):
    made = views.conversation(tiny("llama"), spaced, [{"role": "system", "content": "w9"}], **CALL)
    before = made.used
    made.say("w7")
    made.say("w8")
    ids = spaced.apply_chat_template(made.messages[:-1], return_dict=True)["input_ids"]
    assert before == 3 and made.used == len(ids) + 10


def test_a_template_that_wants_a_question_first_can_be_opened_with_a_system_message(spaced):
    wants = "{% if messages[-1].role != 'user' %}{{ raise_exception('Ask!') }}{% endif %}"
    spaced.chat_template = wants + TEMPLATE
    made = views.conversation(tiny("llama"), spaced, [{"role": "system", "content": "w9"}], **CALL)
    assert made.used == 0 and made.turns[0].content == "w9"
    made.say("w7")
    assert made.used == 5 + 10


def test_an_answer_that_the_model_ends_has_no_mark(spaced):
    made = views.conversation(tiny("llama"), spaced, **{**CALL, "eos_token_id": list(range(97))})
    made.say("w7")
    assert made.turns[1].end == "" and made.used == 3 + 1


def test_send_writes_in_a_thread_and_stop_ends_it(spaced):
    held = Held(build("llama"))
    made = views.conversation(held.model, spaced, **CALL)
    press_send(made, "w7")
    assert held.reached.wait(30) and made.writing and made.message.value == ""
    press_send(made, "w8")  # it is refused, and nothing is lost
    assert "An answer is being written" in made.page.value and made.message.value == "w8"
    with pytest.raises(ValueError, match="An answer is being written"):
        made.say("w8")
    made.stop.click()
    held.open.set()
    finish(made)
    assert held.passes == 3 and made.turns[1].end == "stopped" and len(made.turns) == 2
    assert "(stopped)" in made.page.value
    made.stop.click()
    assert "Nothing is being written." in made.page.value
    press_send(made, "w8")  # the brake is off again
    finish(made)
    assert made.turns[3].end == "cut off: length"


def test_start_over_stops_the_writing_and_keeps_what_the_conversation_opened_with(spaced):
    held = Held(build("llama"))
    made = views.conversation(held.model, spaced, [{"role": "system", "content": "w9"}], **CALL)
    press_send(made, "w7")
    assert held.reached.wait(30)
    threading.Timer(0.2, held.open.set).start()
    made.start_over.click()
    assert not made.writing and [turn.role for turn in made.turns] == ["system"] and made.used == 3
    assert "A new conversation." in made.page.value


@pytest.mark.parametrize("blank", ["", "  \n"])
def test_a_blank_message_is_not_sent(blank, spaced):
    made = views.conversation(tiny("llama"), spaced, **CALL)
    press_send(made, blank)
    assert "There is no message to send" in made.page.value and made.turns == []
    with pytest.raises(ValueError, match="no message"):
        made.say(blank)


def test_an_answer_never_runs_beyond_the_context(spaced):
    made = views.conversation(tiny("llama"), spaced, **{**CALL, "max_new_tokens": 500})
    made.say(" ".join(["w7"] * 120))
    assert made.used == made.limit == 128
    press_send(made, "w8")
    finish(made)
    assert "there is no room for an answer; start over." in made.page.value
    assert len(made.turns) == 2 and made.message.value == "w8" and not made.writing
    made.start_over.click()
    assert made.say("w8")


def test_an_error_is_told_in_words_and_takes_the_question_back(spaced):
    made = views.conversation(
        tiny("llama"), spaced, **{**CALL, "do_sample": True, "temperature": -1.0}
    )
    press_send(made, "w7")
    finish(made)
    assert "That did not work. ValueError" in made.page.value
    assert made.turns == [] and made.message.value == "w7" and made.used == 0
    beams = views.conversation(tiny("llama"), spaced, **CALL, num_beams=2)
    with pytest.raises(ValueError, match="Only one text can be streamed"):
        beams.say("w7")
    assert beams.turns == []


def test_what_was_written_before_an_error_stays_and_is_marked(spaced):
    model, passes = build("llama"), []

    def fail(*_):
        passes.append(1)
        if len(passes) == 4:
            raise RuntimeError("the plug was pulled")

    model.register_forward_pre_hook(fail)
    made = views.conversation(model, spaced, **CALL)
    press_send(made, "w7")
    finish(made)
    assert "the plug was pulled" in made.page.value
    assert made.turns[1].content and "broken off: RuntimeError" in made.turns[1].end


def test_a_tokenizer_without_a_template_reads_the_bare_texts_and_says_so(spaced):
    spaced.chat_template = None
    made = views.conversation(tiny("llama"), spaced, **CALL)
    answer = made.say("w7 w8")
    new = llmcourse.generate(tiny("llama"), input_ids=torch.tensor([[7, 8]]), **CALL)[0, 2:]
    assert answer == spaced.decode(new, skip_special_tokens=True)
    assert "no chat template" in made.page.value and "no chat template" in repr(made)


def test_every_control_has_a_name_and_is_a_core_control(spaced):
    made = views.conversation(tiny("llama"), spaced, **CALL)
    names = [control.description for control in controls(made)]
    assert names == ["Your message", "Send", "Stop", "Regenerate", "Start over"]
    assert {type(control).__name__ for control in controls(made)} <= CORE | {"Text"}
    assert "chat" in repr(made.box) and made.box.children[-1] is made.page


def test_what_it_displays_has_a_form_without_a_kernel(spaced, monkeypatch):
    shown = []
    monkeypatch.setattr("llmcourse.views._live.display", lambda one, **_: shown.append(one))
    made = views.conversation(tiny("llama"), spaced, **CALL)
    made.say("w7")
    made._ipython_display_()
    box, still = shown
    assert box is made.box and still["text/plain"] == repr(made)
    assert "the conversation as it was" in still["text/html"] and "w7" in still["text/html"]


# Enter: the page says that it was pressed, then what the text is, if that is not known yet.


def press_enter(made, text: str | None = None):
    """Press Enter; returns what waits for a text."""
    made.message._handle_custom_msg({"event": "submit"}, [])
    waiting = made._entered
    if text is not None:
        made.message.value = text
    return waiting


def test_enter_sends_what_was_typed(spaced):
    made = views.conversation(tiny("llama"), spaced, **CALL)
    press_enter(made, "w7")
    finish(made)
    assert made.messages[0]["content"] == "w7" and made.message.value == ""
    press_enter(made, "w7")  # the same once more
    finish(made)
    assert len(made.messages) == 4


def test_enter_sends_a_text_that_was_left_and_come_back_to(spaced):
    made = views.conversation(tiny("llama"), spaced, **CALL)
    made.message.value = "w7"
    press_enter(made).join(30)
    finish(made)
    assert made.messages[0]["content"] == "w7"


def test_a_text_that_is_left_without_enter_is_not_sent(spaced):
    made = views.conversation(tiny("llama"), spaced, **CALL)
    made.message.value = "w7"
    assert made.writer is None and made.messages == []
    made.message.value = ""
    press_enter(made).join(30)  # in an empty box
    assert "There is no message to send" in made.page.value
    made.message.value = "w8"
    assert made.writer is None and made.messages == []


# Regenerate


def test_regenerate_draws_another_answer_in_place_of_the_last(spaced):
    made = views.conversation(tiny("llama"), spaced, **{**CALL, "do_sample": True})
    first = made.say("w7")
    made.regenerate.click()
    finish(made)
    assert [one["role"] for one in made.messages] == ["user", "assistant"]
    assert made.messages[1]["content"] != first and "Greedy" not in made.page.value
    assert made.turns[1].end == "cut off: length"


def test_regenerate_says_that_greedy_decoding_has_one_answer(spaced):
    made = views.conversation(tiny("llama"), spaced, **CALL)
    made.regenerate.click()
    assert "There is no answer yet" in made.page.value and made.writer is None
    first = made.say("w7")
    made.regenerate.click()
    finish(made)
    assert made.messages[1]["content"] == first and "Greedy decoding gives one" in made.page.value


# What is shown of the cache, of thinking, and of tools


def test_from_the_second_answer_on_it_says_what_came_from_the_cache(spaced):
    made = views.conversation(tiny("llama"), spaced, **CALL)
    made.say("w7 w8")
    assert "cache" not in made.page.value and "cache" not in repr(made)
    made.say("w9")
    last = made.talk.last
    said = f"{last.prompt} tokens: {last.reused} from the cache, {last.prompt - last.reused} read."
    assert last.reused > 0 and f"The last prompt had {said}" in made.page.value
    assert repr(made).splitlines()[1] == f"The last prompt had {said}"


def test_thinking_is_folded_and_has_a_role_of_its_own():
    model, tokenizer = chatting()
    has_written(model, tokenizer, "<think>\nWell, well.\n</think>\n\nYes.")
    made = views.conversation(model, tokenizer)
    assert made.say("Is it?") == "Yes."
    assert [(turn.role, turn.content) for turn in made.turns] == [
        ("user", "Is it?"),
        ("assistant, thinking", "Well, well."),
        ("assistant", "Yes."),
    ]
    assert "<details><summary>2 words</summary><div>Well, well.</div></details>" in made.page.value
    assert repr(made).startswith("2 messages;") and "\nassistant, thinking: Well," in repr(made)


def test_calls_and_results_have_rows_and_roles_of_their_own():
    model, tokenizer = chatting()
    has_written(model, tokenizer, call_of("add", '{"a": 17, "b": 25}'), "It is 42.")
    made = views.conversation(model, tokenizer, tools=[add], max_new_tokens=100)
    assert made.say("17 plus 25?") == "It is 42."
    assert [(turn.role, turn.content) for turn in made.turns[1:]] == [
        ("assistant, calls", "add(a=17, b=25)"),
        ("tool add", "42"),
        ("assistant", "It is 42."),
    ]
    for shown in ("assistant, calls", "add(a=17, b=25)", "tool add", "42"):
        assert f">{shown}<" in made.page.value and shown in repr(made)


def test_a_model_that_only_calls_ends_with_a_result_that_says_so():
    model, tokenizer = chatting()
    has_written(model, tokenizer, *[call_of("add", '{"a": 1, "b": 2}')] * 3)
    made = views.conversation(model, tokenizer, tools=[add], rounds=1, max_new_tokens=100)
    made.say("?")
    assert made.turns[-1].role == "tool add" and made.turns[-1].end == "cut off: too many calls"


def test_a_tool_that_breaks_off_is_told_and_does_not_leave_the_page_writing():
    def break_off() -> str:
        """Break off."""
        raise KeyboardInterrupt("enough")

    model, tokenizer = chatting()
    has_written(model, tokenizer, *[call_of("break_off", "{}")] * 2)
    made = views.conversation(model, tokenizer, tools=[break_off], max_new_tokens=100)
    press_send(made, "?")
    finish(made)
    assert "That did not work. KeyboardInterrupt" in made.page.value
    assert made.turns[-1].content == "break_off gave no result: broken off."
    with pytest.raises(KeyboardInterrupt):
        made.say("?")
    assert "Writing" not in made.page.value


def test_who_talks_beside_the_writer_is_refused(spaced):
    held = Held(build("llama"))
    made = views.conversation(held.model, spaced, **CALL)
    writer = threading.Thread(target=made.say, args=("w7",))
    writer.start()
    assert held.reached.wait(30)
    for ask in (made.say, made.talk.say):
        with pytest.raises(ValueError, match="An answer is being written"):
            ask("w8")
    made.start_over.click()
    assert "An answer is being written" in made.page.value
    held.open.set()
    writer.join(30)
    assert len(made.turns) == 2 and made.turns[0].content == "w7"


def test_why_an_answer_ended_goes_with_it_when_it_is_regenerated():
    model, tokenizer = chatting()
    hook = has_written(model, tokenizer, "x" * 100)
    made = views.conversation(model, tokenizer, tools=[add], max_new_tokens=100)
    made.say("?")
    assert made.turns[1].end == "cut off: length"
    hook.remove()
    has_written(model, tokenizer, call_of("add", '{"a": 1, "b": 2}'), "Three.")
    made.regenerate.click()
    finish(made)
    assert [turn.end for turn in made.turns] == ["", "", "", ""]


def test_an_answer_that_is_stopped_before_it_says_anything_is_taken_back():
    model, tokenizer = chatting()
    has_written(model, tokenizer, "<s>Never said.")  # a special token is no text
    held = Held(model)
    held.passes = 2  # the first one is held
    made = views.conversation(model, tokenizer)
    press_send(made, "Hi")
    assert held.reached.wait(30) and made.messages[0]["content"] == "Hi"
    made.stop.click()
    held.open.set()
    finish(made)
    assert made.turns == [] and made.message.value == "Hi"
    assert "Stopped before anything was said." in made.page.value


@pytest.mark.parametrize("text", NASTY)
def test_whatever_a_model_thinks_or_a_tool_returns_is_shown_inert(text):
    def look(where: str) -> str:
        """Look.

        Args:
            where: Where.
        """
        return text

    text = text[:200].encode(errors="replace").decode()
    model, tokenizer = chatting(max_position_embeddings=8192)
    call = call_of("look", json.dumps({"where": text}))
    nameless = call_of("none", "{}").replace("none", json.dumps(text)[1:-1])
    has_written(model, tokenizer, f"<think>{text}</think>{text}{call}{nameless}", "Seen.")
    made = views.conversation(model, tokenizer, tools=[look], max_new_tokens=4000)
    made.say("Look!")
    assert len(made.messages) == 5
    for page in (made.page.value, made._repr_html_()):
        assert tags(page) <= INERT and "$" not in page
    assert all(line.isprintable() for line in repr(made).splitlines())


@pytest.mark.parametrize("text", NASTY)
def test_whatever_is_said_is_shown_inert(text, spaced):
    text = text.encode(errors="replace").decode()
    made = views.conversation(tiny("llama"), spaced, [{"role": text, "content": text}], **CALL)
    made.say(f"x{text}")
    for page in (made.page.value, made._repr_html_()):
        assert tags(page) <= INERT and "$" not in page
    assert all(line.isprintable() for line in repr(made).splitlines())


def test_half_a_surrogate_pair_is_refused_in_words(spaced):
    made = views.conversation(tiny("llama"), spaced, **CALL)
    press_send(made, "w7 \ud800")
    finish(made)
    assert "That did not work. ValueError" in made.page.value and made.turns == []


def test_a_hostile_vocabulary_answers_inertly(nasty):
    size = len(nasty)
    model = build("llama", vocab_size=size, eos_token_id=None, pad_token_id=None)
    made = views.conversation(model, nasty, **{**CALL, "suppress_tokens": [0]})
    made.say("x")
    assert tags(made.page.value) <= INERT and made.turns[1].content
    assert all(line.isprintable() for line in repr(made).splitlines())


def test_a_long_conversation_stays_short(spaced):
    opening = [{"role": "user", "content": "w7 " * 5000}, {"role": "assistant", "content": "w8"}]
    made = views.conversation(tiny("llama"), spaced, opening * 60, **CALL)
    assert "80 earlier messages are not shown." in made.page.value
    assert len(made.page.value) < 400_000


def test_a_note_is_shown_with_nothing_hidden_in_it(spaced):
    made = views.conversation(tiny("llama"), spaced, **CALL)
    made.redraw("Took\x1b[31m \u202e<b> $x$")
    assert "Took\\u001b[31m \\u202e&lt;b&gt;" in made.page.value
    assert tags(made.page.value) <= INERT and "$" not in made.page.value
