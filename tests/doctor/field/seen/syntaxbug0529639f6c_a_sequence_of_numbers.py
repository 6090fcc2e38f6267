"""First steps with generate: a list of colours and a short essay."""

import llmcourse

model, tok = llmcourse.load()


def complete(text):
    model_inputs = tok([text], return_tensors="pt")
    generated_ids = model.generate(**model_inputs)
    return tok.batch_decode(generated_ids, skip_special_tokens=True)[0]


print(complete("A list of colours: red, blue"))
print(
    complete("Here is what you need to know about Portugal, in three long sentences. Portugal is")
)
