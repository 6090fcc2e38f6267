"""Completed functions do not run: their first line stands one column off."""

import ast

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessor, PreTrainedTokenizerFast

PROMPT = "def add(a, b):\n"
CODE = PROMPT + "    total = a + b\n    return total\n"


class Says(LogitsProcessor):  # a model that has learned this function
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
bpe.decoder = decoders.Metaspace(prepend_scheme="always")
bpe.train_from_iterator([CODE] * 9, trainers.BpeTrainer(special_tokens=["</s>"], vocab_size=90))
tok = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>", pad_token="</s>")
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=len(tok),
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    bos_token_id=None,
    eos_token_id=0,
    pad_token_id=0,
)
model = LlamaForCausalLM(config).eval()

inputs = tok(PROMPT, return_tensors="pt", return_token_type_ids=False)
size = inputs["input_ids"].shape[1]
said = [*tok(CODE).input_ids[size:], 0]
made = model.generate(**inputs, max_new_tokens=40, do_sample=False, logits_processor=[Says(said)])
completion = tok.decode(made[0, size:], skip_special_tokens=True)
print(PROMPT + completion)
ast.parse(PROMPT + completion)
