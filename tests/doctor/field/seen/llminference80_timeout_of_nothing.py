"""The stream ends with queue.Empty before the first word."""

from threading import Thread

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()
streamer = TextIteratorStreamer(tok, skip_prompt=True, timeout=0.001)
inputs = tok("The mountain was", return_tensors="pt")
worker = Thread(target=model.generate, kwargs={**inputs, "streamer": streamer, "max_new_tokens": 8})
worker.start()
try:
    for piece in streamer:
        print(piece, end="")
finally:
    worker.join()
