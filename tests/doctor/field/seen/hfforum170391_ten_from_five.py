"""Ten endings of one sentence are wanted from a search that is five wide."""

import llmcourse

model, tok = llmcourse.load()


def candidates(text, beam_width=5, wanted=10):
    inputs = tok(text, return_tensors="pt")
    rows = model.generate(
        **inputs,
        do_sample=False,
        num_beams=beam_width,
        num_return_sequences=wanted,
        early_stopping=True,
        max_new_tokens=8,
    )
    return tok.batch_decode(rows[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)


for ending in candidates("On Sundays my grandmother always"):
    print(ending)
