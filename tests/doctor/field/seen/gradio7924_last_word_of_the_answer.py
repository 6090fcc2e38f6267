"""A chat page with streamed answers: when all is written, one word is to be seen."""

from threading import Thread

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()


class ChatInterface:
    """The page: whatever `fn` yields is drawn as the answer, in place of what was drawn before."""

    def __init__(self, fn):
        self.fn, self.history, self.drawn = fn, [], ""

    def submit(self, message):
        for content in self.fn(message, self.history):
            self.drawn = content
        self.history += [
            {"role": "user", "content": message},
            {"role": "assistant", "content": self.drawn},
        ]
        return self.drawn


def respond(message, history):
    inputs = tok.apply_chat_template(
        [*history, {"role": "user", "content": message}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    streamer = TextIteratorStreamer(tok, skip_prompt=True, skip_special_tokens=True, timeout=60)
    settings = {**inputs, "streamer": streamer, "max_new_tokens": 30, "do_sample": False}
    Thread(target=model.generate, kwargs=settings).start()
    for token in streamer:
        if token:
            yield token


demo = ChatInterface(respond)
print(demo.submit("What is the capital of France?"))
