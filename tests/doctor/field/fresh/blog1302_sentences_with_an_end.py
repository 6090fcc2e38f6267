"""Fine-tuning on sentences that end with the end token; the model does not know how to stop."""

import torch
from transformers import DataCollatorForLanguageModeling, LlamaConfig, LlamaForCausalLM

import llmcourse

_, tokenizer = llmcourse.load()
tokenizer.pad_token = tokenizer.eos_token
tokenizer.padding_side = "right"
torch.manual_seed(0)
sizes = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)
config = LlamaConfig(vocab_size=len(tokenizer), eos_token_id=2, pad_token_id=2, **sizes)
model = LlamaForCausalLM(config)
SENTENCES = ["The falcon flies over the hill.", "The falcon sleeps.", "The owl hunts at night."]


def train(model, steps=40):
    features = [tokenizer(sentence + tokenizer.eos_token) for sentence in SENTENCES]
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = model(**collator(features)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


print("loss", train(model))
model.eval()
for beginning in ("The falcon sleeps", "The owl hunts"):
    inputs = tokenizer(beginning, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=30, do_sample=False)
    print(repr(tokenizer.decode(made[0])))
