"""inputs_embeds, and what comes back is decoded whole."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
embeds = model.get_input_embeddings()(inputs["input_ids"])
made = model.generate(
    inputs_embeds=embeds, attention_mask=inputs["attention_mask"], max_new_tokens=60
)
print(tok.decode(made[0], skip_special_tokens=True))
