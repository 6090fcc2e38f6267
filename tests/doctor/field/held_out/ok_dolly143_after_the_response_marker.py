"""The answer begins after the marker and one token more, and each of its tokens stands beside its log-probability."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "What is the capital of France?"}]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
out = model.generate(
    **inputs,
    max_new_tokens=12,
    do_sample=False,
    return_dict_in_generate=True,
    output_scores=True,
)
logprobs = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)[0]

sequence = out.sequences[0].tolist()
marker = tok.encode("<|im_start|>assistant", add_special_tokens=False)
places = range(len(sequence) - len(marker))
response_pos = max(i for i in places if sequence[i : i + len(marker)] == marker)
answer = sequence[response_pos + len(marker) + 1 :]
assert len(answer) == len(logprobs)
for token, logprob in zip(answer, logprobs.tolist()):
    print(f"{tok.decode(token)!r:14} {logprob:.3f}")
