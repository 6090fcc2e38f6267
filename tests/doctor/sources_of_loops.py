"""Loops of one's own, draws, scores and readings of an output: wrong in the source, or sound."""

IDS = "ids = inputs.input_ids\n"

# What is wrong, in a line or a few: the code, by what somebody wrote.
FAULTY = {
    "chances over the batch": (
        "over-the-wrong-axis",
        IDS + "p = model(ids).logits[:, -1].softmax(0)",
    ),
    "chances over the places": (
        "over-the-wrong-axis",
        IDS + "logits = model(ids).logits\np = torch.softmax(logits, dim=1)",
    ),
    "one argmax of all places": (
        "over-the-wrong-axis",
        IDS + "logits = model(ids).logits\nt = logits.argmax()",
    ),
    "an argmax over the batch": (
        "over-the-wrong-axis",
        IDS + "out = model(**inputs)\n"
        "logits = out.logits[:, -1, :]\n"
        "t = torch.argmax(logits, dim=0)",
    ),
    "a draw by logits": (
        "draw-from-logits",
        IDS + "logits = model(ids).logits[:, -1] / 0.7\nt = torch.multinomial(logits, 1)",
    ),
    "a draw by log-chances": (
        "draw-from-logits",
        IDS + "lp = F.log_softmax(model(ids).logits[:, -1], -1)\nt = torch.multinomial(lp, 1)",
    ),
    "a softmax of a softmax": (
        "softmax-twice",
        IDS + "p = F.softmax(model(ids).logits[:, -1], -1)\nq = F.softmax(p, dim=-1)",
    ),
    "a temperature that multiplies": (
        "temperature-misapplied",
        IDS + "temperature=.7\n"
        "logits = model(ids).logits[:, -1] * temperature\n"
        "t=torch.multinomial(logits.softmax(-1),1)",
    ),
    "a temperature after the softmax": (
        "temperature-misapplied",
        IDS + "temperature=.7\n"
        "p = model(ids).logits[:, -1].softmax(-1) / temperature\n"
        "t=torch.multinomial(p,1)",
    ),
    "a temperature before an argmax": (
        "temperature-misapplied",
        IDS + "def f(logits, temperature):\n"
        "    logits = logits / temperature\n"
        "    probs = F.softmax(logits, dim=-1)\n"
        "    return torch.argmax(probs, dim=-1)",
    ),
    "a place among the top k": (
        "place-taken-for-id",
        IDS + "logits = model(ids).logits[:, -1]\n"
        "v, i = torch.topk(logits, 50)\n"
        "p = F.softmax(v, -1)\n"
        "t = torch.multinomial(p, 1)\n"
        "ids = torch.cat([ids, t], 1)",
    ),
    "a nucleus from the smallest on": (
        "top-p-misbuilt",
        IDS + "def f(logits, top_p):\n"
        "    s, i = torch.sort(logits)\n"
        "    c = torch.cumsum(F.softmax(s, dim=-1), dim=-1)\n"
        "    r = c > top_p\n"
        "    r[..., 1:] = r[..., :-1].clone()\n"
        "    r[..., 0] = 0\n"
        "    m = r.scatter(1, i, r)\n"
        "    logits[m] = -float('inf')\n"
        "    return logits",
    ),
    "a nucleus in the sorted order": (
        "top-p-misbuilt",
        IDS + "def f(logits, top_p):\n"
        "    s, i = torch.sort(logits, descending=True)\n"
        "    c = torch.cumsum(F.softmax(s, dim=-1), dim=-1)\n"
        "    r = c > top_p\n"
        "    r[..., 1:] = r[..., :-1].clone()\n"
        "    r[..., 0] = 0\n"
        "    logits[r] = -float('inf')\n"
        "    return logits",
    ),
    "a nucleus without its last token": (
        "top-p-misbuilt",
        IDS + "def f(logits, top_p):\n"
        "    s, i = torch.sort(logits, descending=True)\n"
        "    c = torch.cumsum(F.softmax(s, dim=-1), dim=-1)\n"
        "    s[c > top_p] = -float('inf')\n"
        "    return s.softmax(-1), i",
    ),
    "the top k removed": (
        "top-k-misbuilt",
        IDS + "def f(logits, k):\n"
        "    v, _ = torch.topk(logits, k)\n"
        "    logits[logits > v[:, [-1]]] = -float('Inf')\n"
        "    return logits",
    ),
    "a logit of 0": (
        "removed-by-zero",
        IDS + "logits = model(ids).logits[:, -1]\nlogits[:, 5] = 0\np=logits.softmax(-1)",
    ),
    "a penalty that divides all logits": (
        "penalty-divides-negative",
        IDS + "logits = model(ids).logits[0, -1]\n"
        "for t in set(ids[0].tolist()):\n"
        "    logits[t] /= repetition_penalty",
    ),
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
    "padding among the labels": (
        "padding-in-the-loss",
        IDS + "b = tokenizer(['a','b c'], padding=True, return_tensors='pt')\n"
        "loss = model(**b, labels=b['input_ids']).loss",
    ),
    "labels moved by one": (
        "labels-shifted-twice",
        IDS + "loss = model(ids[:, :-1], labels=ids[:, 1:]).loss",
    ),
    "labels moved by one, by name": (
        "labels-shifted-twice",
        IDS + "x = ids[:, :-1].contiguous()\n"
        "y = ids[:, 1:].contiguous()\n"
        "loss = model(input_ids=x, labels=y).loss",
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
    "a misspelt argument of decode": (
        "decode-argument-unknown",
        IDS + "out = model.generate(**inputs, max_new_tokens=5)\n"
        "t = tokenizer.decode(out[0], skip_special_token=True)",
    ),
    "a misspelt argument of batch_decode": (
        "decode-argument-unknown",
        IDS + "out = model.generate(**inputs, max_new_tokens=5)\n"
        "t = tokenizer.batch_decode(out, skip_specials_tokens=True)",
    ),
    "ids cut by characters": (
        "answer-cut-elsewhere",
        IDS + "prompt='hello you'\n"
        "inputs = tokenizer(prompt, return_tensors='pt')\n"
        "out = model.generate(**inputs, max_new_tokens=5)\n"
        "t = tokenizer.decode(out[0][len(prompt):])",
    ),
    "ids of a tensor cut by characters": (
        "answer-cut-elsewhere",
        IDS + "prompt='hello you'\n"
        "inputs = tokenizer(prompt, return_tensors='pt')\n"
        "out = model.generate(**inputs, max_new_tokens=5)\n"
        "t = tokenizer.decode(out[0, len(prompt):])",
    ),
    "ids cut by the number of prompts": (
        "answer-cut-elsewhere",
        IDS + "prompt='hello you'\n"
        "inputs = tokenizer(prompt, return_tensors='pt')\n"
        "out = model.generate(**inputs, max_new_tokens=5)\n"
        "t = tokenizer.decode(out[0][len(inputs['input_ids']):])",
    ),
    "ids cut by the number of fields": (
        "answer-cut-elsewhere",
        IDS + "prompt='hello you'\n"
        "inputs = tokenizer(prompt, return_tensors='pt')\n"
        "out = model.generate(**inputs, max_new_tokens=5)\n"
        "t = tokenizer.decode(out[0][len(inputs):])",
    ),
    "ids cut without padding": (
        "answer-cut-elsewhere",
        IDS + "b=tokenizer(['a','b c'], padding=True, return_tensors='pt')\n"
        "out=model.generate(**b)\n"
        "for i in range(2):\n"
        "    print(tokenizer.decode(out[i, b.attention_mask[i].sum():]))",
    ),
    "split at a mark that was skipped": (
        "split-by-a-mark",
        IDS + "out = model.generate(**inputs, max_new_tokens=5)\n"
        "t = tokenizer.decode(out[0], skip_special_tokens=True)\n"
        "a = t.split('<|im_start|>assistant')[-1]",
    ),
    "split at a role's name": (
        "split-by-a-mark",
        IDS + "out = model.generate(**inputs, max_new_tokens=5)\n"
        "t = tokenizer.decode(out[0], skip_special_tokens=True)\n"
        "a = t.split('assistant')[1]",
    ),
    "split at a role's line": (
        "split-by-a-mark",
        IDS + "out = model.generate(**inputs, max_new_tokens=5)\n"
        "t = tokenizer.batch_decode(out)[0]\n"
        "a = t.split('assistant\\n')[-1].strip()",
    ),
    "scores cut by the prompt": (
        "scores-begin-after-prompt",
        IDS + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
        "s = made.scores[inputs.input_ids.shape[1]:]",
    ),
    "scores beside the whole row": (
        "scores-begin-after-prompt",
        IDS + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
        "for t, s in zip(made.sequences[0], made.scores):\n"
        "    print(t, s)",
    ),
    "scores by the whole row's places": (
        "scores-begin-after-prompt",
        IDS + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
        "for i, t in enumerate(made.sequences[0]):\n"
        "    print(made.scores[i][0, t])",
    ),
    "raw transition scores": (
        "transition-scores-raw",
        IDS + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
        "s = model.compute_transition_scores(made.sequences, made.scores)\n"
        "print(torch.exp(s))",
    ),
    "transition scores of other beams": (
        "transition-scores-raw",
        IDS + "made = model.generate(\n"
        "    **inputs, num_beams=4, output_scores=True, return_dict_in_generate=True\n"
        ")\n"
        "s = model.compute_transition_scores(made.sequences, made.scores)",
    ),
    "words per second": (
        "words-counted-as-tokens",
        IDS + "import time\n"
        "t0=time.time()\n"
        "out = model.generate(**inputs, max_new_tokens=5)\n"
        "elapsed=time.time()-t0\n"
        "text=tokenizer.decode(out[0])\n"
        "print(f'{len(text.split()) / elapsed:.1f} tokens/s')",
    ),
    "words called tokens": (
        "words-counted-as-tokens",
        IDS + "out = model.generate(**inputs, max_new_tokens=5)\n"
        "text=tokenizer.decode(out[0])\n"
        "num_tokens = len(text.split())",
    ),
    "the first id of a word": (
        "first-id-of-a-word",
        IDS + "yes = tokenizer('Yes').input_ids[0]",
    ),
    "the first id of a word, encoded": (
        "first-id-of-a-word",
        IDS + "yes = tokenizer.encode('Yes')[0]",
    ),
    "a token with a space, by name": (
        "first-id-of-a-word",
        IDS + "yes = tokenizer.convert_tokens_to_ids(' yes')",
    ),
    "prompts beside their several rows": (
        "rows-per-prompt",
        IDS + "prompts=['a','b']\n"
        "b=tokenizer(prompts, padding=True)\n"
        "out=model.generate(**b, num_return_sequences=3, do_sample=True)\n"
        "texts=tokenizer.batch_decode(out)\n"
        "for p, t in zip(prompts, texts): print(p,t)",
    ),
    "windows with a stride": (
        "windows-overlap",
        IDS + "for b in range(0, n, stride):\n"
        "    x = ids[:, b:b+max_length]\n"
        "    l = model(x, labels=x).loss",
    ),
    "a temperature called T after the softmax": (
        "temperature-misapplied",
        IDS + "T = 0.7\n"
        "probs = F.softmax(model(ids).logits[0, -1], dim=-1)\n"
        "probs = probs / T\n"
        "probs = probs / probs.sum()\n"
        "next_id = torch.multinomial(probs, 1)",
    ),
    "a temperature before the largest chance": (
        "temperature-misapplied",
        IDS + "temperature = 1.5\n"
        "logits = model(ids).logits[:, -1, :] / temperature\n"
        "probs = logits.softmax(-1)\n"
        "value, token = probs.max(dim=-1)",
    ),
    "a temperature before a top-k of 1": (
        "temperature-misapplied",
        IDS + "temperature = 1.5\n"
        "logits = model(ids).logits[:, -1, :] / temperature\n"
        "token = logits.softmax(-1).topk(1).indices",
    ),
    "a draw of numpy by logits": (
        "draw-from-logits",
        IDS + "import numpy as np\n"
        "logits = model(ids).logits[0, -1].detach().numpy()\n"
        "t = np.random.choice(len(logits), p=logits)",
    ),
    "a draw of Python by logits": (
        "draw-from-logits",
        IDS + "import random\n"
        "logits = model(ids).logits[0, -1].tolist()\n"
        "t = random.choices(range(len(logits)), weights=logits)[0]",
    ),
    "a place among the top values, by item": (
        "place-taken-for-id",
        IDS + "import numpy as np\n"
        "logits = model(ids).logits[0, -1]\n"
        "probs = logits.softmax(-1)\n"
        "top = torch.topk(probs, 5)\n"
        "choice = torch.multinomial(top.values, 1).item()\n"
        "ids = torch.cat([ids, torch.tensor([[choice]])], dim=1)",
    ),
    "what is kept of a nucleus from the smallest on": (
        "top-p-misbuilt",
        IDS + "probs = model(ids).logits[0, -1].softmax(-1)\n"
        "sorted_p, idx = torch.sort(probs)\n"
        "cum = torch.cumsum(sorted_p, 0)\n"
        "keep = cum <= 0.9",
    ),
    "what is kept without the last token": (
        "top-p-misbuilt",
        IDS + "def nucleus(probs, p):\n"
        "    sorted_p, idx = torch.sort(probs, descending=True)\n"
        "    cum = torch.cumsum(sorted_p, dim=-1)\n"
        "    keep = cum <= p\n"
        "    sorted_p[~keep] = 0\n"
        "    return idx[torch.multinomial(sorted_p / sorted_p.sum(), 1)]",
    ),
    "ids that are kept without the last one": (
        "top-p-misbuilt",
        IDS + "def nucleus(probs, p):\n"
        "    sorted_p, idx = torch.sort(probs, descending=True)\n"
        "    cum = torch.cumsum(sorted_p, dim=-1)\n"
        "    cand = idx[cum <= p]\n"
        "    return cand[torch.multinomial(probs[cand], 1)]",
    ),
    "a penalty on all that was written": (
        "penalty-divides-negative",
        IDS + "rep_pen = 1.3\nlogits = model(ids).logits[:, -1]\nlogits[0, ids[0]] /= rep_pen",
    ),
    "a penalty that is a number": (
        "penalty-divides-negative",
        IDS + "logits = model(ids).logits[0, -1]\nfor t in ids[0].tolist():\n    logits[t] /= 1.2",
    ),
    "a loss over padding": (
        "padding-in-the-loss",
        IDS + "batch = tokenizer(['a', 'a b c'], padding=True)\n"
        "logits = model(**batch).logits[:, :-1]\n"
        "labels = batch.input_ids[:, 1:]\n"
        "loss = F.cross_entropy(logits.reshape(-1, logits.size(-1)), labels.reshape(-1))\n"
        "print(loss.exp())",
    ),
    "chances summed over padding": (
        "padding-in-the-loss",
        IDS + "batch = tokenizer(['a', 'a b c'], padding=True)\n"
        "logp = model(**batch).logits[:, :-1].log_softmax(-1)\n"
        "labels = batch.input_ids[:, 1:]\n"
        "scores = logp.gather(2, labels.unsqueeze(-1)).squeeze(-1).sum(1)\n"
        "print(scores)",
    ),
    "chances at their own places": (
        "logits-not-shifted",
        IDS + "logits = model(ids).logits\n"
        "lp = logits.log_softmax(-1)\n"
        "out = []\n"
        "for i, t in enumerate(ids[0]):\n"
        "    out.append(lp[0, i, t].item())",
    ),
    "chances of a range at their own places": (
        "logits-not-shifted",
        IDS + "lp = model(ids).logits.log_softmax(-1)\n"
        "score = lp[0, torch.arange(ids.shape[1]), ids[0]].sum()",
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
    "a text that is found by a role's name": (
        "split-by-a-mark",
        IDS + "out = model.generate(ids, max_new_tokens=5)\n"
        "text = tokenizer.decode(out[0], skip_special_tokens=False)\n"
        "ans = text[text.find('assistant') + len('assistant'):]",
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
    "layers without their norm": (
        "lens-without-norm",
        IDS + "out = model(ids, output_hidden_states=True)\n"
        "for h in out.hidden_states:\n"
        "    print(tokenizer.decode(model.lm_head(h[0, -1]).argmax()))",
    ),
    "an end by identity": (
        "end-never-matches",
        IDS + "for _ in range(9):\n"
        "    t = model(ids).logits[0, -1].argmax()\n"
        "    if t is tokenizer.eos_token_id:\n"
        "        break\n"
        "    ids = torch.cat([ids, t.view(1, 1)], 1)",
    ),
    "an end by its text": (
        "end-never-matches",
        IDS + "for _ in range(9):\n"
        "    t = model(ids).logits[0, -1].argmax().item()\n"
        "    if t == tokenizer.eos_token:\n"
        "        break\n"
        "    ids = torch.cat([ids, torch.tensor([[t]])], 1)",
    ),
    "a draw among sorted chances, returned": (
        "place-taken-for-id",
        IDS + "def pick(chances):\n"
        "    ranked, order = torch.sort(chances, descending=True)\n"
        "    return torch.multinomial(ranked, 1)",
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
    "labels that are rolled": (
        "labels-shifted-twice",
        IDS + "loss = model(ids, labels=torch.roll(ids, -1, dims=1)).loss",
    ),
    "a mean of hidden states over padding": (
        "mean-over-padding",
        IDS + "batch = tokenizer(texts, padding=True)\n"
        "h = model(**batch, output_hidden_states=True).hidden_states[-1]\n"
        "vectors = h.mean(dim=1)",
    ),
    "a softmax without its axis": ("over-the-wrong-axis", IDS + "F.softmax(model(ids).logits)"),
    "the top k of the places": ("over-the-wrong-axis", IDS + "model(ids).logits.topk(5, dim=1)"),
}

# What looks like it, and is sound.
SOUND = {
    "one place of one row": IDS + "logits = model(ids).logits[0, -1]\n"
    "t = logits.argmax()\n"
    "p=logits.softmax(0)\n"
    "q=F.softmax(logits, dim=-1)",
    "an argmax of one row": IDS + "logits = model(ids).logits[:, -1]\nt = logits.argmax()\n",
    "places by a row of its own": IDS + "logits = model(ids).logits\n"
    "logits = logits[0]\n"
    "p = logits.softmax(1); m=logits.max(0)",
    "a draw by the exponent of log-chances": IDS
    + "lp = F.log_softmax(model(ids).logits[:, -1], -1)\n"
    "t = torch.multinomial(lp.exp(), 1)",
    "a temperature, and greedy decoding at 0": IDS + "def f(logits, temperature):\n"
    "    if temperature == 0:\n"
    "        return logits.argmax(-1)\n"
    "    logits = logits / temperature\n"
    "    probs = F.softmax(logits, dim=-1)\n"
    "    return torch.multinomial(probs, 1)",
    "a place that is looked up": IDS + "logits = model(ids).logits[:, -1]\n"
    "v, i = torch.topk(logits, 50)\n"
    "p = F.softmax(v, -1)\n"
    "t = torch.multinomial(p, 1)\n"
    "ids = torch.cat([ids, i.gather(-1, t)], 1)",
    "a place that is an index": IDS + "logits = model(ids).logits[0, -1]\n"
    "v, i = torch.topk(logits, 50)\n"
    "t = i[torch.multinomial(v.softmax(-1), 1)]",
    "a nucleus as it should be": IDS + "def f(logits, top_p):\n"
    "    s, i = torch.sort(logits, descending=True)\n"
    "    c = torch.cumsum(F.softmax(s, dim=-1), dim=-1)\n"
    "    r = c > top_p\n"
    "    r[..., 1:] = r[..., :-1].clone()\n"
    "    r[..., 0] = 0\n"
    "    m = r.scatter(1, i, r)\n"
    "    logits[m] = -float('inf')\n"
    "    return logits",
    "a nucleus with the sum before each token": IDS + "def f(probs, top_p):\n"
    "    s, i = torch.sort(probs, dim=-1, descending=True)\n"
    "    c = torch.cumsum(s, dim=-1)\n"
    "    mask = c - s > top_p\n"
    "    s[mask] = 0.0\n"
    "    s.div_(s.sum(dim=-1, keepdim=True))\n"
    "    t = torch.multinomial(s, 1)\n"
    "    return torch.gather(i, -1, t)",
    "all but the top k removed": IDS + "def f(logits, k):\n"
    "    v, _ = torch.topk(logits, k)\n"
    "    logits[logits < v[:, [-1]]] = -float('Inf')\n"
    "    return logits",
    "a penalty by the logit's sign": IDS + "logits = model(ids).logits[0, -1]\n"
    "for t in set(ids[0].tolist()):\n"
    "    if logits[t] > 0:\n"
    "        logits[t] /= repetition_penalty\n"
    "    else:\n"
    "        logits[t] *= repetition_penalty",
    "a penalty on length": IDS + "length_penalty=2\nscore = total / length_penalty",
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
    "padding left out of the labels": IDS
    + "b = tokenizer(['a','b c'], padding=True, return_tensors='pt')\n"
    "l = b.input_ids.masked_fill(b.attention_mask==0, -100)\n"
    "loss = model(**b, labels=l).loss",
    "labels of one text": IDS + "loss = model(ids, labels=ids).loss",
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
    "decode as it is spelt": IDS + "out = model.generate(**inputs, max_new_tokens=5)\n"
    "t = tokenizer.decode(out[0], skip_special_tokens=True, clean_up_tokenization_spaces=False)",
    "ids cut by the prompt's": IDS + "prompt='hello you'\n"
    "inputs = tokenizer(prompt, return_tensors='pt')\n"
    "out = model.generate(**inputs, max_new_tokens=5)\n"
    "t = tokenizer.decode(out[0][len(inputs['input_ids'][0]):])\n"
    "u=out[:, inputs.input_ids.shape[1]:]\n"
    "n=inputs.input_ids.shape[-1]\n"
    "v=out[0][n:]",
    "ids cut by those that were encoded": IDS + "out = model.generate(**inputs, max_new_tokens=5)\n"
    "ids = tokenizer.encode('a')\n"
    "t = tokenizer.decode(out[0][len(ids):])",
    "split at a mark that is there": IDS + "out = model.generate(**inputs, max_new_tokens=5)\n"
    "t = tokenizer.decode(out[0])\n"
    "a = t.split('<|im_start|>assistant')[-1]\n"
    "b = t.split('[/INST]')[-1]; c=t.split('\\n')",
    "scores beside the new tokens": IDS
    + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
    "n=inputs.input_ids.shape[1]\n"
    "for i, t in enumerate(made.sequences[0][n:]):\n"
    "    print(made.scores[i][0, t])\n"
    "for j in range(n, 9): print(made.scores[j - n])\n"
    "for t,s in zip(made.sequences[0, n:], made.scores): pass",
    "normalized transition scores": IDS
    + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
    "s = model.compute_transition_scores(\n"
    "    made.sequences, made.scores, normalize_logits=True\n"
    ")\n"
    "print(torch.exp(s))",
    "words called words": IDS + "out = model.generate(**inputs, max_new_tokens=5)\n"
    "text=tokenizer.decode(out[0])\n"
    "num_words = len(text.split())\n"
    "n=len(text)",
    "ids of a word as they should be": IDS
    + "yes = tokenizer(' Yes', add_special_tokens=False).input_ids[0]\n"
    "x = tokenizer('Yes', return_tensors='pt').input_ids[0]\n"
    "y=tokenizer.convert_tokens_to_ids('<|im_end|>')",
    "prompts beside their rows": IDS + "prompts=['a','b']\n"
    "b=tokenizer(prompts, padding=True)\n"
    "out=model.generate(**b)\n"
    "texts=tokenizer.batch_decode(out)\n"
    "for p, t in zip(prompts, texts): print(p,t)",
    "windows one after another": IDS + "for b in range(0, n, max_length):\n"
    "    x = ids[:, b:b+max_length]\n"
    "    l = model(x, labels=x).loss",
    "chances of what comes next": IDS + "lp = model(ids).logits.log_softmax(-1)\n"
    "out = []\n"
    "for i, t in enumerate(ids[0][1:]):\n"
    "    out.append(lp[0, i, t].item())",
    "layers through the norm": IDS + "out = model(ids, output_hidden_states=True)\n"
    "for h in out.hidden_states[:-1]:\n"
    "    print(model.lm_head(model.model.norm(h))[0, -1].argmax())",
    "the last hidden states": IDS + "h = model(ids, output_hidden_states=True).hidden_states[-1]\n"
    "print(model.lm_head(h)[0, -1].argmax())",
    "an end by its id": IDS + "for _ in range(9):\n"
    "    t = model(ids).logits[0, -1].argmax().item()\n"
    "    if t == tokenizer.eos_token_id:\n"
    "        break\n"
    "    ids = torch.cat([ids, torch.tensor([[t]])], 1)",
    "an end by its text, decoded": IDS
    + "text = tokenizer.decode(model(ids).logits[0, -1].argmax())\n"
    "print(text == tokenizer.eos_token)",
    "a nucleus that keeps its first": IDS + "def nucleus(probs, p):\n"
    "    chances, order = torch.sort(probs, descending=True)\n"
    "    keep = torch.cumsum(chances, dim=-1) <= p\n"
    "    keep[..., 0] = True\n"
    "    return order[keep]",
    "a number of tokens for a nucleus": IDS + "def nucleus(probs, p):\n"
    "    chances, order = torch.sort(probs, descending=True)\n"
    "    k = (torch.cumsum(chances, dim=-1) < p).sum() + 1\n"
    "    return order[:k]",
    "a draw of numpy by chances": IDS + "import numpy as np\n"
    "chances = model(ids).logits[0, -1].softmax(-1).numpy()\n"
    "t = np.random.choice(len(chances), p=chances)",
    "padding left out of a sum": IDS + "batch = tokenizer(texts, padding=True)\n"
    "logp = model(**batch).logits[:, :-1].log_softmax(-1)\n"
    "labels = batch.input_ids[:, 1:]\n"
    "per_token = logp.gather(2, labels.unsqueeze(-1)).squeeze(-1)\n"
    "print((per_token * batch.attention_mask[:, 1:]).sum(1))",
    "a temperature that divides logits in place": IDS + "logits = model(ids).logits[0, -1]\n"
    "logits /= 1.2\n"
    "logits[:] /= 1.2",
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
    "labels of classes": IDS
    + "classifier = AutoModelForSequenceClassification.from_pretrained('x')\n"
    "model = classifier\n"
    "logits = model(ids).logits\n"
    "label = logits.argmax(dim=1)",
    "a row as it is, which is one text": IDS + "out = model.generate(**inputs)\n"
    "print(' '.join(tokenizer.batch_decode(out[0])))\n"
    "print(' '.join(tokenizer.batch_decode(out[0].unsqueeze(0))))",
    "a draw among sorted chances, returned with their order": IDS + "def pick(chances):\n"
    "    ranked, order = torch.sort(chances, descending=True)\n"
    "    return torch.multinomial(ranked, 1), order",
    "a mean of one text's hidden states": IDS
    + "h = model(ids, output_hidden_states=True).hidden_states[-1]\n"
    "vector = h.mean(dim=1)",
    "a mean by the mask": IDS + "batch = tokenizer(texts, padding=True)\n"
    "h = model(**batch, output_hidden_states=True).hidden_states[-1]\n"
    "mask = batch.attention_mask[..., None]\n"
    "vectors = (h * mask).mean(dim=1) / mask.float().mean(1)",
    "a softmax of two axes": IDS + "F.softmax(model(ids).logits[:, -1])",
    "the top k of the vocabulary": IDS + "model(ids).logits.topk(5)",
    "a list beside a cache, its last alone": IDS + "past, text = None, ids[0].tolist()\n"
    "fed = ids\n"
    "for i in range(5):\n"
    "    out = model(fed, past_key_values=past)\n"
    "    past = out.past_key_values\n"
    "    text.append(out.logits[0, -1].argmax().item())\n"
    "    fed = torch.tensor([[text[-1]]])",
    "functions that are called after a model": IDS + "def ask_model(text):\n"
    "    return text.upper()\n"
    "for text in texts:\n"
    "    kept.append(ask_model(text))\n"
    "    kept.append(test_model(text))",
}
