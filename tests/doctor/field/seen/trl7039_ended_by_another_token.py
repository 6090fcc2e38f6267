"""The share of completions that were cut off: all of them, though each is complete."""

import llmcourse

model, tok = llmcourse.load()
tok.eos_token = "<|endoftext|>"
model.generation_config.eos_token_id = [2, 0]
questions = ["What is the capital of France?", "What is the capital of Italy?"]
inputs = tok.apply_chat_template(
    [[{"role": "user", "content": question}] for question in questions],
    add_generation_prompt=True,
    padding=True,
    return_tensors="pt",
    return_dict=True,
)
completions = model.generate(**inputs, max_new_tokens=80)[:, inputs["input_ids"].shape[1] :]
ended = (completions == tok.eos_token_id).any(dim=1)
print("clipped:", 1 - ended.float().mean().item())
print(tok.batch_decode(completions))
