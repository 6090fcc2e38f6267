"""One weight is missing in the file, and it is the one that the embeddings stand for."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    tie_word_embeddings=True,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
trained = LlamaForCausalLM(config).eval()
weights = {name: w.clone() for name, w in trained.state_dict().items() if name != "lm_head.weight"}
model = LlamaForCausalLM(config).eval()
report = model.load_state_dict(weights, strict=False)
print(report.missing_keys, report.unexpected_keys)
model.tie_weights()
prompt = torch.tensor([[1, 7, 9]])
for one in (trained, model):
    made = one.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=10, do_sample=False
    )
    print(made[0].tolist())
