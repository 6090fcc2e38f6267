"""A streaming assistant: with each turn of the conversation the process takes more memory."""

import resource

import torch

import llmcourse

model, tok = llmcourse.load()


class Assistant:
    def __init__(self):
        self.history = []

    def stream(self, text, max_new_tokens=12):
        self.history.append({"role": "user", "content": text})
        inputs = tok.apply_chat_template(
            self.history, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        ids, mask, cache = inputs["input_ids"], inputs["attention_mask"], None
        answer = []
        for _ in range(max_new_tokens):
            outputs = model(
                input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True
            )
            cache = outputs.past_key_values
            ids = outputs.logits[:, -1:].argmax(dim=-1)
            if ids.item() == tok.eos_token_id:
                break
            mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
            answer.append(ids.item())
            yield ids.item()
        said = tok.decode(answer, skip_special_tokens=True)
        self.history.append({"role": "assistant", "content": said})


assistant = Assistant()
for question in ("Name a colour.", "And an animal?", "A town in Italy?"):
    print(tok.decode(list(assistant.stream(question))))
    print("  ", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MB")
