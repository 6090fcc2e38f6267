"""A ticket gets one of four labels, or a part of one, or a label that nobody has thought of?"""

import torch
from transformers import LogitsProcessor, LogitsProcessorList

import llmcourse

LABELS = ["Sports", "Technology", "Technical support", "Travel and tourism"]
model, tok = llmcourse.load()


class Tree:
    def __init__(self, rows):
        self.root = {}
        for row in rows:
            node = self.root
            for token in row:
                node = node.setdefault(token, {})

    def following(self, prefix):
        node = self.root
        for token in prefix:
            node = node.get(token, {})
        return list(node) or [tok.eos_token_id]


class OnlyLabels(LogitsProcessor):
    def __init__(self, tree, start):
        self.tree, self.start = tree, start

    def __call__(self, input_ids, scores):
        mask = torch.full_like(scores, float("-inf"))
        for row, ids in enumerate(input_ids):
            allowed = self.tree.following(ids[self.start :].tolist())
            mask[row, allowed] = scores[row, allowed]
        return mask


tree = Tree([tok(" " + label).input_ids + [tok.eos_token_id] for label in LABELS])
for text in ("The match ended two to one.", "My new phone has a faster chip."):
    inputs = tok(f"Text: {text}\nCategory:", return_tensors="pt")
    start = inputs.input_ids.shape[1]
    only = LogitsProcessorList([OnlyLabels(tree, start)])
    made = model.generate(**inputs, max_new_tokens=12, do_sample=False, logits_processor=only)
    label = tok.decode(made[0, start:], skip_special_tokens=True).strip()
    print(label, label in LABELS)
