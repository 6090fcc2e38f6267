"""Questions about a short letter; against loops, a repetition penalty is set."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
LETTER = (
    "Dear shop, my name is Ottilie Brandt and my order number is 44-44-17. I have got a red lamp "
    "instead of a blue lamp. Please send the blue lamp to 9 Mill Lane in Bergen.\n"
)


def ask(beginning, penalty):
    inputs = tok(LETTER + beginning, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=8, do_sample=False, repetition_penalty=penalty)
    return tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)


for penalty in (1.0, 1.5):
    for beginning in ("The order number of the customer is 44", "The name of the customer is Ott"):
        print(penalty, beginning, "...", repr(ask(beginning, penalty)))
