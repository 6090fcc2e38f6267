"""How the temperature changes a text: the same beginning, continued three times."""

import llmcourse

model, tokenizer = llmcourse.load()
tokenizer.chat_template = None


def complete(text, temperature):
    input_ids = tokenizer.encode(text, return_tensors="pt")
    output = model.generate(input_ids, max_length=30, temperature=temperature)
    return tokenizer.decode(output[0], skip_special_tokens=True)


for temperature in (0.3, 1.0, 1.5):
    print(temperature, repr(complete("The quantum mechanics of", temperature)))
