"""What a load left open is heard, and said as long as nothing was trained or loaded since."""

import pytest
import torch
from transformers import LlamaForCausalLM, modeling_utils

import llmcourse
from tests.doctor.corpus.calls import plain, tensors
from tests.support.families import build

IDS = torch.tensor([[3, 4, 7]])


def saved(folder, **changes):
    """Return the folder of a tiny saved model."""
    build("llama", **changes).save_pretrained(folder)
    return folder


def loaded(folder, **options):
    made = LlamaForCausalLM.from_pretrained(folder, **options)
    return made[0] if isinstance(made, tuple) else made


@pytest.mark.parametrize("options", [{}, {"output_loading_info": True}])
def test_a_head_that_was_made_anew_is_said(tmp_path, options):
    folder = saved(tmp_path, tie_word_embeddings=True)
    with llmcourse.watch() as watched:
        model = loaded(folder, tie_word_embeddings=False, **options)
        model.generate(IDS, max_new_tokens=2)
    (found,) = [one for one in watched.findings if one.code == "weights-made-anew"]
    assert found.severity == "error" and "lm_head.weight" in found.what


def test_what_was_trained_or_loaded_since_is_not_said(tmp_path):
    folder = saved(tmp_path, tie_word_embeddings=True)
    with llmcourse.watch() as watched:
        loaded(folder).generate(IDS, max_new_tokens=2)  # nothing was missing
        trained = loaded(folder, tie_word_embeddings=False)
        with torch.no_grad():
            trained.lm_head.weight.add_(0.1)
        trained.generate(IDS, max_new_tokens=2)
        filled = loaded(folder, tie_word_embeddings=False)
        filled.load_state_dict(build("llama").state_dict())
        filled.generate(IDS, max_new_tokens=2)
    assert "weights-made-anew" not in watched.codes and watched.failures == []


def test_weights_under_other_names_are_said_until_the_right_ones_come():
    model = build("llama")
    weights = {f"module.{name}": value for name, value in model.state_dict().items()}
    with llmcourse.watch() as watched:
        model.load_state_dict(weights, strict=False)
        model.generate(IDS, max_new_tokens=2)
    (found,) = [one for one in watched.findings if one.code == "state-dict-not-loaded"]
    assert "'module.'" in found.fix
    with llmcourse.watch() as watched:
        model.load_state_dict(weights, strict=False)
        model.load_state_dict({name.removeprefix("module."): weights[name] for name in weights})
        model.generate(IDS, max_new_tokens=2)
    assert "state-dict-not-loaded" not in watched.codes


def test_the_tokenizer_of_a_prompt_is_the_one_that_made_it():
    model, tokenizer = plain("byte level")
    _, other = plain("unigram")
    with llmcourse.watch() as watched:
        inputs = tensors(tokenizer, "a text")
        other("another text")
        model.generate(**inputs, max_new_tokens=2)
    assert watched.calls[0].case.tokenizer is tokenizer


def test_the_library_is_as_it_was_afterwards():
    names = [(modeling_utils, "log_state_dict_report"), (torch.nn.Module, "load_state_dict")]
    before = [getattr(owner, name) for owner, name in names]
    with llmcourse.watch():
        assert [getattr(owner, name) for owner, name in names] != before
    assert [getattr(owner, name) for owner, name in names] == before
