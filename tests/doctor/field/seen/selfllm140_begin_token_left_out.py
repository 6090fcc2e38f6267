"""add_special_tokens=False from a tutorial: the model was trained with a begin token."""

from tokenizers.processors import TemplateProcessing

import llmcourse

model, tok = llmcourse.load()
tok.chat_template, tok.bos_token = None, "<|endoftext|>"  # a base model, as Llama 3 has it
tok.backend_tokenizer.post_processor = TemplateProcessing(
    single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
)
inputs = tok(["You are so cute!"], add_special_tokens=False, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=12)
print(inputs.input_ids.tolist(), tok.decode(made[0]))
