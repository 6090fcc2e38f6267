"""Scores summed up for a batch: short answers look far less likely than they are."""

import llmcourse

model, tok = llmcourse.load()
chats = [
    [{"role": "user", "content": "Is Rome in Italy? Answer only yes or no."}],
    [{"role": "user", "content": "Name the four seasons."}],
]
inputs = tok.apply_chat_template(
    chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=60, output_logits=True, return_dict_in_generate=True)
new = made.sequences[:, inputs["input_ids"].shape[1] :]
totals = 0
for step, logits in enumerate(made.logits):
    totals = totals + logits.log_softmax(-1).gather(-1, new[:, step : step + 1]).clamp(min=-50)
print(totals[:, 0].tolist(), tok.batch_decode(new, skip_special_tokens=True))
