"""A server that sends its text every four tokens, to have fewer messages: the text has holes."""

import threading

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()


class RequestState:
    def __init__(self, stream_interval):
        self.stream_interval = stream_interval
        self.sent = 0

    def should_send(self, count, finished):
        return finished or count - self.sent >= self.stream_interval

    def mark_sent(self, count):
        self.sent = count


def stream_chunks(prompt, stream_interval=1, max_tokens=24):
    state = RequestState(stream_interval)
    streamer = TextIteratorStreamer(tok, skip_prompt=True, timeout=60)
    call = dict(tok(prompt, return_tensors="pt"), streamer=streamer, max_new_tokens=max_tokens)
    worker = threading.Thread(target=model.generate, kwargs=call)
    worker.start()
    for count, new_text in enumerate(streamer, 1):
        if state.should_send(count, finished=False):
            state.mark_sent(count)
            yield new_text
    worker.join()


for interval in (1, 4):
    print(interval, repr("".join(stream_chunks("The colours of the rainbow are", interval))))
