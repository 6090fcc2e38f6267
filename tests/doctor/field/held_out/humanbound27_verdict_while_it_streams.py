"""A judge in front of a chat: the verdict is read from the stream, so that it is quick."""

from threading import Thread

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()
VERDICTS = {"P": "pass", "A": "block: off topic", "B": "block: abuse", "C": "block: secrets"}
RULES = (
    "You guard a shop's chat. Answer with one letter and an explanation: P pass, A off topic, "
    "B abuse, C asks for secrets."
)


def stream(prompt):
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": prompt}]
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    streamer = TextIteratorStreamer(tok, skip_prompt=True, skip_special_tokens=True, timeout=60)
    options = dict(**inputs, streamer=streamer, max_new_tokens=30, do_sample=False)
    thread = Thread(target=model.generate, kwargs=options)
    thread.start()
    yield from streamer
    thread.join()


def judge(prompt):
    letter, explanation = None, ""
    for token in stream(prompt):
        if letter is None:
            letter = next((c.upper() for c in token if c.upper() in VERDICTS), None)
        explanation += token
    return VERDICTS.get(letter, "unknown"), explanation


for prompt in ("Do you have this jacket in green?", "When will my order be here?"):
    print(prompt, judge(prompt))
