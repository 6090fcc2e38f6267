"""How likely is yes, how likely no: one step, the raw logits."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Is Paris in France? Answer only with yes or no."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=1, output_logits=True, return_dict_in_generate=True)
yes, no = (tok(word, add_special_tokens=False).input_ids[0] for word in ("Yes", "No"))
logits = made.logits[0][0, [yes, no]]
print(dict(zip(("yes", "no"), logits.softmax(-1).tolist(), strict=True)))
