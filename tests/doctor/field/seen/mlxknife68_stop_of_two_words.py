"""A chat endpoint with `stop`: one word ends the stream, two words do not."""

import threading

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()


def generate_streaming(prompt, max_tokens):
    streamer = TextIteratorStreamer(tok, skip_prompt=True, skip_special_tokens=True, timeout=60)
    call = dict(tok(prompt, return_tensors="pt"), streamer=streamer, max_new_tokens=max_tokens)
    worker = threading.Thread(target=model.generate, kwargs=call)
    worker.start()
    yield from streamer
    worker.join()


def completion(prompt, stop=None, max_tokens=24):
    stop_sequences = [stop] if isinstance(stop, str) else (stop or [])
    text = ""
    for token in generate_streaming(prompt, max_tokens):
        if any(s in token for s in stop_sequences):
            break
        text += token
    return text


prompt = "one two three four five six, one two three four five six, one two three"
for stop in ("five", "four five"):
    print(repr(stop), repr(completion(prompt, stop)))
