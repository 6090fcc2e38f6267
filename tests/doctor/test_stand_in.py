"""`doctor --stand-in`: a script that asks for models of the hub runs on the course's own."""

import json
from types import SimpleNamespace

import pytest
import torch
import transformers

from llmcourse.__main__ import main
from llmcourse.doctor.stand_in import Replaced, is_missing, what_can_be_had

# Nothing of this is reached: there is no network, and no GPU.
HUB = """\
import torch
from huggingface_hub import login
login("a token")
from transformers import AutoModelForCausalLM, AutoProcessor, AutoTokenizer, GenerationConfig
from transformers import AutoConfig, GPT2LMHeadModel, GPT2Tokenizer, pipeline
name = "some/model-8B"
tokenizer = AutoTokenizer.from_pretrained(name, padding_side="right", revision="main")
model = AutoModelForCausalLM.from_pretrained(
    name, dtype=torch.float16, attn_implementation="flash_attention_2", device_map="xpu"
)
inputs = tokenizer(["1, 2", "A, B, C, D"], return_tensors="pt", padding=True).to("xpu")
model.to("xpu").generate(**inputs, max_new_tokens=2, do_sample=False)
assert type(GPT2LMHeadModel.from_pretrained("gpt2")) is type(model)
assert type(GPT2Tokenizer.from_pretrained("gpt2")) is type(tokenizer)
assert type(AutoProcessor.from_pretrained(name)) is type(tokenizer)
assert GenerationConfig.from_pretrained(name).eos_token_id == model.generation_config.eos_token_id
assert AutoConfig.from_pretrained(name).model_type == model.config.model_type
pipeline("text-generation")("1, 2, 3", max_new_tokens=2)
pipeline(model=name, device="xpu:0")("1, 2, 3", max_new_tokens=2)
"""


def said(path, capfd, *options: str) -> tuple[int, dict]:
    status = main(["doctor", "--json", *options, str(path)])
    return status, json.loads(capfd.readouterr().out)


@pytest.mark.slow
def test_a_script_that_asks_for_hub_models_runs_and_is_looked_at(course_model, tmp_path, capfd):
    path = tmp_path / "hub.py"
    path.write_text(HUB)
    status, plain = said(path, capfd, "--stand-in")
    assert plain["failed"] is None and plain["doctor_failed"] is None
    assert status == 1 and len(plain["calls"]) == 3
    found = next(one for one in plain["findings"] if one["code"] == "padding-side")
    assert found["line"] == 12
    assert plain["instead"] == course_model[0].name_or_path
    replaced = {(one["line"], one["call"]): one for one in plain["replaced"]}
    assert (7, "AutoTokenizer.from_pretrained('some/model-8B')") in replaced
    (loaded,) = [one for (line, _), one in replaced.items() if line == 8]
    assert loaded["call"] == "AutoModelForCausalLM.from_pretrained('some/model-8B')"
    assert any("device_map='xpu'" in each for each in loaded["left_out"])
    assert [line for line, call in replaced if call == ".to('xpu')"] == [11, 12]
    assert [line for line, call in replaced if call.startswith("pipeline(")] == [18, 19]
    assert all(one["file"] == str(path) for one in replaced.values())


@pytest.mark.slow
def test_the_report_says_what_was_replaced_and_what_that_means(course_model, tmp_path, capfd):
    path = tmp_path / "hub.py"
    path.write_text(
        "from transformers import AutoTokenizer\nAutoTokenizer.from_pretrained('<b>/x')\n"
        "AutoTokenizer.from_pretrained('gpt2', revision='main')\n"
    )
    assert main(["doctor", "--stand-in", str(path)]) == 2, "no hub id, and no folder: as without"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[::2]))
    assert main(["doctor", "--stand-in", str(path)]) == 0
    first, *_, about, _ = capfd.readouterr().out.splitlines()[-3:]
    assert first.endswith(
        "hub.py:2: stand-in: AutoTokenizer.from_pretrained('gpt2') reads the stand-in."
    )
    assert "generation_config" in about and course_model[0].name_or_path in about


