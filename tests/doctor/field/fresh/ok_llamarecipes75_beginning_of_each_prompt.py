"""The beginning of the prompts is computed once; are its tokens needed in the later calls?"""

import copy

import torch
from transformers import DynamicCache

import llmcourse

model, tokenizer = llmcourse.load()
INITIAL_PROMPT = "Anna sells bread in Oslo. Bruno sells lamps in Rome.\n"

inputs = tokenizer(INITIAL_PROMPT, return_tensors="pt")
with torch.no_grad():
    prompt_cache = DynamicCache(config=model.config)
    prompt_cache = model(**inputs, past_key_values=prompt_cache).past_key_values

for prompt in ("The man from Rome sells", "The woman lives in"):
    new_inputs = tokenizer(INITIAL_PROMPT + prompt, return_tensors="pt")
    width = new_inputs.input_ids.shape[1]
    assert torch.equal(new_inputs.input_ids[:, : inputs.input_ids.shape[1]], inputs.input_ids)
    past_key_values = copy.deepcopy(prompt_cache)
    outputs = model.generate(
        **new_inputs, past_key_values=past_key_values, max_new_tokens=12, do_sample=False
    )
    plain = model.generate(**new_inputs, max_new_tokens=12, do_sample=False)
    print(repr(tokenizer.decode(outputs[0, width:])), torch.equal(outputs, plain))
