"""Loops by hand around a model, for test_static.py: faulty lines and sound ones."""

IDS = "ids = inputs.input_ids\n"
_BEAMS = """\
ids = inputs.input_ids.repeat(4, 1)
out = model(ids, use_cache=True)
scores = torch.zeros(4)
with torch.no_grad():
    for _ in range(9):
        out = model(ids[:, -1:], past_key_values=out.past_key_values, use_cache=True)
        steps = out.logits[:, -1].log_softmax(-1) + scores[:, None]
        scores, best = steps.flatten().topk(4)
        parent, token = best // steps.shape[1], best % steps.shape[1]
        {cache}
        ids = torch.cat([ids[parent], token[:, None]], dim=1)
"""
_GAP = """\
{before}out = model(**inputs, past_key_values=cache)
for layer in cache.layers:
    layer.keys = torch.cat([layer.keys[:, :, :{first}], layer.keys[:, :, {last}]], dim=2)
"""

# What is wrong, in a line or a few: the code, by what somebody wrote.
FAULTY = {
    "all ids beside a cache": (
        "text-fed-again",
        IDS + "past=None\n"
        "for _ in range(5):\n"
        "    out = model(ids, past_key_values=past, use_cache=True)\n"
        "    past = out.past_key_values\n"
        "    t = out.logits[:, -1:].argmax(-1)\n"
        "    ids = torch.cat([ids, t], dim=1)",
    ),
    "guesses that stay in the cache": (
        "cache-keeps-rejected",
        IDS + "draft=tokenizer('b', return_tensors='pt').input_ids\n"
        "out = model(torch.cat([ids, draft], dim=1), use_cache=True)\n"
        "cache = out.past_key_values\n"
        "new = out.logits[:, ids.shape[1] - 1].argmax(-1, keepdim=True)\n"
        "for _ in range(8):\n"
        "    out = model(new, past_key_values=cache, use_cache=True)\n"
        "    cache, new = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)",
    ),
    "the last place of rows padded on the right": (
        "logits-of-padding",
        IDS + "tokenizer.padding_side='right'\n"
        "b = tokenizer(['a','b c'], padding=True, return_tensors='pt')\n"
        "logits = model(**b).logits\n"
        "t = logits[:, -1, :].argmax(-1)",
    ),
    "the last place of rows that pad_sequence padded": (
        "logits-of-padding",
        IDS + "rows=[torch.tensor(tokenizer.encode(t)) for t in 'ab']\n"
        "x = pad_sequence(rows, batch_first=True)\n"
        "mask=(x!=0)\n"
        "logits = model(x, attention_mask=mask).logits\n"
        "print(logits[:, -1, :].argmax(-1))",
    ),
    "the last hidden state of rows padded on the right": (
        "logits-of-padding",
        IDS + "tokenizer.padding_side='right'\n"
        "b = tokenizer(['a','b c'], padding=True, return_tensors='pt')\n"
        "h = model(**b, output_hidden_states=True).hidden_states[-1]\n"
        "e = h[:, -1]",
    ),
    "hidden states of several layers of rows padded on the right": (
        "logits-of-padding",
        IDS + "tokenizer.padding_side='right'\n"
        "b = tokenizer(['a','b c'], padding=True, return_tensors='pt')\n"
        "out = model(**b, output_hidden_states=True)\n"
        "for layer in (2, 4):\n    e = out.hidden_states[layer][:, -1]",
    ),
    "a batch that ends with any row": (
        "one-row-ends-all",
        IDS + "b = tokenizer(texts, padding=True)\n"
        "ids=b.input_ids\n"
        "for _ in range(5):\n"
        "    t = model(ids).logits[:, -1].argmax(-1)\n"
        "    ids = torch.cat([ids, t[:, None]], 1)\n"
        "    if (t == tokenizer.eos_token_id).any():\n"
        "        break",
    ),
    "a batch that ends with the first row": (
        "one-row-ends-all",
        IDS + "b = tokenizer(texts, padding=True)\n"
        "ids=b.input_ids\n"
        "for _ in range(5):\n"
        "    t = model(ids).logits[:, -1].argmax(-1)\n"
        "    ids = torch.cat([ids, t[:, None]], 1)\n"
        "    if t[0].item() == tokenizer.eos_token_id:\n"
        "        break",
    ),
    "a cache for all prompts": (
        "cache-of-another-prompt",
        IDS + "cache = DynamicCache()\n"
        "for prompt in ['a','b']:\n"
        "    step = tokenizer(prompt, return_tensors='pt').input_ids\n"
        "    for _ in range(5):\n"
        "        out = model(step, past_key_values=cache)\n"
        "        step = out.logits[:, -1:].argmax(-1)",
    ),
    "what the last prompt left": (
        "cache-of-another-prompt",
        IDS + "past = None\n"
        "for prompt in ['a','b']:\n"
        "    step = tokenizer(prompt, return_tensors='pt').input_ids\n"
        "    for _ in range(5):\n"
        "        out = model(step, past_key_values=past)\n"
        "        past = out.past_key_values\n"
        "        step = out.logits[:, -1:].argmax(-1)",
    ),
    "a batch that ends with the end among its tokens": (
        "one-row-ends-all",
        IDS + "batch = tokenizer(['a', 'b c'], padding=True)\n"
        "ids = batch['input_ids']\n"
        "while ids.shape[1] < 50:\n"
        "    t = model(ids, attention_mask=torch.ones_like(ids)).logits[:, -1].argmax(-1)\n"
        "    ids = torch.cat([ids, t.unsqueeze(-1)], -1)\n"
        "    if tokenizer.eos_token_id in t:\n"
        "        break",
    ),
    "a batch that ends with a count of ends": (
        "one-row-ends-all",
        IDS + "texts = ['a', 'b c']\n"
        "ids = tokenizer(texts, padding=True).input_ids\n"
        "for _ in range(9):\n"
        "    t = model(ids).logits[:, -1].argmax(-1, keepdim=True)\n"
        "    ids = torch.cat([ids, t], -1)\n"
        "    if (t == tokenizer.eos_token_id).sum() > 0:\n"
        "        break",
    ),
    "a cache that each call goes on from": (
        "cache-of-another-prompt",
        IDS + "from transformers import DynamicCache\n"
        "cache = DynamicCache()\n"
        "def answer(text):\n"
        "    x = tokenizer(text, return_tensors='pt').input_ids\n"
        "    out = []\n"
        "    for _ in range(5):\n"
        "        r = model(x, past_key_values=cache)\n"
        "        x = r.logits[:, -1:].argmax(-1)\n"
        "        out.append(x)\n"
        "    return tokenizer.decode(torch.cat(out, 1)[0])\n"
        "for q in ('a', 'b'):\n"
        "    print(answer(q))",
    ),
    "a cache among the defaults": (
        "cache-of-another-prompt",
        IDS + "def answer(text, cache=DynamicCache()):\n"
        "    x = tokenizer(text, return_tensors='pt').input_ids\n"
        "    return model(x, past_key_values=cache)",
    ),
    "all ids beside a cache of a tuple": (
        "text-fed-again",
        IDS + "past = None\n"
        "for i in range(5):\n"
        "    logits, past = model(ids, past_key_values=past, return_dict=False)\n"
        "    ids = torch.cat((ids, logits[:, -1:].argmax(-1)), dim=-1)",
    ),
    "all of a list beside a cache": (
        "text-fed-again",
        IDS + "past, text = None, ids[0].tolist()\n"
        "for i in range(5):\n"
        "    fed = torch.tensor([text])\n"
        "    out = model(fed, past_key_values=past)\n"
        "    past = out.past_key_values\n"
        "    text.append(out.logits[0, -1].argmax().item())",
    ),
    "beams without their caches": ("cache-not-reordered", _BEAMS.format(cache="pass")),
    "the middle of a cache": (
        "cache-with-a-gap",
        _GAP.format(before="", first="4", last="-8:"),
    ),
    "ids that grow in a dictionary": (
        "mask-does-not-grow",
        """\
def greedy(prompt, n):
    inputs = tokenizer(prompt, return_tensors="pt")
    for _ in range(n):
        out = model(**inputs)
        nxt = out.logits[:, -1].argmax(-1, keepdim=True)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], nxt], dim=-1)
    return inputs
""",
    ),
    "the last token after the first step": (
        "cache-not-fed-back",
        """\
@torch.no_grad()
def gen(prompt, n):
    ids = tokenizer.encode(prompt, return_tensors="pt")
    for i in range(n):
        out = model(input_ids=ids[:, -1:] if i else ids, use_cache=True)
        tok = torch.argmax(out.logits[:, -1, :], dim=-1, keepdim=True)
        ids = torch.cat([ids, tok], dim=1)
    return tokenizer.decode(ids[0])
""",
    ),
    "a cache that stays None": (
        "cache-not-fed-back",
        """\
@torch.no_grad()
def gen(prompt, n):
    ids = tokenizer.encode(prompt, return_tensors="pt")
    past = None
    for i in range(n):
        out = model(ids, past_key_values=past, use_cache=True)
        tok = torch.argmax(out.logits[:, -1, :], dim=-1, keepdim=True)
        ids = tok
    return tokenizer.decode(ids[0])
""",
    ),
    "all ids beside the last pass's cache": (
        "text-fed-again",
        """\
def gen(model, ids, n):
    out = model(ids, use_cache=True)
    for _ in range(n):
        tok = out.logits[:, -1].argmax(-1, keepdim=True)
        ids = torch.cat([ids, tok], dim=1)
        out = model(ids, past_key_values=out.past_key_values)
    return ids
""",
    ),
    "all ids beside a cache object": (
        "text-fed-again",
        """\
from transformers import DynamicCache
def gen(model, ids, n):
    cache = DynamicCache()
    for _ in range(n):
        out = model(ids, past_key_values=cache, use_cache=True)
        tok = out.logits[:, -1].argmax(-1, keepdim=True)
        ids = torch.cat([ids, tok], dim=1)
    return ids
""",
    ),
    "a token joined along dim 0": (
        "cat-along-the-batch",
        """\
def gen(model, ids, n):
    for _ in range(n):
        logits = model(ids).logits[:, -1, :]
        tok = torch.argmax(logits, dim=-1, keepdim=True)
        ids = torch.cat([ids, tok], dim=0)
    return ids
""",
    ),
    "a token joined along no dim": (
        "cat-along-the-batch",
        """\
def gen(model, ids, n):
    for _ in range(n):
        logits = model(ids).logits[:, -1, :]
        tok = torch.argmax(logits, dim=-1, keepdim=True)
        ids = torch.cat((ids, tok))
    return ids
""",
    ),
    "logits of the first place in a loop": (
        "logits-of-another-place",
        """\
def gen(prompt, n):
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    for _ in range(n):
        logits = model(ids).logits
        tok = logits[:, 0, :].argmax(-1, keepdim=True)
        ids = torch.cat([ids, tok], dim=1)
""",
    ),
    "logits of the first place of a row": (
        "logits-of-another-place",
        """\
def gen(prompt):
    inputs = tokenizer(prompt, return_tensors="pt")
    out = model(**inputs)
    probs = out.logits[0, 0].softmax(-1)
    return probs.topk(5)
""",
    ),
    "logits of the vocabulary's last token": (
        "logits-of-another-place",
        """\
def gen(prompt):
    inputs = tokenizer(prompt, return_tensors="pt")
    nxt = model(**inputs).logits[:, :, -1]
    return torch.argmax(nxt, dim=-1)
""",
    ),
    "logits of the first place, index by index": (
        "logits-of-another-place",
        """\
inputs = tokenizer("a", return_tensors="pt")
outputs = model(**inputs)
token = torch.argmax(outputs.logits[0][0])
""",
    ),
    "rows that end in one step": (
        "ends-not-kept",
        """\
def gen(model, ids, n):
    for _ in range(n):
        token = model(ids).logits[:, -1].argmax(-1)
        ids = torch.cat([ids, token[:, None]], dim=1)
        if (token == tokenizer.eos_token_id).all():
            break
    return ids
batch = tokenizer(["a", "b c"], padding=True, return_tensors="pt")
gen(model, batch.input_ids, 5)
""",
    ),
    "rows that end in one step, by torch": (
        "ends-not-kept",
        """\
def gen(model, ids, n):
    for _ in range(n):
        token = model(ids).logits[:, -1].argmax(-1)
        ids = torch.cat([ids, token[:, None]], dim=1)
        if torch.all(token == tokenizer.eos_token_id):
            return ids
    return ids
batch = tokenizer(["a", "b c"], padding=True, return_tensors="pt")
gen(model, batch.input_ids, 5)
""",
    ),
    "one item of a batch": (
        "item-of-a-batch",
        """\
def gen(model, ids, n):
    for _ in range(n):
        token = model(ids).logits[:, -1].argmax(-1)
        ids = torch.cat([ids, token[:, None]], dim=1)
        if token.item() == tokenizer.eos_token_id:
            break
    return ids
batch = tokenizer(["a", "b c"], padding=True, return_tensors="pt")
gen(model, batch.input_ids, 5)
""",
    ),
    "choices that go on from one prefix's cache": (
        "cache-of-another-prompt",
        """\
prefix = tokenizer("You are", return_tensors="pt").input_ids
past = model(prefix, use_cache=True).past_key_values
for choice in (" good", " bad"):
    ids = tokenizer(choice, return_tensors="pt").input_ids
    logits = model(ids, past_key_values=past).logits
""",
    ),
    "answers that go on from one pass's cache": (
        "cache-of-another-prompt",
        """\
out = model(tokenizer("You are", return_tensors="pt").input_ids)
for answer in answers:
    logits = model(answer, past_key_values=out.past_key_values).logits
""",
    ),
    "two calls that go on from one cache": (
        "cache-of-another-prompt",
        """\
def run(prompt, past=None):
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    return model(ids, past_key_values=past, use_cache=True)
first = run("You are")
a = run(" good", first.past_key_values)
b = run(" bad", first.past_key_values)
""",
    ),
    "logits at the mask's sum": (
        "logits-of-another-place",
        """\
batch = tokenizer(["a", "b c"], padding=True, return_tensors="pt")
logits = model(**batch).logits
last = batch["attention_mask"].sum(1)
token = logits[torch.arange(2), last].argmax(-1)
""",
    ),
}

