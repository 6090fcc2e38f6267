"""max_length=30 in a pipeline, and the texts are several times as long."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel, pipeline, set_seed

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 512}
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tok), **sizes)).eval()
generator = pipeline("text-generation", model=model, tokenizer=tok)
set_seed(42)
made = generator("Hello, I'm a language model,", max_length=30, num_return_sequences=2)
print([len(tok(one["generated_text"]).input_ids) for one in made])
