"""A server for an open model: a client that asks for a long answer gets an error."""

import torch

import llmcourse


class HuggingFaceEngine:
    def __init__(self, context_len=128):
        self.model, self.tokenizer = llmcourse.load()
        self.context_len = context_len

    def convert_to_inputs(self, messages, max_tokens):
        ids = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True
        )["input_ids"]
        max_input_tokens = self.context_len - max_tokens
        return torch.tensor([ids[-max_input_tokens:]])

    @torch.inference_mode()
    def create_chat_completion(self, messages, max_tokens=32):
        ids = self.convert_to_inputs(messages, max_tokens)
        made = self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_tokens,
            do_sample=False,
        )
        return self.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)


engine = HuggingFaceEngine()
question = [{"role": "user", "content": "What is the capital of France?"}]
print(engine.create_chat_completion(question))
print(engine.create_chat_completion(question, max_tokens=256))