@pytest.mark.slow
def test_a_folder_is_read_as_it_is_and_other_kinds_of_models_are_left_alone(
    course_model, tmp_path, capfd
):
    path = tmp_path / "mixed.py"
    path.write_text(
        "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, pipeline\n"
        f"AutoTokenizer.from_pretrained({course_model[0].name_or_path!r})\n"
        "try:\n    pipeline('fill-mask', model='google/bert')\nexcept OSError:\n    pass\n"
        "AutoModelForSeq2SeqLM.from_pretrained('google/t5')\n"
    )
    status, plain = said(path, capfd, "--stand-in")
    assert status == 2 and "OSError" in plain["failed"]
    sentences = [one["sentence"] for one in plain["replaced"]]
    assert len(sentences) == 2 and all("is not replaced" in one for one in sentences)


def test_without_the_option_nothing_is_replaced(tmp_path, capfd):
    path = tmp_path / "plain.py"
    path.write_text("import os\nprint(os.environ.get('HF_HUB_OFFLINE'))\n")
    _, plain = said(path, capfd)
    assert plain["instead"] is None and plain["replaced"] == []


def test_a_stand_in_that_cannot_be_had_is_said(tmp_path, capfd, monkeypatch):
    def nowhere():
        raise OSError("The disk is full.")

    monkeypatch.delenv("LLMCOURSE_MODEL", raising=False)
    monkeypatch.setattr("llmcourse.models.fetch.course_model", nowhere)
    path = tmp_path / "plain.py"
    path.write_text("pass")
    status, plain = said(path, capfd, "--stand-in")
    assert status == 2 and "The disk is full." in plain["doctor_failed"]


@pytest.mark.parametrize("place", ["cuda", "cuda:1", torch.device("cuda"), 0, "xpu"])
def test_a_device_that_is_not_there_is_missing(place, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    assert is_missing(place)


@pytest.mark.parametrize("place", ["cpu", torch.device("cpu"), -1, torch.float16, True, None])
def test_what_is_there_or_names_no_device_is_not(place):
    assert not is_missing(place)


def test_what_cannot_be_had_is_left_out_in_words(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    kept, left_out = what_can_be_had(
        {
            "torch_dtype": torch.float16,
            "quantization_config": transformers.GPTQConfig.__new__(transformers.GPTQConfig),
            "attn_implementation": "flash_attention_2",
            "max_memory": {0: "8GB"},
            "token": "secret",
            "padding_side": "left",
            "model_kwargs": {"attn_implementation": "sdpa", "device_map": "cuda:0"},
        }
    )
    assert kept == {"padding_side": "left", "model_kwargs": {"attn_implementation": "sdpa"}}
    assert left_out == (
        "torch_dtype=torch.float16",
        "quantization_config=GPTQConfig(...)",
        "attn_implementation='flash_attention_2'",
        "max_memory={0: '8GB'}",
        "device_map='cuda:0'",
    )


def test_what_can_be_had_is_kept(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    by_bitsandbytes = SimpleNamespace(quant_method="bitsandbytes")
    monkeypatch.setattr("llmcourse.doctor.stand_in._is_installed", lambda package: True)
    asked = {
        "dtype": torch.float16,
        "device_map": "cuda",
        "attn_implementation": "flex_attention",
        "quantization_config": by_bitsandbytes,
    }
    assert what_can_be_had(asked) == (asked, ())


def test_what_was_replaced_is_said_in_one_sentence():
    one = Replaced("AutoTokenizer.from_pretrained('gpt2')", left_out=("a=1", "b=2"))
    assert one.sentence == (
        "AutoTokenizer.from_pretrained('gpt2') reads the stand-in, without a=1, b=2."
    )
