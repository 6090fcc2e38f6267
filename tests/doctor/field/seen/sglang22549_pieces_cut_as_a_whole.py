"""The stream begins well and then shows letters here and there: 'Helloeagesg'."""

from threading import Thread

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Hello, who are you?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
streamer = TextIteratorStreamer(tok, skip_prompt=True, skip_special_tokens=True, timeout=60)
settings = {**inputs, "streamer": streamer, "max_new_tokens": 100}
thread = Thread(target=model.generate, kwargs=settings)
thread.start()
shown = ""
for text in streamer:
    delta = text[len(shown) :]
    shown += delta
    print(delta, end="", flush=True)
thread.join()
