"""Listening to models and tokenizers: who called what, from which line, and nothing is changed."""

import _thread
import copy
import inspect
import pickle
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import transformers
from transformers import GenerationMixin, PreTrainedTokenizerBase

import llmcourse
from llmcourse.decoding.cache import LIBRARY
from llmcourse.doctor import call_site, listen
from tests.doctor.corpus.calls import plain, tensors
from tests.support.chat_templates import CHATML, letters
from tests.support.families import build, tiny

IDS = torch.tensor([[3, 4, 7]])


class Listener:
    """Remembers events; what `begins` returns comes back to `ends`."""

    def __init__(self):
        self.begun, self.ended, self.others, self.after = [], [], [], []

    def begins(self, event):
        self.begun.append(event)
        return len(self.begun)

    def ends(self, token, event):
        self.ended.append((token, event))

    def heard(self, event):
        self.others.append(event)

    def passed(self, event):
        self.after.append(event)


@pytest.fixture
def listener():
    listener = Listener()
    listen.listen(listener)
    yield listener
    if listener in listen._listeners:
        listen.leave(listener)


@pytest.fixture
def tokenizer():
    return letters(CHATML)


def here() -> int:
    return sys._getframe(1).f_lineno


def test_a_call_is_told_with_its_arguments_result_and_line(listener):
    out, line = tiny("llama").generate(IDS, max_new_tokens=2), here()
    ((token, event),) = listener.ended
    assert token == 1
    assert event.result is out
    assert event.arguments.keys() == {"inputs", "max_new_tokens"}
    assert (event.site.file, event.site.line) == (__file__, line)


def test_a_forward_pass_is_told_before_and_after_with_what_it_returned(listener):
    model = tiny("llama")
    listen.wrap_what_overrides(model)
    made = model(IDS)
    (before,), (after,) = listener.others, listener.after
    assert (before.name, before.result, after.result) == ("forward", None, made)
    with pytest.raises(ValueError):
        model()
    assert listener.after[-1].result is None


def test_a_model_may_be_compiled_while_somebody_listens(listener, recwarn):
    model = tiny("llama")
    listen.wrap_what_overrides(model)
    made = torch.compile(model, backend="eager")(IDS)
    assert torch.equal(made.logits, model(IDS).logits)
    assert [one for one in recwarn if "Dynamo" in str(one.message)] == []


def test_everything_is_put_back_when_the_last_listener_leaves():
    names = [(PreTrainedTokenizerBase, name) for name in (*listen._TOKENIZER_METHODS, "encode")] + [
        (GenerationMixin, "generate"),
        (transformers.PreTrainedModel, "from_pretrained"),
    ]
    before = [vars(owner)[name] for owner, name in names]
    model, one, two = build("llama"), Listener(), Listener()
    method = model.generate
    listen.listen(one, model)
    listen.listen(two, model)
    listen.leave(one)
    model.generate(IDS, max_new_tokens=1)
    listen.leave(two)
    assert [vars(owner)[name] for owner, name in names] == before
    assert model.generate == method
    assert not model._forward_pre_hooks
    assert (len(one.ended), len(two.ended)) == (0, 1)


def test_a_signature_stays(listener, tokenizer):
    for method in (tiny("llama").generate, tokenizer.apply_chat_template, tokenizer.decode):
        parameters = inspect.signature(method).parameters
        assert "self" not in parameters and len(parameters) > 2


def test_a_method_of_the_users_own_class_is_heard_and_kept():
    class Own(type(tiny("llama"))):
        def generate(self, *arguments, **keywords):
            return super().generate(*arguments, **keywords)

    model = Own(tiny("llama").config).eval()
    own, listener = Own.generate, Listener()
    listen.listen(listener, model)
    model.generate(IDS, max_new_tokens=1)
    listen.leave(listener)
    assert len(listener.ended) == 1  # not twice, though one calls the other
    assert Own.generate is own


def test_a_method_of_one_object_is_heard_and_kept():
    model, listener = build("llama"), Listener()
    plain = model.generate
    model.generate = own = lambda *a, **k: plain(*a, **k)
    listen.listen(listener, model)
    model.generate(IDS, max_new_tokens=1)
    listen.leave(listener)
    assert len(listener.ended) == 1
    assert vars(model)["generate"] is own


def test_what_was_wrapped_over_ours_is_left_alone(monkeypatch):
    listener = Listener()
    listen.listen(listener)
    ours = GenerationMixin.generate
    monkeypatch.setattr(GenerationMixin, "generate", lambda *a, **k: ours(*a, **k))
    theirs = GenerationMixin.generate
    listen.leave(listener)
    assert GenerationMixin.generate is theirs
    assert tiny("llama").generate(IDS, max_new_tokens=1).shape == (1, 4)
    assert not listener.ended
    monkeypatch.undo()
    GenerationMixin.generate = ours.__wrapped__


def test_an_error_is_told_and_raised_as_it_is(listener):
    class Own(Exception):
        pass

    error = Own()

    def fail(ids, scores):
        raise error

    with pytest.raises(Own) as raised:
        tiny("llama").generate(IDS, max_new_tokens=1, logits_processor=[fail])
    assert raised.value is error
    assert listener.ended[0][1].error is error


def test_a_template_that_tokenizes_is_one_call(listener, tokenizer):
    tokenizer.apply_chat_template([{"role": "user", "content": "x"}], return_dict=True)
    assert [event.name for event in listener.others] == ["apply_chat_template"]


