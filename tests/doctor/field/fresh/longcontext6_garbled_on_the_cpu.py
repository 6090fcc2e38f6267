"""A downloaded chat model writes garbled text, with the settings that its authors recommend."""

import copy
import tempfile

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

import llmcourse


def publish(folder):  # stands for what the authors have put on the hub
    base, tok = llmcourse.load()
    tuned = copy.deepcopy(base)
    torch.manual_seed(0)
    with torch.no_grad():
        for mine, theirs in zip(tuned.parameters(), base.parameters()):
            mine.add_(torch.randn_like(mine) * 1e-4)
            mine.sub_(theirs)
    tuned.to(torch.bfloat16).save_pretrained(folder + "/giraffe-delta-135m")
    return folder + "/giraffe-delta-135m", tok


with tempfile.TemporaryDirectory() as folder:
    path, tokenizer = publish(folder)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
generation_config = GenerationConfig(
    do_sample=True,
    temperature=0.2,
    top_k=50,
    top_p=0.95,
    repetition_penalty=1.2,
    pad_token_id=tokenizer.eos_token_id,
    eos_token_id=tokenizer.eos_token_id,
    max_new_tokens=24,
)
for prompt in ["Write a program that counts the words of a file.", "Name three trees."]:
    messages = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    batch = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    made = model.generate(**batch, generation_config=generation_config)
    print(tokenizer.decode(made[0, batch.input_ids.shape[1] :], skip_special_tokens=True))
