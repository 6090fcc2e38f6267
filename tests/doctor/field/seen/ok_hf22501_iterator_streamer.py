"""generate in a thread, the text read here as it comes."""

from threading import Thread

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of Japan?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
streamer = TextIteratorStreamer(tok, skip_prompt=True, skip_special_tokens=True, timeout=60)
settings = {**inputs, "streamer": streamer, "max_new_tokens": 60}
thread = Thread(target=model.generate, kwargs=settings)
thread.start()
for text in streamer:
    print(text, end="", flush=True)
thread.join()
