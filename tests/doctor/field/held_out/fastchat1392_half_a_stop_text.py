"""A stream that ends at a stop text: an agent reads signs behind each answer that are no one's."""

from threading import Thread

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()
STOP = "### Human:"


def generate_stream(prompt, max_new_tokens=40):
    inputs = tok(prompt, return_tensors="pt")
    streamer = TextIteratorStreamer(tok, skip_prompt=True, skip_special_tokens=True, timeout=60)
    settings = {**inputs, "max_new_tokens": max_new_tokens, "do_sample": False}
    settings |= {"streamer": streamer, "stop_strings": [STOP], "tokenizer": tok}
    thread = Thread(target=model.generate, kwargs=settings)
    thread.start()
    output, sent = "", 0
    for piece in streamer:
        output += piece
        pos = output.find(STOP)
        if pos != -1:
            output = output[:pos]
        yield output[sent:]
        sent = max(sent, len(output))
    thread.join()


prompt = """### Human: What is the capital of France?
### Assistant: Paris.
### Human: What is the capital of Spain?
### Assistant: Madrid.
### Human: What is the capital of Italy?
### Assistant:"""
answer = "".join(generate_stream(prompt))
print(repr(answer), answer.strip() == "Rome.")
