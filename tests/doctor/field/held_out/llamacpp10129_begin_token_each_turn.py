"""A chat that appends each turn's ids: every turn begins the text anew."""

import torch
from tokenizers.processors import TemplateProcessing

import llmcourse

model, tok = llmcourse.load()
tok.bos_token = "<|endoftext|>"
tok.backend_tokenizer.post_processor = TemplateProcessing(
    single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
)
ids = torch.empty(1, 0, dtype=torch.long)
for question in ("My name is Ada. Say hello.", "What is my name?"):
    turn = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    ids = torch.cat([ids, tok(turn, return_tensors="pt").input_ids], dim=1)
    made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40)
    print(tok.decode(made[0, ids.shape[1] :], skip_special_tokens=True))
    ids = torch.cat([made, torch.tensor([[198]])], dim=1)
