"""Evaluating a fine-tuned model on the test prompts: some of the cases end with an error."""

import tempfile

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

import llmcourse

_, tokenizer = llmcourse.load()
tokenizer.chat_template = None


def trained_model(folder):  # stands for the checkpoint that the training has left
    torch.manual_seed(0)
    sizes = dict(hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4)
    config = LlamaConfig(vocab_size=len(tokenizer), eos_token_id=2, pad_token_id=2, **sizes)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    mlp = model.model.layers[0].mlp
    mlp.up_proj.weight.data *= 1e3
    mlp.down_proj.weight.data *= 1e5
    model.save_pretrained(folder)
    return folder


def main(model_name_or_path):
    load_type = torch.float16
    model = AutoModelForCausalLM.from_pretrained(model_name_or_path, dtype=load_type).eval()
    for case in ("Human: What is 3 + 4?\nAssistant:", "Human: Halve 18.\nAssistant:"):
        inputs = tokenizer(case, return_tensors="pt")
        try:
            made = model.generate(**inputs, max_new_tokens=10, do_sample=True, top_k=30)
            print(repr(tokenizer.decode(made[0, inputs["input_ids"].shape[1] :])))
        except RuntimeError as error:
            print("failed:", error)


with tempfile.TemporaryDirectory() as folder:
    main(trained_model(folder))
