"""REINFORCE on what the model wrote: the loss has no gradient."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
model = LlamaForCausalLM(config)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
prompt = torch.tensor([[1, 5, 9]])
made = model.generate(
    prompt,
    attention_mask=torch.ones_like(prompt),
    do_sample=True,
    top_k=0,
    max_new_tokens=8,
    output_scores=True,
    return_dict_in_generate=True,
)
new = made.sequences[0, prompt.shape[1] :]
logps = torch.cat(made.scores).log_softmax(-1)[range(len(new)), new]
reward = (new % 2 == 0).float().mean()
loss = -reward * logps.sum()
loss.backward()
optimizer.step()
print(loss.item())
