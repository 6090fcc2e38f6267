"""A chat endpoint with templates of its own, and a conversation that a client sends to it."""

import llmcourse


class BaseChatTemplate:
    def __init__(self, system, user, assistant, end):
        self.system, self.user, self.assistant, self.end = system, user, assistant, end

    def messages2prompt(self, messages):
        box_map = dict(user=self.user, assistant=self.assistant, system=self.system)
        ret = ""
        for message in messages:
            ret += f"{box_map[message['role']]}{message['content']}{self.end}"
        return ret + self.assistant


class AsyncEngine:
    def __init__(self, model, tok, template):
        self.model, self.tok, self.template = model, tok, template

    def chat_completions(self, request):
        prompt = self.template.messages2prompt(request["messages"])
        inputs = self.tok(prompt, return_tensors="pt")
        out = self.model.generate(**inputs, max_new_tokens=request["max_tokens"])
        return self.tok.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


model, tok = llmcourse.load()
roles = [f"<|im_start|>{role}\n" for role in ("system", "user", "assistant")]
engine = AsyncEngine(model, tok, BaseChatTemplate(*roles, end="<|im_end|>\n"))
messages = [
    {"role": "system", "content": "You are a pharmacist."},
    {"role": "user", "content": "What side effects does aspirin have?"},
    {"role": "assistant", "content": "I look it up."},
    {"role": "tool", "content": "aspirin: nausea, stomach pain"},
]
print(engine.chat_completions({"messages": messages, "max_tokens": 30}))
