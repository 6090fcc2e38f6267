"""Markers of turns added to the vocabulary, and a row made for each: the end never comes."""

import llmcourse

model, tok = llmcourse.load()
tok.add_special_tokens({"additional_special_tokens": ["<|start_turn|>", "<|end_turn|>"]})
model.resize_token_embeddings(len(tok))
prompt = "<|start_turn|>user\nWhat is the capital of France?<|end_turn|>\n<|start_turn|>assistant\n"
inputs = tok(prompt, return_tensors="pt")
made = model.generate(
    **inputs, max_new_tokens=60, eos_token_id=tok.convert_tokens_to_ids("<|end_turn|>")
)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
