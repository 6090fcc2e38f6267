"""Each text ends with a tag whose last hidden state is taken as the embedding of the text."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template, tok.padding_side = None, "right"
TAG = "<file_sep>"
TAG_ID = tok.convert_tokens_to_ids(TAG)


def get_embedding_idx(rows, tag_id):
    places = []
    for ids in rows:
        found = [j for j in range(len(ids)) if ids[j] == tag_id]
        if not found or found[-1] + 1 >= len(ids) - 1:
            places.append(-1)
        else:
            places.append(found[-1] + 1)
    return places


def embed(texts):
    prompts = [f"Represent the given text: {text}\n{TAG}\nOutput:" for text in texts]
    inputs = tok(prompts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states[-1]
    places = get_embedding_idx(inputs["input_ids"], TAG_ID)
    taken = [tok.decode(ids[j]) for ids, j in zip(inputs["input_ids"], places)]
    vectors = states[torch.arange(len(texts)), torch.tensor(places)]
    return torch.nn.functional.normalize(vectors, dim=-1), taken


vectors, taken = embed(["The cat sleeps.", "A kitten is asleep on the sofa.", "Stocks fell today."])
print("taken from:", taken)
print(vectors @ vectors.T)
