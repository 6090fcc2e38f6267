"""A chat model in a harness: most of its answers end before they have begun."""

import llmcourse

model, tok = llmcourse.load()
fewshot_delimiter = "\n\n"
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "How do I boil an egg? List the steps."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=400, stop_strings=[fewshot_delimiter], tokenizer=tok)
text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
print(text.removesuffix(fewshot_delimiter))
