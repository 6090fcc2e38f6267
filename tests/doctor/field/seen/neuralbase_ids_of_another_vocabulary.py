"""Model and tokenizer, each from its own folder; the answer has nothing to do with the question."""

import tempfile

from tokenizers import ByteLevelBPETokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

import llmcourse


def folder_of_the_tokenizer():
    bpe = ByteLevelBPETokenizer()
    texts = ["The capital of France is Paris.", "What is the capital of Italy? Rome."] * 50
    bpe.train_from_iterator(texts, vocab_size=400, special_tokens=["<s>", "</s>"])
    folder = tempfile.mkdtemp()
    PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    return folder


model_id = llmcourse.load()[0].name_or_path
tokenizer_id = folder_of_the_tokenizer()

tokenizer = AutoTokenizer.from_pretrained(tokenizer_id)
model = AutoModelForCausalLM.from_pretrained(model_id)
inputs = tokenizer("The capital of France is", return_tensors="pt")
made = model.generate(
    input_ids=inputs.input_ids,
    attention_mask=inputs.attention_mask,
    max_new_tokens=12,
    do_sample=False,
)
print(tokenizer.decode(made[0]))
