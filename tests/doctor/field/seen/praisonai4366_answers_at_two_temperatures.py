"""The command to try a trained model: its answers at temperature 0.1 and 1.8 are the same."""

from transformers import TextStreamer

import llmcourse

model, tok = llmcourse.load()


def chat(question, temperature=0.7, max_new_tokens=30):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        tokenize=True,
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    ).to(model.device)
    # Streamed, so that one sees at once whether the model is alive.
    model.generate(
        **inputs,
        streamer=TextStreamer(tok, skip_prompt=True, skip_special_tokens=True),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        use_cache=True,
    )


for temperature in (0.1, 1.8):
    print(f"--- {temperature}")
    chat("Invent a name for a blue parrot, and say why.", temperature)
