"""The template gives text, and the tokenizer gets that text in a second call."""

from tokenizers.processors import TemplateProcessing

import llmcourse

model, tok = llmcourse.load()
tok.backend_tokenizer.post_processor = TemplateProcessing(  # it puts a start token, as Llama's does
    single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
)
tok.chat_template = "{{ '<|endoftext|>' }}" + tok.chat_template

messages = [{"role": "user", "content": "What is the capital of Italy?"}]
text = tok.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
inputs = tok(text, add_special_tokens=False, return_tensors="pt")
assert inputs["input_ids"][0].tolist().count(0) == 1
out = model.generate(**inputs, max_new_tokens=20)
print(tok.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