def test_what_a_streamer_of_the_library_decodes_is_not_told(listener, tokenizer):
    model = build("llama", vocab_size=300)
    streamer = transformers.TextStreamer(tokenizer)
    model.generate(IDS, max_new_tokens=3, streamer=streamer)
    assert not listener.others


def test_what_a_streamer_of_the_users_decodes_is_told(listener, tokenizer):
    class Own(transformers.generation.BaseStreamer):
        def put(self, ids):
            tokenizer.decode(ids.reshape(-1))

        def end(self):
            pass

    build("llama", vocab_size=300).generate(IDS, max_new_tokens=3, streamer=Own())
    assert [event.name for event in listener.others] == ["decode"] * 4
    assert all(event.inside_generate for event in listener.others)


def test_a_forward_call_is_told_only_outside_generate():
    model, listener = build("llama"), Listener()
    mask = torch.ones_like(IDS)
    listen.listen(listener, model)
    model.generate(IDS, attention_mask=mask, max_new_tokens=2)
    assert not listener.others
    model(IDS, mask)  # positional
    model(input_ids=IDS, attention_mask=mask)
    listen.leave(listener)
    assert [event.name for event in listener.others] == ["forward", "forward"]
    assert all(event.arguments["attention_mask"] is mask for event in listener.others)


def test_a_call_in_a_thread_belongs_to_the_line_that_started_it(listener, tokenizer):
    model = build("llama", vocab_size=300)
    streamer = transformers.TextIteratorStreamer(tokenizer)
    call = dict(inputs=IDS, max_new_tokens=3, streamer=streamer)
    thread = threading.Thread(target=model.generate, kwargs=call)
    thread.start()
    line = here() - 1
    text = "".join(streamer)
    thread.join()
    ((_, event),) = listener.ended
    assert text == tokenizer.decode(event.result[0])
    assert event.site.line in range(line, line + 5)


def test_a_thread_that_is_nothing_but_the_call_is_heard_too(listener):
    done = threading.Event()

    class Bell(transformers.generation.BaseStreamer):
        put, end = lambda self, ids: None, lambda self: done.set()

    call = {"inputs": IDS, "max_new_tokens": 2, "streamer": Bell()}
    _thread.start_new_thread(tiny("llama").generate, (), call), (line := here())
    assert done.wait(timeout=60)
    ((_, event),) = _when_there(listener.ended)
    assert event.error is None and event.site.file == __file__
    assert event.site.line >= line


def _when_there(events: list) -> list:
    """Return the events as soon as there are any, or after a minute."""
    for _ in range(600):
        if events:
            break
        time.sleep(0.1)
    return events


def test_a_model_can_be_copied_and_pickled_while_somebody_listens():
    model, listener = build("llama"), Listener()
    listen.listen(listener, model)
    twin, pickled = copy.deepcopy(model), pickle.dumps(model)
    listen.leave(listener)
    for other in (twin, pickle.loads(pickled)):
        assert torch.equal(other(IDS, torch.ones_like(IDS)).logits, model(IDS).logits)
        assert not listener.others


def test_what_diagnose_asks_is_not_told(listener, tokenizer):
    model = build("llama", vocab_size=300)
    messages = [{"role": "user", "content": "x"}]
    options = {"run": True, "evidence": True, "max_new_tokens": 2, "top_p": 0.5}
    llmcourse.diagnose(model, tokenizer, messages, **options)
    thread = threading.Thread(
        target=llmcourse.diagnose, args=(model, tokenizer, messages), kwargs=options
    )
    thread.start()
    thread.join()
    assert not listener.begun and not listener.others
    tokenizer.decode([3])  # afterwards all is heard again
    assert [event.name for event in listener.others] == ["decode"]


def test_a_folder_whose_name_begins_as_the_packages_does_is_the_users_own():
    package = Path(llmcourse.__file__).parent
    assert call_site.is_installed(str(package / "show.py"))
    assert not call_site.is_installed(str(package.with_name("llmcourse_notes") / "mine.py"))


def test_nothing_is_told_while_unheard(listener):
    with listen.unheard():
        tiny("llama").generate(IDS, max_new_tokens=1)
    assert not listener.begun


def test_a_load_is_told_once_with_what_it_was_asked_for(listener, tokenizer, tmp_path):
    tiny("llama").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    transformers.AutoTokenizer.from_pretrained(tmp_path)
    loads = [event for event in listener.others if event.name == "from_pretrained"]
    kinds = [type(event.result) for event in loads]
    assert kinds == [type(tiny("llama")), type(tokenizer)]
    assert loads[0].arguments["dtype"] is torch.float32
    assert loads[0].arguments["pretrained_model_name_or_path"] == tmp_path


def test_the_calls_of_a_pipeline_belong_to_the_users_line(listener, tokenizer):
    model = build("llama", vocab_size=300)
    pipe = transformers.pipeline("text-generation", model=model, tokenizer=tokenizer)
    pipe("x", max_new_tokens=2), (line := here())
    assert [event.site.line for _, event in listener.ended] == [line]


@pytest.mark.skipif(LIBRARY < (5, 18), reason="the visible loop drafts with a model from then on")
def test_an_assistant_that_drafts_for_a_visible_loop_is_no_call_of_the_users():
    model, tokenizer = plain(settings={})
    draft, _ = plain(settings={"num_assistant_tokens": 3})
    asked = {**tensors(tokenizer, "ab"), "max_new_tokens": 4}
    with llmcourse.watch() as watched:
        made = list(llmcourse.steps(model, **asked, assistant_model=draft))
    assert made and len(watched.calls) == 1
