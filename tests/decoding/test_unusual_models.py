"""What the model is called with beyond the usual, and what it gives back: as in `generate`."""

import pytest
import torch
import transformers
from packaging.version import Version
from transformers import CompileConfig, DynamicCache

import llmcourse
from llmcourse.decoding import unusual_models
from llmcourse.decoding.cache import cache_in
from tests.support.families import CONFIGS, MORE, PAD, VOCAB, build, tiny

IDS = torch.tensor([[7, 8, 9, 10, 11], [PAD, PAD, 3, 4, 5]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
CALL = {"max_new_tokens": 6, "eos_token_id": None, "pad_token_id": PAD}
WANTED = {"return_dict_in_generate": True, "output_logits": True, "output_scores": True}
DOORS = {
    "generate": llmcourse.generate,
    "glass_box": lambda model, **call: model.generate(**call, custom_generate=llmcourse.glass_box),
}
WAYS = {
    "greedy": {},
    "sample": {"do_sample": True},
    "beams": {"num_beams": 3},
    "no_cache": {"use_cache": False},
}


def flat(tensors) -> list[torch.Tensor]:
    return [one for step in tensors or () for one in step]


def assert_same_call(model, call: dict) -> None:
    """Compare both doors with `generate`: tokens, logits, what was looked at, the kind of cache."""
    torch.manual_seed(3)
    theirs = model.generate(**call, **WANTED)
    for door in DOORS.values():
        torch.manual_seed(3)
        ours = door(model, **call, **WANTED)
        assert torch.equal(ours.sequences, theirs.sequences)
        for name in ("logits", "scores"):
            pairs = zip(getattr(ours, name), getattr(theirs, name), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs), name
        for name in ("attentions", "hidden_states"):
            pairs = zip(flat(getattr(ours, name)), flat(getattr(theirs, name)), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs), name
        assert type(ours.past_key_values) is type(theirs.past_key_values)


# Looking inside.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "falcon_h1"])
def test_attentions_and_hidden_states_are_those_of_generate(family, way):
    model = build(family)
    model.set_attn_implementation("eager")
    look = {"output_attentions": True, "output_hidden_states": True}
    assert_same_call(model, {"input_ids": IDS, "attention_mask": MASK, **CALL, **WAYS[way], **look})


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_the_tokens_of_a_draft_show_what_they_show_in_generate(family):
    model = build(family)
    model.set_attn_implementation("eager")
    call = {**CALL, "max_new_tokens": 12, "prompt_lookup_num_tokens": 3}
    look = {"output_attentions": True, "output_hidden_states": True}
    assert_same_call(model, {"input_ids": torch.tensor([[7, 8, 9, 7, 8, 9, 7]]), **call, **look})


def test_attentions_that_a_model_does_not_compute_are_named_with_a_draft():
    call = {"input_ids": IDS[:1], **CALL, "prompt_lookup_num_tokens": 3, "output_attentions": True}
    with pytest.raises(IndexError):
        tiny("llama").generate(**call, return_dict_in_generate=True)
    with pytest.raises(IndexError, match='attn_implementation="eager"'):
        list(llmcourse.steps(tiny("llama"), **call))


@pytest.mark.parametrize("chunk", [1, 2, 50])
@pytest.mark.parametrize("family", ["jamba", "nemotron_h", "llama"])
def test_a_prompt_in_pieces_is_read_as_in_generate_in_its_own_way_too(family, chunk):
    model = tiny("llama") if family == "llama" else own_way(family)
    call = {"input_ids": IDS, "attention_mask": MASK, **CALL, "prefill_chunk_size": chunk}
    if family == "llama":
        call["cache_implementation"] = "static"
    assert_same_call(model, call)


def test_embeddings_in_chunks_are_refused():
    call = {"inputs_embeds": torch.randn(1, 6, 32), "prefill_chunk_size": 2, **CALL}
    with pytest.raises(ValueError, match="leave it or inputs_embeds out"):
        llmcourse.generate(tiny("llama"), **call)


def test_a_step_shows_attentions_and_hidden_states_only_when_asked():
    model = build("llama")
    model.set_attn_implementation("eager")
    call = dict(input_ids=IDS, attention_mask=MASK, **CALL)
    for step in llmcourse.steps(model, **call):
        assert step.attentions is None and step.hidden_states is None
    walk = llmcourse.steps(model, **call, output_attentions=True, output_hidden_states=True)
    for step in walk:
        read, seen = step.fed.shape[1], IDS.shape[1] + step.index
        assert [part.shape for part in step.attentions] == [(2, 4, read, seen)] * 2
        assert [part.shape for part in step.hidden_states] == [(2, read, 32)] * 3


# Embeddings in place of ids, token types.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text", "opt"])
@pytest.mark.parametrize("with_ids", [True, False], ids=["with_ids", "without"])
def test_embeddings_are_read_as_in_generate(family, way, with_ids):
    model = tiny(family)
    embeds = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(5))
    ids = {"input_ids": IDS} if with_ids else {}
    call = {**ids, "inputs_embeds": embeds, "attention_mask": MASK, **CALL, **WAYS[way]}
    assert_same_call(model, call)


def test_embeddings_with_a_cache_are_read_from_where_it_ends():
    model = tiny("llama")
    embeds = torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(5))
    mask = torch.ones(1, 6, dtype=torch.int64)

    def filled():
        cache = DynamicCache(config=model.config)
        with torch.no_grad():
            model(inputs_embeds=embeds[:, :4], past_key_values=cache)
        return cache

    call = dict(inputs_embeds=embeds, attention_mask=mask, **CALL)
    theirs = model.generate(**call, past_key_values=filled())
    for door in DOORS.values():
        assert torch.equal(door(model, **call, past_key_values=filled()), theirs)


