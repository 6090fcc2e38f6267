"""Generation in a thread of its own; the pieces are put together, and the thread is joined."""

from threading import Thread

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()
if tok.pad_token is None:
    tok.pad_token = tok.eos_token


def stream_tokens(question, max_new_tokens=30):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    streamer = TextIteratorStreamer(tok, skip_prompt=True, timeout=120, skip_special_tokens=True)
    generation_kwargs = dict(inputs, streamer=streamer, max_new_tokens=max_new_tokens)
    thread = Thread(target=model.generate, kwargs=generation_kwargs, daemon=False)
    thread.start()
    yield from streamer
    thread.join()


text = ""
for piece in stream_tokens("What is a glacier? Answer in one sentence."):
    text += piece
    print(piece, end="", flush=True)
print(f"\n{len(text.split())} words")