# What only looks like it.
SOUND = {
    "the new token beside a cache": IDS + "past=None\n"
    "step=ids\n"
    "for _ in range(5):\n"
    "    out = model(step, past_key_values=past, use_cache=True)\n"
    "    past = out.past_key_values\n"
    "    step = out.logits[:, -1:].argmax(-1)\n"
    "    ids = torch.cat([ids, step], dim=1)",
    "all ids first, then the new token": IDS + "past=None\n"
    "for _ in range(5):\n"
    "    out = model(ids[:, -1:] if past else ids, past_key_values=past, use_cache=True)\n"
    "    past = out.past_key_values\n"
    "    ids = torch.cat([ids, out.logits[:, -1:].argmax(-1)], dim=1)",
    "guesses that are cropped": IDS + "draft=tokenizer('b', return_tensors='pt').input_ids\n"
    "out = model(torch.cat([ids, draft], dim=1), use_cache=True)\n"
    "cache = out.past_key_values\n"
    "new = out.logits[:, ids.shape[1] - 1].argmax(-1, keepdim=True)\n"
    "cache.crop(-draft.shape[1])\n"
    "out = model(new, past_key_values=cache, use_cache=True)",
    "the last place of rows padded on the left": IDS + "tokenizer.padding_side='left'\n"
    "b = tokenizer(['a','b c'], padding=True, return_tensors='pt')\n"
    "logits = model(**b).logits\n"
    "t = logits[:, -1, :].argmax(-1)",
    "the last real place": IDS + "tokenizer.padding_side='right'\n"
    "b = tokenizer(['a','b c'], padding=True, return_tensors='pt')\n"
    "logits = model(**b).logits\n"
    "t = logits[torch.arange(2), b.attention_mask.sum(1)-1].argmax(-1)\n"
    "u = logits[:, :-1]",
    "a batch that ends with its last row": IDS + "b = tokenizer(texts, padding=True)\n"
    "ids=b.input_ids\n"
    "for _ in range(5):\n"
    "    t = model(ids).logits[:, -1].argmax(-1)\n"
    "    ids = torch.cat([ids, t[:, None]], 1)\n"
    "    if (ids == tokenizer.eos_token_id).any(1).all():\n"
    "        break",
    "a single text that ends": IDS + "for _ in range(5):\n"
    "    t = model(ids).logits[:, -1].argmax(-1)\n"
    "    ids = torch.cat([ids, t[:, None]], 1)\n"
    "    if (t == tokenizer.eos_token_id).any():\n"
    "        break",
    "a cache for each prompt": IDS + "for prompt in ['a','b']:\n"
    "    cache = DynamicCache()\n"
    "    step = tokenizer(prompt, return_tensors='pt').input_ids\n"
    "    for _ in range(5):\n"
    "        out = model(step, past_key_values=cache)\n"
    "        step = out.logits[:, -1:].argmax(-1)",
    "ids of a word as they should be": IDS
    + "yes = tokenizer(' Yes', add_special_tokens=False).input_ids[0]\n"
    "x = tokenizer('Yes', return_tensors='pt').input_ids[0]\n"
    "y=tokenizer.convert_tokens_to_ids('<|im_end|>')",
    "a cache in each call": IDS + "def answer(text):\n"
    "    cache = DynamicCache()\n"
    "    x = tokenizer(text, return_tensors='pt').input_ids\n"
    "    return model(x, past_key_values=cache)\n"
    "for q in ('a', 'b'):\n"
    "    answer(q)",
    "a cache for a chat": IDS + "cache = DynamicCache()\n"
    "def say(text):\n"
    "    messages.append({'role': 'user', 'content': text})\n"
    "    x = tokenizer(text, return_tensors='pt').input_ids\n"
    "    return model(x, past_key_values=cache)\n"
    "for q in ('a', 'b'):\n"
    "    say(q)",
    "a list beside a cache, its last alone": IDS + "past, text = None, ids[0].tolist()\n"
    "fed = ids\n"
    "for i in range(5):\n"
    "    out = model(fed, past_key_values=past)\n"
    "    past = out.past_key_values\n"
    "    text.append(out.logits[0, -1].argmax().item())\n"
    "    fed = torch.tensor([[text[-1]]])",
    "beams with their caches": _BEAMS.format(cache="out.past_key_values.reorder_cache(parent)"),
    "beams with caches by hand": _BEAMS.format(
        cache="past = [(k[parent], v[parent]) for k, v in out.past_key_values]"
    ),
    "beams without a cache": _BEAMS.format(cache="pass").replace(
        "ids[:, -1:], past_key_values=out.past_key_values, use_cache=True", "ids"
    ),
    "the end of a cache": _GAP.format(before="", first="4", last="4:").replace(
        "layer.keys[:, :, :4], layer.keys[:, :, 4:]", "layer.keys[:, :, 4:]"
    ),
    "a cache that is turned": _GAP.format(before="rotate = 1\n", first="4", last="-8:"),
    "two caches after one another": _GAP.format(before="", first="4", last="-8:").replace(
        "layer.keys[:, :, -8:]", "other.keys[:, :, -8:]"
    ),
    "a token joined to a row": """\
def gen(model, ids, n):
    for _ in range(n):
        tok = model(ids).logits[:, -1].argmax(-1, keepdim=True)
        ids = torch.cat([ids, tok], dim=1)
""",
    "a token joined to ids of one axis": """\
def gen(model, ids, n):
    for _ in range(n):
        tok = model(ids[None]).logits[0, -1].argmax(-1, keepdim=True)
        ids = torch.cat([ids, tok])
    rows = torch.cat([a, b], dim=0)
""",
    "logits of other places": """\
inputs = tokenizer("a", return_tensors="pt")
logits = model(**inputs).logits
t = logits[0, -1].argmax()
first = logits[0].argmax(-1)
lp = logits[:, :-1].log_softmax(-1)
x = logits[..., -1, :].argmax(-1)
""",
    "rows whose ends are kept": """\
def gen(model, ids, n):
    ended = torch.zeros(len(ids), dtype=torch.bool)
    for _ in range(n):
        token = model(ids).logits[:, -1].argmax(-1)
        ids = torch.cat([ids, token[:, None]], dim=1)
        ended |= token == tokenizer.eos_token_id
        if ended.all():
            break
    return ids
batch = tokenizer(["a", "b c"], padding=True, return_tensors="pt")
gen(model, batch.input_ids, 5)
""",
    "one row and its item": """\
def gen(model, ids, n):
    for _ in range(n):
        token = model(ids).logits[:, -1].argmax(-1)
        ids = torch.cat([ids, token[:, None]], dim=1)
        if token.item() == tokenizer.eos_token_id:
            break
    return ids
batch = tokenizer("a", return_tensors="pt")
gen(model, batch.input_ids, 5)
""",
    "one row and its end": """\
def gen(model, ids, n):
    for _ in range(n):
        token = model(ids).logits[:, -1].argmax(-1)
        ids = torch.cat([ids, token[:, None]], dim=1)
        if (token == tokenizer.eos_token_id).all():
            break
    return ids
batch = tokenizer("a", return_tensors="pt")
gen(model, batch.input_ids, 5)
""",
    "a prefix's cache that is copied": """\
past = model(tokenizer("You are", return_tensors="pt").input_ids).past_key_values
for choice in (" good", " bad"):
    ids = tokenizer(choice, return_tensors="pt").input_ids
    logits = model(ids, past_key_values=copy.deepcopy(past)).logits
""",
    "a cache from pass to pass": """\
out = model(tokenizer("You are", return_tensors="pt").input_ids)
for step in range(5):
    token = out.logits[:, -1].argmax(-1, keepdim=True)
    out = model(token, past_key_values=out.past_key_values)
""",
    "a cache that goes on with the questions": """\
out = model(tokenizer("You are", return_tensors="pt").input_ids)
past = out.past_key_values
for question in ("a", "b"):
    ids = tokenizer(question, return_tensors="pt").input_ids
    out = model(ids, past_key_values=past)
    past = out.past_key_values
""",
    "a cache in two arms": """\
out = model(tokenizer("You are", return_tensors="pt").input_ids)
if long:
    out = model(a, past_key_values=out.past_key_values)
else:
    out = model(b, past_key_values=out.past_key_values)
""",
    "logits before the mask's sum": """\
batch = tokenizer(["a", "b c"], padding=True, return_tensors="pt")
logits = model(**batch).logits
last = batch["attention_mask"].sum(1) - 1
token = logits[torch.arange(2), last].argmax(-1)
""",
    "a model of one's own that keeps its cache": """\
model.reset_kv_cache()
logits = model(ids, use_cache=True)
for _ in range(5):
    token = logits[:, -1].argmax(-1, keepdim=True)
    logits = model(token, use_cache=True)
""",
    "a dictionary whose mask grows too": """\
for _ in range(5):
    token = model(**inputs).logits[:, -1].argmax(-1, keepdim=True)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], token], dim=-1)
    ones = torch.ones_like(token)
    inputs["attention_mask"] = torch.cat([inputs["attention_mask"], ones], dim=-1)
""",
}
