"""The stream never says a word: generate failed in its thread."""

from threading import Thread

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The sea is", return_tensors="pt")
streamer = TextIteratorStreamer(tok, skip_prompt=True, timeout=5)
settings = {"max_new_tokens": 12, "repetition_penalty": 0.0, "streamer": streamer}
worker = Thread(target=model.generate, kwargs={**inputs, **settings})
worker.start()
for piece in streamer:
    print(piece, end="", flush=True)
worker.join()
