"""An API for chats with the names of OpenAI's: a request that sets only its message fails."""

from dataclasses import dataclass, field

import llmcourse


@dataclass
class ChatCompletionRequest:
    messages: list = field(default_factory=list)
    max_tokens: int = 20
    presence_penalty: float = 0.0
    do_sample: bool = False


class HuggingfaceEngine:
    def __init__(self):
        self.model, self.tokenizer = llmcourse.load()

    def chat(self, messages, **settings):
        inputs = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = self.model.generate(**inputs, **settings)
        new = made[0, inputs["input_ids"].shape[1] :]
        return self.tokenizer.decode(new, skip_special_tokens=True)


def create_chat_completion_response(request, engine):
    content = engine.chat(
        request.messages,
        do_sample=request.do_sample,
        max_new_tokens=request.max_tokens,
        repetition_penalty=request.presence_penalty,
    )
    return {"choices": [{"message": {"role": "assistant", "content": content}}]}


request = ChatCompletionRequest([{"role": "user", "content": "What is the capital of France?"}])
print(create_chat_completion_response(request, HuggingfaceEngine()))
