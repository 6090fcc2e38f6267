"""Streaming for two prompts at once."""

from transformers import TextStreamer

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "left"
inputs = tok(["Water is", "The colour of the sky is"], padding=True, return_tensors="pt")
model.generate(**inputs, max_new_tokens=10, streamer=TextStreamer(tok))
