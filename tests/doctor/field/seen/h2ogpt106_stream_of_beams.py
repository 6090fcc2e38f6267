"""num_beams=2 for quality and a streamer for the looks."""

from transformers import TextStreamer

import llmcourse

model, tok = llmcourse.load()
inputs = tok("Three things that float:", return_tensors="pt")
streamer = TextStreamer(tok, skip_prompt=True)
model.generate(**inputs, num_beams=2, max_new_tokens=16, streamer=streamer)
