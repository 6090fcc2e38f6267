"""Multiple choice in a batch: the letters differ from those asked for one by one."""

import llmcourse

model, tok = llmcourse.load()
tok.pad_token = tok.eos_token
tok.padding_side = "right"
questions = [
    "Question: What is 2 + 2?\nA. 3\nB. 4\nAnswer:",
    "Question: Which of these animals lives in the sea?\nA. The horse\nB. The whale\nAnswer:",
]
inputs = tok(questions, return_tensors="pt", padding="longest")
letters = model.generate(**inputs, max_new_tokens=1)[:, -1]
print([tok.decode(letter) for letter in letters])
