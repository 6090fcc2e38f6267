"""A chat completion in OpenAI's form, whose answers end in mid-sentence."""

import json
import time
import uuid

import llmcourse

model, tok = llmcourse.load()


class Invoker:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok

    def complete(self, messages, max_tokens):
        inputs = self.tok.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = self.model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
        new = made[0, inputs["input_ids"].shape[1] :]
        usage = {"prompt_tokens": inputs["input_ids"].shape[1], "completion_tokens": len(new)}
        return self.tok.decode(new, skip_special_tokens=True), usage

    def chat(self, messages, max_tokens=16):
        content, usage = self.complete(messages, max_tokens)
        message = {"role": "assistant", "content": content}
        return {
            "id": f"chatcmpl-{uuid.uuid4()}",
            "created": int(time.time()),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }


def whole_answer(invoker, question):
    response = invoker.chat([{"role": "user", "content": question}])
    print(json.dumps(response, indent=1))
    choice = response["choices"][0]
    return choice["message"]["content"] if choice["finish_reason"] == "stop" else None


print(whole_answer(Invoker(model, tok), "Explain in three sentences how bread is made."))
