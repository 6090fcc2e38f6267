"""The assistant's line in the console repeats what the user typed, markers and all."""

from threading import Thread

from transformers import TextIteratorStreamer

import llmcourse

model, tok = llmcourse.load()
chat = [{"role": "user", "content": "What is the capital of France?"}]
inputs = tok.apply_chat_template(
    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
streamer = TextIteratorStreamer(tok, skip_special_tokens=True)
kwargs = {**inputs, "streamer": streamer, "max_new_tokens": 60}
Thread(target=model.generate, kwargs=kwargs).start()
answer = "".join(streamer)
chat.append({"role": "assistant", "content": answer})
print("<assistant>:", answer)
