"""do_sample=False stands in the example, and temperature and top_p were added to it."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "Which animal says moo? Answer in one word."}]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
outputs = model.generate(
    **inputs,
    pad_token_id=tok.eos_token_id,
    max_new_tokens=60,
    do_sample=False,
    use_cache=True,
    temperature=0.4,
    top_p=0.9,
)
print(tok.decode(outputs[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
