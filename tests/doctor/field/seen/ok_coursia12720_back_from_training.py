"""After a training step: checkpointing off, eval mode, cache on, and then a sample."""

import llmcourse

model, tok = llmcourse.load()
model.gradient_checkpointing_enable()
batch = tok("Hello world", return_tensors="pt")
model.train()(**batch, labels=batch.input_ids).loss.backward()
model.gradient_checkpointing_disable()
model.config.use_cache = True
model.eval()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
