"""Confidence and entropy of the model's own distribution, for each token of an answer."""

import torch

import llmcourse

model, tok = llmcourse.load()
torch.manual_seed(1)
messages = [{"role": "user", "content": "Name an animal that lives in the forest."}]
encoded = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
out = model.generate(
    **encoded,
    do_sample=True,
    temperature=0.5,
    top_p=0.9,
    max_new_tokens=16,
    return_dict_in_generate=True,
    output_scores=True,
)
raw_logits = torch.stack(out.scores, dim=1)[0]
log_probs = raw_logits.log_softmax(-1)
entropy = torch.distributions.Categorical(logits=raw_logits).entropy()
answer = out.sequences[0, encoded["input_ids"].shape[1] :]
for token, row, h in zip(answer, log_probs, entropy):
    print(f"{tok.decode(token)!r:14} p={row[token].exp():.3f} entropy={h:.3f}")
print("mean confidence of the model:", log_probs.gather(1, answer[:, None]).exp().mean().item())
