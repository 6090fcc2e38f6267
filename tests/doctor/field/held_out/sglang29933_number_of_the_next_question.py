"""The right answer is in the text, and another one is scored: the last number of all."""

import re

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
shots = (
    "Question: Ann has 2 pens and buys 3. How many has she?\nAnswer: 2 + 3 = 5. #### 5\n\n"
    "Question: Bob has 7 eggs and eats 1. How many has he?\nAnswer: 7 - 1 = 6. #### 6\n\n"
)
inputs = tok(
    f"{shots}Question: Eve has 4 cats and gets 4 more. How many has she?\nAnswer:",
    return_tensors="pt",
)
made = model.generate(**inputs, max_new_tokens=80)
text = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
answer = re.findall(r"\d+", text)[-1]
print(answer == "8", answer, text)
