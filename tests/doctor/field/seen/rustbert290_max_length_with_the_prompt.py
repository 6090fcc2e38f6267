"""56 tokens were asked for; with a long input hardly any new ones come."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
text = (
    "Animals in space originally served to test the survivability of spaceflight, to evaluate "
    "the effects of microgravity on living systems, and to determine the effects of radiation "
    "on human health. It was learned"
)
inputs = tok(text, return_tensors="pt")
made = model.generate(**inputs, max_length=56)
print(tok.decode(made[0]), "|", made.shape[1] - inputs.input_ids.shape[1], "new")
