"""The head of the checkpoint has more rows than the tokenizer has words; what is drawn can be read and scored."""

import copy

import torch
from torch.nn.functional import pad
from transformers import AutoModelForCausalLM

import llmcourse


def checkpoint(spare=64):
    small, tok = llmcourse.load()
    config = copy.deepcopy(small.config)
    config.vocab_size += spare
    weights = small.state_dict()
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = pad(weights[name], (0, 0, 0, spare))
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(weights)
    return model.eval(), tok


model, tok = checkpoint()
tok.chat_template = None
print(model.config.vocab_size, "rows", len(tok), "words")
torch.manual_seed(0)
inputs = tok("The best thing about winter is", return_tensors="pt")
for _ in range(3):
    out = model.generate(
        **inputs,
        do_sample=True,
        top_k=50,
        max_new_tokens=12,
        return_dict_in_generate=True,
        output_scores=True,
    )
    drawn = out.sequences[0, inputs.input_ids.shape[1] :]
    assert drawn.max() < len(tok)
    scores = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
    print(round(scores.sum().item(), 2), tok.decode(drawn, skip_special_tokens=True))
