"""A conversation turned into a prompt, with the tokenizer out of a pretrained model's files."""

from transformers import PreTrainedTokenizerFast

import llmcourse

model, tok = llmcourse.load()
pretrained = PreTrainedTokenizerFast(  # what a tokenizer.json gives
    tokenizer_object=tok.backend_tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>"
)
chat = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there!"},
    {"role": "user", "content": "How are you?"},
]
formatted_chat = pretrained.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
inputs = pretrained(formatted_chat, add_special_tokens=False, return_tensors="pt")
out = model.generate(**inputs, max_new_tokens=20)
print(pretrained.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
