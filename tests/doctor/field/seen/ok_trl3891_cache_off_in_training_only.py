"""use_cache=False where the loss is computed; generate keeps its cache."""

import llmcourse

model, tok = llmcourse.load()
batch = tok("A line to learn from.", return_tensors="pt")
model.train()
loss = model(**batch, labels=batch.input_ids, use_cache=False).loss
loss.backward()
model.eval()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of Spain?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60)
print(loss.item(), tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
