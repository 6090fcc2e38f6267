"""Guidance shall make the answer more cheerful, and it makes it a strange one."""

import llmcourse

model, tok = llmcourse.load()
text = tok("You are cheerful. Tell me about the sea.\n", return_tensors="pt")
away = tok("Tell me about the sea.\n", return_tensors="pt")


def write(strength):
    made = model.generate(
        **text,
        guidance_scale=strength,
        negative_prompt_ids=away.input_ids,
        negative_prompt_attention_mask=away.attention_mask,
        max_new_tokens=24,
        do_sample=False,
    )
    return tok.decode(made[0, text.input_ids.shape[1] :])


for strength in (1.0, 5.0):
    print(strength, repr(write(strength)))
