"""A stream from a thread: if the thread fails, the reader is told, and does not wait."""

from threading import Thread

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()


def stream(messages, **settings):
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    streamer = TextIteratorStreamer(tok, skip_prompt=True, skip_special_tokens=True, timeout=60)
    errors = []

    def work():
        try:
            model.generate(**inputs, **settings, streamer=streamer)
        except Exception as error:
            errors.append(error)
            streamer.end()

    thread = Thread(target=work)
    thread.start()
    yield from streamer
    thread.join()
    if errors:
        raise errors[0]


question = [{"role": "user", "content": "What is the capital of France?"}]
for piece in stream(question, max_new_tokens=40, do_sample=False):
    print(piece, end="", flush=True)
print()
