"""Every prompt is brought to one length: the answer to the same question is another one then."""

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "left"


def generate_text(input_ids):
    output = model.generate(
        input_ids=input_ids,
        max_new_tokens=20,
        pad_token_id=tok.eos_token_id,
        do_sample=False,
    )
    return tok.decode(output[0, input_ids.shape[1] :], skip_special_tokens=True)


prompt = "Hello, how are you?"
alone = tok(prompt, return_tensors="pt")
padded = tok(prompt, return_tensors="pt", padding="max_length", max_length=60)
print("alone: ", repr(generate_text(alone["input_ids"])))
print("padded:", repr(generate_text(padded["input_ids"])))
