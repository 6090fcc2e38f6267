"""An exception in the thread that feeds the iterator: the iterator waits."""

import threading

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()
streamer = TextIteratorStreamer(tok, timeout=5)
inputs = tok("A recipe for pancakes:", return_tensors="pt")
call = dict(inputs, streamer=streamer, max_tokens=20)
threading.Thread(target=model.generate, kwargs=call, daemon=True).start()
print("".join(streamer))
