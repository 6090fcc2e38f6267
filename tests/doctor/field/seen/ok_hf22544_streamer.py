"""The answer alone is streamed, without the prompt and special tokens."""

from transformers import TextStreamer

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
streamer = TextStreamer(tok, skip_prompt=True, skip_special_tokens=True)
_ = model.generate(**inputs, streamer=streamer, max_new_tokens=60)
