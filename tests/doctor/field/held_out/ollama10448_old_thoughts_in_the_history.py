"""Each turn the prompt grows by the whole reasoning of the turns before."""

import llmcourse

model, tok = llmcourse.load()
messages = [
    {"role": "user", "content": "What is 17 + 4?"},
    {
        "role": "assistant",
        "content": "<think>\nThe user asks for a sum. 17 + 4 is 21. Check: 21.\n</think>\n\n21",
    },
    {"role": "user", "content": "And doubled?"},
]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, do_sample=True, top_k=20, top_p=0.95, max_new_tokens=60)
print(inputs["input_ids"].shape[1], tok.decode(made[0, inputs["input_ids"].shape[1] :]))
