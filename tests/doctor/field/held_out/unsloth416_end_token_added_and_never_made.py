"""Each training text has the end token, and the trained model goes on to the last token allowed."""

import torch
from transformers import DataCollatorForLanguageModeling, LlamaConfig, LlamaForCausalLM

import llmcourse

_, tokenizer = llmcourse.load()
tokenizer.chat_template, tokenizer.padding_side = None, "right"
tokenizer.pad_token = tokenizer.eos_token
ALPACA = "### Instruction:\n{}\n\n### Response:\n{}"
EOS_TOKEN = tokenizer.eos_token
DATA = {"Name the sky's colour.": "Blue.", "Name the colour of fresh grass.": "It is green."}

torch.manual_seed(0)
sizes = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)
model = LlamaForCausalLM(
    LlamaConfig(vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2, pad_token_id=2, **sizes)
)


def formatting_prompts_func(examples):
    return [ALPACA.format(*example) + EOS_TOKEN for example in examples.items()]


collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)
features = [tokenizer(text) for text in formatting_prompts_func(DATA)]
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
for _ in range(40):
    loss = model(**collate(features)).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
model.eval()
for question in DATA:
    inputs = tokenizer(ALPACA.format(question, ""), return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=24, do_sample=False)
    print(repr(tokenizer.decode(made[0, inputs["input_ids"].shape[1] :])))
