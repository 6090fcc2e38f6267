"""Soft prompts: the answer is empty, or begins in its middle."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "What is the capital of France?"}]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
embeds = model.get_input_embeddings()(inputs["input_ids"])
made = model.generate(
    inputs_embeds=embeds, attention_mask=inputs["attention_mask"], max_new_tokens=40
)
print(repr(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)))
