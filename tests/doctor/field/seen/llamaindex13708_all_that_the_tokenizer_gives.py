"""A local model behind the interface of a retrieval framework; the first query does not come through."""

from transformers import AutoTokenizer

import llmcourse


class LocalLLM:
    def __init__(
        self,
        model,
        tokenizer,
        max_new_tokens=16,
        tokenizer_outputs_to_remove=None,
        **generate_kwargs,
    ):
        self.model, self.tokenizer = model, tokenizer
        self.max_new_tokens = max_new_tokens
        self.outputs_to_remove = tokenizer_outputs_to_remove or []
        self.generate_kwargs = generate_kwargs

    def complete(self, prompt):
        inputs = self.tokenizer(prompt, return_tensors="pt").to(self.model.device)
        for key in self.outputs_to_remove:
            inputs.pop(key, None)
        tokens = self.model.generate(
            **inputs, max_new_tokens=self.max_new_tokens, **self.generate_kwargs
        )
        completion = tokens[0][inputs["input_ids"].size(1) :]
        return self.tokenizer.decode(completion, skip_special_tokens=True)


model, _ = llmcourse.load()
tokenizer = AutoTokenizer.from_pretrained(
    model.name_or_path, model_input_names=["input_ids", "token_type_ids", "attention_mask"]
)
llm = LocalLLM(model, tokenizer, do_sample=False)
print(
    llm.complete("Context: Lena has a cat called Mo.\nQuestion: What is the cat called?\nAnswer:")
)
