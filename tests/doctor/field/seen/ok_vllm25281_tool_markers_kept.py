"""Special tokens are kept in the text, as a parser of tool calls needs them."""

import re

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60)
raw = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=False)
calls = re.findall(r"<tool_call>(.*?)</tool_call>", raw, re.S)
print(calls or raw.removesuffix(tok.eos_token))
