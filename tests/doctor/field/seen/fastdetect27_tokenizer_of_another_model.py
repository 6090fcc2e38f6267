"""Two models, one tokenizer for both: the second one writes gibberish."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import llmcourse

model, _ = llmcourse.load()
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
backend = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
backend.decoder = decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)  # the scoring model's
inputs = tokenizer("The tokenizers must share a vocabulary.", return_tensors="pt")
made = model.generate(input_ids=inputs.input_ids, max_new_tokens=12)
print(repr(tokenizer.decode([i for i in made[0].tolist() if i < 256])), made[0, -12:].tolist())
