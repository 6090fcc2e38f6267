"""The story cloze script for a GPT: start, delimiter and classify tokens around each story."""

import torch

import llmcourse

model, tok = llmcourse.load()
special_tokens = ["_start_", "_delimiter_", "_classify_"]
tok.add_tokens(special_tokens, special_tokens=True)
model.config.num_special_tokens = len(special_tokens)
start, delimiter, classify = tok.convert_tokens_to_ids(special_tokens)


def encode(story, ending, input_len=40):
    ids = tok(story).input_ids[: input_len // 2], tok(ending).input_ids[: input_len // 4]
    return torch.tensor([[start, *ids[0], delimiter, *ids[1], classify]])


story = "Tom was hungry. He went to the kitchen and took bread and cheese."
for ending in ("He made himself a sandwich.", "He drove his car into the sea."):
    input_ids = encode(story, ending)
    with torch.no_grad():
        loss = model(input_ids, labels=input_ids).loss
    print(ending, -loss.item())