@pytest.mark.parametrize("way", WAYS)
def test_token_types_grow_with_the_text(way):
    types = torch.tensor([[0, 0, 1, 1, 1], [0, 0, 0, 1, 1]])
    call = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": types, **CALL, **WAYS[way]}
    assert_same_call(tiny("gpt2"), call)


# Models of their own ways: they prepare their inputs, or make or replace their cache.

SMALL = {"vocab_size": VOCAB, "num_hidden_layers": 2}
HEADS = {**SMALL, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
OLD = {"vocab_size": VOCAB, "n_layer": 2, "n_head": 4}
OWN_WAYS = {
    "rwkv": {**SMALL, "hidden_size": 32, "attention_hidden_size": 32, "context_length": 64},
    "minimax": {**HEADS, "head_dim": 8, "num_local_experts": 4, "block_size": 4},
    "ctrl": {**OLD, "n_positions": 64, "n_embd": 32, "dff": 64},
    "openai-gpt": {**OLD, "n_positions": 64, "n_embd": 32},
    "xlnet": {**OLD, "d_model": 32, "d_inner": 64},
    "nemotron_h": {
        **HEADS,
        "num_hidden_layers": 3,
        "hybrid_override_pattern": "M*-",
        "head_dim": 8,
        "intermediate_size": 64,
        "mamba_num_heads": 8,
        "mamba_head_dim": 8,
        "ssm_state_size": 8,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "jamba": MORE["jamba"],
}


def own_way(family: str):
    torch.manual_seed(2)
    config = transformers.CONFIG_MAPPING[family](**OWN_WAYS[family])
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for weights in model.parameters():
        if weights.dim() > 1:
            weights.data.normal_(0, 0.3)
    return model


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", OWN_WAYS)
def test_a_model_of_its_own_way_gives_what_it_gives_in_generate(family, way):
    model = own_way(family)
    for inputs in ({"input_ids": IDS[:1]}, {"input_ids": IDS, "attention_mask": MASK}):
        call = {**inputs, **CALL, **WAYS[way]}
        try:
            model.generate(**call)
        except Exception as error:
            with pytest.raises(type(error)):
                llmcourse.generate(model, **call)
        else:
            assert_same_call(model, call)


def test_a_phi_3_that_switches_its_rope_within_the_text_is_followed():
    model = build("phi3", original_max_position_embeddings=8)
    assert_same_call(model, {"input_ids": IDS, "attention_mask": MASK, **CALL})


def test_a_model_that_was_given_its_own_preparation_is_followed():
    """Adapters that put a learned prompt before the text replace the method of one object."""
    model, asked = build("llama"), []
    usual = model.prepare_inputs_for_generation

    def prepare(*arguments, **keywords):
        asked.append(1)
        return usual(*arguments, **keywords)

    model.prepare_inputs_for_generation = prepare
    ours = llmcourse.generate(model, IDS[:1], **CALL)
    assert len(asked) == CALL["max_new_tokens"]
    assert torch.equal(ours, model.generate(IDS[:1], **CALL))


def test_a_cache_that_comes_back_in_place_of_another_is_gone_on_with():
    config = transformers.GPT2Config(**OLD, n_embd=32, add_cross_attention=True, eos_token_id=None)
    torch.manual_seed(2)
    model = transformers.GPT2LMHeadModel(config).eval()
    assert_same_call(model, {"input_ids": IDS[:1], **CALL})
    made = llmcourse.ingredients(model, input_ids=IDS[:1], **CALL)
    assert type(cache_in(made.model_kwargs)) is DynamicCache
    output = llmcourse.generate(model, IDS[:1], **CALL, **WANTED)
    assert type(output.past_key_values) is not DynamicCache


@pytest.mark.skipif("bloom" not in CONFIGS, reason="an older version prepares it another way")
def test_bloom_with_a_static_cache_and_padding_is_followed():
    call = {"input_ids": IDS, "attention_mask": MASK, **CALL, "cache_implementation": "static"}
    assert_same_call(tiny("bloom"), call)


# Compiled forward passes.


def counting():
    """Return a compile config that compiles on a CPU too, and the list that it counts in."""
    graphs = []

    def backend(graph, inputs, **options):
        graphs.append(len(inputs))
        return graph.forward

    config = CompileConfig(backend=backend)
    config._compile_all_devices = True  # on a GPU this is so anyway
    return config, graphs


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.slow
def test_a_forward_pass_is_compiled_where_generate_compiles_it(door):
    torch._dynamo.reset()
    call = {"input_ids": IDS[:1], **CALL, "cache_implementation": "static"}
    plain = build("llama").generate(**call)
    config, graphs = counting()
    model = build("llama")
    assert torch.equal(DOORS[door](model, **call, compile_config=config), plain)
    assert graphs and hasattr(model, "_compiled_call")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.slow
def test_disable_compile_is_followed(door):
    torch._dynamo.reset()
    config, graphs = counting()
    call = {"input_ids": IDS[:1], **CALL, "cache_implementation": "static"}
    model = build("llama")
    DOORS[door](model, **call, compile_config=config, disable_compile=True)
    assert not graphs and not hasattr(model, "_compiled_call")


def test_usual_calls_take_the_short_way():
    made = llmcourse.ingredients(tiny("llama"), input_ids=IDS, attention_mask=MASK, **CALL)
    assert type(unusual_models.forward_of(tiny("llama"), made)) is unusual_models.Forward


# What user code writes into.


def writing(value: int):
    def criterion(ids, scores, **_):
        ids.fill_(value)
        return torch.zeros(len(ids), dtype=torch.bool)

    return criterion


def rule_that_writes(ids, scores):
    ids[:, -1] = 6
    return scores


@pytest.mark.parametrize("way", ["greedy", "sample", "no_cache"])
@pytest.mark.parametrize(
    "more",
    [{"stopping_criteria": [writing(5)]}, {"logits_processor": [rule_that_writes]}],
    ids=["criterion", "rule"],
)
def test_what_user_code_writes_into_the_text_has_the_effect_that_it_has_in_generate(more, way):
    def text(door):
        torch.manual_seed(3)
        call = {"input_ids": IDS.clone(), "attention_mask": MASK, **CALL, **WAYS[way], **more}
        return door(tiny("llama"), **call)

    theirs = text(type(tiny("llama")).generate)
    for door in DOORS.values():
        assert torch.equal(text(door), theirs)


@pytest.mark.parametrize("name", ["logits_processor", "stopping_criteria"])
def test_what_user_code_raises_passes_through_even_where_python_would_rename_it(name):
    def stop(ids, scores, **_):
        raise StopIteration("mine")

    for door in (type(tiny("llama")).generate, *DOORS.values()):
        with pytest.raises(StopIteration, match="mine"):
            door(tiny("llama"), input_ids=IDS, attention_mask=MASK, **CALL, **{name: [stop]})
    call = dict(input_ids=IDS, attention_mask=MASK, **CALL)
    walk = llmcourse.steps(tiny("llama"), **call, **{name: [stop]})
    with pytest.raises(RuntimeError) as raised:  # an iterator that raises it would have ended
        list(walk)
    assert isinstance(raised.value.__cause__, StopIteration)


def test_the_prompt_stays_whatever_is_written_into_a_step():
    ids = IDS.clone()
    for step in llmcourse.steps(tiny("llama"), input_ids=ids, attention_mask=MASK, **CALL):
        step.fed.zero_()
    assert torch.equal(ids, IDS)


def test_writing_into_the_chosen_tokens_of_a_step_changes_nothing():
    call = dict(input_ids=IDS, attention_mask=MASK, **CALL)
    plain = [step.chosen.clone() for step in llmcourse.steps(tiny("llama"), **call)]
    seen = []
    for step in llmcourse.steps(tiny("llama"), **call):
        seen.append(step.chosen.clone())
        step.chosen.fill_(9)
    assert all(map(torch.equal, plain, seen))


@pytest.mark.parametrize("way", [{}, {"num_beams": 2}])
def test_a_cache_that_rwkv_does_not_look_at_does_not_take_the_place_of_its_state(way):
    def make_call():
        return {"input_ids": IDS[:1], **CALL, **way, "past_key_values": DynamicCache()}

    model = tiny("rwkv")
    theirs = model.generate(**make_call())
    assert torch.equal(llmcourse.generate(model, **make_call()), theirs)


# Positions of three or four kinds: a model that sees pictures, asked about text alone.


def sees_pictures():
    """A tiny Qwen3.5; its positions are (4, batch, length): of the text, and in a picture."""
    if not hasattr(transformers, "Qwen3_5ForConditionalGeneration"):
        pytest.skip("this version of the library does not have it")
    torch.manual_seed(0)
    layers = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    linear = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    linear |= {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
    turns = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0}
    turns |= {"mrope_section": [1, 1, 2], "mrope_interleaved": True}
    kinds = {"layer_types": ["linear_attention", "full_attention"], "rope_parameters": turns}
    config = transformers.Qwen3_5Config(
        text_config={"vocab_size": VOCAB, **layers, **heads, **linear, **kinds},
        vision_config={"depth": 1, "hidden_size": 32, "num_heads": 2, "out_hidden_size": 32},
    )
    model = transformers.Qwen3_5ForConditionalGeneration(config).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, 0, 0.4)
    return model


@pytest.mark.parametrize("way", [*WAYS.values(), {"num_return_sequences": 2, "num_beams": 2}])
def test_positions_of_several_kinds_grow_as_in_generate(way):
    assert_same_call(sees_pictures(), {"input_ids": IDS, "attention_mask": MASK, **CALL, **way})


@pytest.mark.skipif(
    Version(transformers.__version__) < Version("5.23"),
    reason="in 5.15 `generate` itself fails: this model's linear attention, at the second chunk",
)
def test_positions_of_several_kinds_are_cut_into_chunks_as_in_generate():
    call = {"input_ids": IDS, "attention_mask": MASK, **CALL, "prefill_chunk_size": 2}
    assert_same_call(sees_pictures(), call)


def test_what_a_model_is_passed_grows_by_the_name_that_the_library_uses():
    class Particular(type(tiny("openai-gpt"))):
        def _update_model_kwargs_for_generation(self, outputs, kwargs, is_encoder_decoder, **more):
            return super()._update_model_kwargs_for_generation(
                outputs, kwargs, is_encoder_decoder=is_encoder_decoder, **more
            )

    model = Particular(tiny("openai-gpt").config).eval()
    assert_same_call(model, {"input_ids": IDS, "attention_mask": MASK, **CALL})
