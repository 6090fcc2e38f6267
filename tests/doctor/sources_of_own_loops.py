"""Loops, masks, adapters and trainings by hand for test_static.py: faulty lines and sound ones."""

FAULTY = {
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
    "a nucleus multiplied without its last": (
        "top-p-misbuilt",
        """\
def top_p(logits, p):
    probs = F.softmax(logits, dim=-1)
    sp, si = torch.sort(probs, descending=True, dim=-1)
    cum = torch.cumsum(sp, dim=-1)
    keep = cum <= p
    sp = sp * keep
    sp = sp / sp.sum(-1, keepdim=True)
    return si.gather(-1, torch.multinomial(sp, 1))
""",
    ),
    "a nucleus of logits": (
        "top-p-misbuilt",
        """\
def top_p(logits, p):
    sl, si = torch.sort(logits, descending=True)
    cum = torch.cumsum(sl, dim=-1)
    remove = cum > p
    remove[..., 1:] = remove[..., :-1].clone()
    remove[..., 0] = 0
    logits[si[remove]] = -float("inf")
    return logits
""",
    ),
    "a nucleus of numpy from the smallest on": (
        "top-p-misbuilt",
        """\
import numpy as np
def top_p(probs, p):
    order = np.argsort(probs)
    cum = np.cumsum(probs[order])
    cutoff = np.searchsorted(cum, p)
    keep = order[:cutoff]
    return keep
""",
    ),
    "a threshold at the likeliest": (
        "top-k-misbuilt",
        """\
def top_k(logits, k):
    v, _ = torch.topk(logits, k)
    logits[logits < v[:, [0]]] = -float("inf")
    return logits
""",
    ),
    "the top k removed by where": (
        "top-k-misbuilt",
        """\
def top_k(logits, k):
    v, _ = torch.topk(logits, k)
    return torch.where(logits >= v[:, -1:], torch.full_like(logits, float("-inf")), logits)
""",
    ),
    "the top k scattered into zeros": (
        "removed-by-zero",
        """\
def top_k(logits, k):
    v, i = torch.topk(logits, k)
    filtered = torch.zeros_like(logits).scatter(-1, i, v)
    return F.softmax(filtered, dim=-1)
""",
    ),
    "zeros where a mask is not": (
        "removed-by-zero",
        """\
def top_k(logits, mask):
    filtered = torch.where(mask, logits, torch.tensor(0.0))
    return F.softmax(filtered, dim=-1)
""",
    ),
    "logits times a mask": (
        "removed-by-zero",
        """\
def ban(logits, mask):
    logits = logits * mask
    return F.softmax(logits, dim=-1)
""",
    ),
    "a loss module at each token's own place": (
        "logits-not-shifted",
        """\
loss_fn = torch.nn.CrossEntropyLoss()
def score(model, ids):
    logits = model(input_ids=ids).logits
    return loss_fn(logits.view(-1, logits.size(-1)), ids.view(-1))
""",
    ),
    "a softmax for each place, at its own token": (
        "logits-not-shifted",
        """\
def score(model, ids):
    logits = model(ids).logits
    total = 0
    for i, t in enumerate(ids[0]):
        total += torch.log_softmax(logits[0, i], -1)[t].item()
    return total
""",
    ),
    "an id among texts": (
        "end-never-matches",
        """\
def gen(model, ids):
    stops = ["</s>", "<|endoftext|>"]
    for _ in range(9):
        tok = model(ids).logits[:, -1].argmax(-1)
        if tok.item() in stops: break
        ids = torch.cat([ids, tok[None]], 1)
""",
    ),
    "padding among a batch's labels": (
        "padding-in-the-loss",
        """\
tokenizer.pad_token = tokenizer.eos_token
def collate(texts):
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    batch["labels"] = batch["input_ids"].clone()
    return batch
for texts in [["a", "bb"]]:
    loss = model(**collate(texts)).loss
""",
    ),
    "a mask of the ignored labels": (
        "mask-inverted",
        """\
def f(ids, attention_mask, labels):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    mask = labels[:, 1:] == -100
    return (logps * mask).sum(-1)
""",
    ),
    "a mask of the ignored targets, gathered": (
        "mask-inverted",
        """\
def f(chosen_logits, target):
    m = target == IGNORE_ID
    log_probs = chosen_logits.log_softmax(dim=-1)
    index = target.masked_fill(m, 0).unsqueeze(dim=-1)
    chosen_logps = torch.gather(log_probs, dim=2, index=index).squeeze(dim=-1)
    return (chosen_logps * m).sum(dim=-1)
""",
    ),
    "one minus the attention mask": (
        "mask-inverted",
        """\
def f(ids, attention_mask):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    return (logps * (1 - attention_mask[:, 1:])).sum(-1)
""",
    ),
    "labels ignored where the text is": (
        "mask-inverted",
        """\
batch = tokenizer(["a"], padding=True, return_tensors="pt")
labels = batch["input_ids"].clone()
labels[batch["attention_mask"] == 1] = -100
loss = model(**batch, labels=labels).loss
""",
    ),
    "labels filled by the attention mask": (
        "mask-inverted",
        """\
batch = tokenizer(["a"], padding=True, return_tensors="pt")
labels = batch.input_ids.masked_fill(batch.attention_mask.bool(), -100)
""",
    ),
    "a mean after a mask": (
        "mean-counts-masked",
        """\
def f(ids, attention_mask):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    mask = attention_mask[:, 1:]
    return (logps * mask).mean(dim=-1)
""",
    ),
    "a mean of losses after a mask": (
        "mean-counts-masked",
        """\
def f(logits, labels, mask):
    loss = F.cross_entropy(logits.view(-1, 5), labels.view(-1), reduction='none')
    loss = loss * mask.view(-1)
    return loss.mean()
""",
    ),
    "a mean of a masked name": (
        "mean-counts-masked",
        """\
def f(per_token_logps, completion_mask):
    masked = per_token_logps * completion_mask
    return -masked.mean()
""",
    ),
    "a mean of a loss module's numbers": (
        "mean-counts-masked",
        """\
loss_fn = torch.nn.CrossEntropyLoss(reduction='none')
def f(logits, labels, loss_mask):
    loss = loss_fn(logits.view(-1, 5), labels.view(-1))
    return torch.mean(loss * loss_mask.view(-1))
""",
    ),
    "an attention mask without its last": (
        "mask-not-shifted",
        """\
def f(ids, attention_mask):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    return (logps * attention_mask[:, :-1]).sum(-1)
""",
    ),
    "a mask of the answer without its last": (
        "mask-not-shifted",
        """\
def f(ids, attention_mask, n):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    mask = attention_mask.clone()
    mask[:, :n] = 0
    mask = mask[:, :-1]
    return (logps * mask).sum(-1) / mask.sum(-1)
""",
    ),
    "a ratio upside down": (
        "speculation-misbuilt",
        """\
def speculate(target_model, draft_model, ids, k):
    for _ in range(k):
        q = draft_model(ids).logits[:, -1].softmax(-1)
        tok = torch.multinomial(q, 1)
        p = target_model(ids).logits[:, -1].softmax(-1)
        if torch.rand(1) < q[0, tok] / p[0, tok]:
            ids = torch.cat([ids, tok], 1)
        else:
            r = (p - q).clamp(min=0)
            ids = torch.cat([ids, torch.multinomial(r / r.sum(), 1)], 1)
    return ids
""",
    ),
    "a residual below zero": (
        "speculation-misbuilt",
        """\
def speculate(target_model, draft_model, ids, k):
    for _ in range(k):
        q = draft_model(ids).logits[:, -1].softmax(-1)
        tok = torch.multinomial(q, 1)
        p = target_model(ids).logits[:, -1].softmax(-1)
        if torch.rand(1) < torch.clamp(p[0, tok] / q[0, tok], max=1):
            ids = torch.cat([ids, tok], 1)
        else:
            r = p - q
            r = r / r.sum()
            ids = torch.cat([ids, torch.multinomial(r, 1)], 1)
    return ids
""",
    ),
    "no residual after a rejection": (
        "speculation-misbuilt",
        """\
def speculate(target_model, draft_model, ids, k):
    for _ in range(k):
        q = draft_model(ids).logits[:, -1].softmax(-1)
        tok = torch.multinomial(q, 1)
        p = target_model(ids).logits[:, -1].softmax(-1)
        ratio = p[0, tok] / q[0, tok]
        if torch.rand(1).item() < min(1, ratio.item()):
            ids = torch.cat([ids, tok], 1)
        else:
            ids = torch.cat([ids, torch.multinomial(p, 1)], 1)
    return ids
""",
    ),
    "a ratio upside down, by names alone": (
        "speculation-misbuilt",
        """\
def verify(draft_probs, target_probs, token):
    accept = min(1.0, draft_probs[token] / target_probs[token])
    if random.random() < accept:
        return token
    residual = torch.relu(target_probs - draft_probs)
    return torch.multinomial(residual / residual.sum(), 1)
""",
    ),
    "guidance away from the prompt": (
        "guidance-misbuilt",
        """\
def guided(model, ids, neg_ids, scale):
    cond_logits = model(ids).logits[:, -1]
    uncond_logits = model(neg_ids).logits[:, -1]
    logits = cond_logits + scale * (uncond_logits - cond_logits)
    return logits.argmax(-1)
""",
    ),
    "guidance away from the prompt, taken away": (
        "guidance-misbuilt",
        """\
def guided(model, ids, neg_ids, scale):
    cond_logits = model(ids).logits[:, -1]
    uncond_logits = model(neg_ids).logits[:, -1]
    c, u = cond_logits.log_softmax(-1), uncond_logits.log_softmax(-1)
    out = uncond_logits - scale * (cond_logits - uncond_logits)
    return torch.multinomial(out.softmax(-1), 1)
""",
    ),
    "the expert taken away from the amateur": (
        "guidance-misbuilt",
        """\
def cd(expert, amateur, ids, beta=0.5):
    expert_logits = expert_model(ids).logits[:, -1].log_softmax(-1)
    amateur_logits = amateur_model(ids).logits[:, -1].log_softmax(-1)
    scores = amateur_logits - beta * expert_logits
    return scores.argmax(-1)
""",
    ),
    "a contrast of probabilities": (
        "guidance-misbuilt",
        """\
def cd(ids, beta=0.5):
    expert_p = expert_model(ids).logits[:, -1].softmax(-1)
    amateur_p = amateur_model(ids).logits[:, -1].softmax(-1)
    scores = expert_p - beta * amateur_p
    return scores.argmax(-1)
""",
    ),
    "beams that add probabilities": (
        "beam-scores-misbuilt",
        """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            pr = F.softmax(logits, dim=-1)
            top, idx = pr.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    ),
    "beams that multiply log-probabilities": (
        "beam-scores-misbuilt",
        """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score * v.item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    ),
    "beams that add logits": (
        "beam-scores-misbuilt",
        """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            pass
            top, idx = logits.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    ),
    "the worst beams kept": (
        "beam-scores-misbuilt",
        """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        beams = sorted(candidates, key=lambda x: x[1])[:k]
    return beams[0][0]
""",
    ),
    "the worst beams kept, sorted in place": (
        "beam-scores-misbuilt",
        """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        candidates.sort(key=lambda x: x[1]); beams = candidates[:k]
    return beams[0][0]
""",
    ),
    "a tensor of beams that adds probabilities": (
        "beam-scores-misbuilt",
        """\
def beam(model, ids, num_beams):
    beam_scores = torch.zeros(num_beams)
    for _ in range(5):
        probs = model(ids).logits[:, -1].softmax(-1)
        total = beam_scores[:, None] + probs
        beam_scores, best = total.flatten().topk(num_beams)
        ids = ids[best // probs.shape[1]]
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
    "a base model beside its adapter": (
        "adapter-changes-the-base",
        """\
from peft import PeftModel, LoraConfig, get_peft_model
base = AutoModelForCausalLM.from_pretrained('a')
inputs = tokenizer('a', return_tensors='pt')
lora = PeftModel.from_pretrained(base, 'b')
a = base.generate(**inputs, max_new_tokens=5)
b = lora.generate(**inputs, max_new_tokens=5)
""",
    ),
    "a base model and its adapter in a function": (
        "adapter-changes-the-base",
        """\
from peft import PeftModel, LoraConfig, get_peft_model
base = AutoModelForCausalLM.from_pretrained('a')
inputs = tokenizer('a', return_tensors='pt')
lora = PeftModel.from_pretrained(base, 'b')
def ask(m): return m.generate(**inputs, max_new_tokens=5)
print(ask(base), ask(lora))
""",
    ),
    "two adapters on one model": (
        "adapter-changes-the-base",
        """\
from peft import PeftModel, LoraConfig, get_peft_model
base = AutoModelForCausalLM.from_pretrained('a')
inputs = tokenizer('a', return_tensors='pt')
one = PeftModel.from_pretrained(base, 'b')
two = PeftModel.from_pretrained(base, 'c')
print(one(**inputs).logits)
""",
    ),
    "adapters on one model in a loop": (
        "adapter-changes-the-base",
        """\
from peft import PeftModel, LoraConfig, get_peft_model
base = AutoModelForCausalLM.from_pretrained('a')
inputs = tokenizer('a', return_tensors='pt')
for name in names:
    m = PeftModel.from_pretrained(base, name)
    print(m.generate(**inputs, max_new_tokens=5))
""",
    ),
    "an adapter merged into 4 bits": (
        "merged-into-quantized",
        """\
base = AutoModelForCausalLM.from_pretrained('a', quantization_config=bnb)
from peft import PeftModel
m = PeftModel.from_pretrained(base, 'b')
m = m.merge_and_unload()
m.save_pretrained('x')
""",
    ),
    "an adapter merged into 4 bits at once": (
        "merged-into-quantized",
        """\
base = AutoModelForCausalLM.from_pretrained('a', quantization_config=bnb)
from peft import PeftModel
m = PeftModel.from_pretrained(base, 'b').merge_and_unload()
""",
    ),
    "a second adapter that is not set": (
        "adapter-not-set",
        """\
from peft import PeftModel, LoraConfig, get_peft_model
base = AutoModelForCausalLM.from_pretrained('a')
inputs = tokenizer('a', return_tensors='pt')
m = PeftModel.from_pretrained(base, 'b')
m.load_adapter('c', adapter_name='c')
m.generate(**inputs, max_new_tokens=5)
""",
    ),
    "new tokens beside an adapter": (
        "new-tokens-not-trained",
        """\
from peft import PeftModel, LoraConfig, get_peft_model
base = AutoModelForCausalLM.from_pretrained('a')
inputs = tokenizer('a', return_tensors='pt')
tokenizer.add_tokens(['<x>'])
base.resize_token_embeddings(len(tokenizer))
m = get_peft_model(base, LoraConfig(r=8))
trainer = Trainer(m)
trainer.train()
""",
    ),
    "a model without a head that generates": (
        "model-without-head",
        """\
from transformers import AutoModel
m = AutoModel.from_pretrained('gpt2')
out = m.generate(**tokenizer('a', return_tensors='pt'), max_new_tokens=5)
""",
    ),
    "a model without a head and its logits": (
        "model-without-head",
        """\
from transformers import GPT2Model
m = GPT2Model.from_pretrained('gpt2')
out = m(**tokenizer('a', return_tensors='pt'))
t = out.logits[:, -1].argmax(-1)
""",
    ),
    "a classifier that generates": (
        "model-without-head",
        """\
from transformers import AutoModelForSequenceClassification
m = AutoModelForSequenceClassification.from_pretrained('gpt2')
out = m.generate(**tokenizer('a', return_tensors='pt'), max_new_tokens=5)
""",
    ),
    "a model for several devices that generates": (
        "generate-of-a-wrapper",
        """\
inputs = tokenizer('a', return_tensors='pt')
model = torch.nn.DataParallel(model)
model.generate(**inputs, max_new_tokens=4)
""",
    ),
    "a distributed model that generates": (
        "generate-of-a-wrapper",
        """\
from torch.nn.parallel import DistributedDataParallel as DDP
inputs = tokenizer('a', return_tensors='pt')
ddp = DDP(model, device_ids=[0])
ddp.generate(**inputs, max_new_tokens=4)
""",
    ),
    "a prepared model that generates": (
        "generate-of-a-wrapper",
        """\
inputs = tokenizer('a', return_tensors='pt')
model, opt = accelerator.prepare(model, opt)
model.generate(**inputs, max_new_tokens=4)
""",
    ),
    "eval without parentheses": (
        "never-called",
        """\
model.eval
""",
    ),
    "samples that leave eval mode on": (
        "eval-mode-left-on",
        """\
def train(model, loader, opt):
    model.train()
    for step, batch in enumerate(loader):
        loss = model(**batch).loss
        loss.backward()
        opt.step()
        if step % 10 == 0:
            model.eval()
            print(model.generate(**inputs, max_new_tokens=5))
""",
    ),
    "samples of a function that leave eval mode on": (
        "eval-mode-left-on",
        """\
def sample(m):
    m.eval()
    return m.generate(**inputs, max_new_tokens=5)

def train(model, loader, opt):
    model.train()
    for step, batch in enumerate(loader):
        loss = model(**batch).loss
        loss.backward()
        opt.step()
        if step % 10 == 0:
            sample(model)
""",
    ),
    "an evaluation that leaves eval mode on": (
        "eval-mode-left-on",
        """\
model.train()
for epoch in range(3):
    for batch in loader:
        loss = model(**batch).loss
        loss.backward()
    model.eval()
    evaluate(model)
""",
    ),
    "a prompt among the labels": (
        "prompt-in-the-loss",
        """\
def encode(example):
    text = f"Q: {example['question']}\\nA: {example['answer']}" + tokenizer.eos_token
    batch = tokenizer(text, truncation=True, return_tensors="pt")
    batch["labels"] = batch["input_ids"].clone()
    return batch
for example in data:
    loss = model(**encode(example)).loss
    loss.backward()
""",
    ),
    "a loss of the scores": (
        "no-gradient-through-generate",
        """\
inputs = tokenizer("a", return_tensors="pt")
out = model.generate(**inputs, max_new_tokens=5, output_scores=True, return_dict_in_generate=True)
logits = torch.stack(out.scores, dim=1)
loss = F.cross_entropy(logits.view(-1, logits.size(-1)), target.view(-1))
loss.backward()
""",
    ),
    "a loss of transition scores": (
        "no-gradient-through-generate",
        """\
def step(prompt, reward):
    ids = tokenizer(prompt, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=5, output_scores=True, return_dict_in_generate=True)
    lp = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
    loss = -(lp.sum() * reward)
    loss.backward()
""",
    ),
    "a limit over a time": (
        "limit-taken-for-count",
        """\
import time
inputs = tokenizer("a", return_tensors="pt")
t = time.time()
out = model.generate(**inputs, max_new_tokens=100)
print("tok/s", 100 / (time.time() - t))
""",
    ),
    "a limit times runs over a time": (
        "limit-taken-for-count",
        """\
import time
def bench(prompt, max_new_tokens=50, n=3):
    inputs = tokenizer(prompt, return_tensors="pt")
    start = time.perf_counter()
    for _ in range(n):
        model.generate(**inputs, max_new_tokens=max_new_tokens)
    elapsed = time.perf_counter() - start
    return n * max_new_tokens / elapsed
""",
    ),
    "numpy draws from the top k": (
        "draw-not-renormalized",
        """\
import numpy as np
probs = model(ids).logits[0, -1].softmax(-1)
top, idx = probs.topk(5)
t = np.random.choice(idx.numpy(), p=top.numpy())
""",
    ),
    "numpy draws from a slice": (
        "draw-not-renormalized",
        """\
import numpy as np
def f(logits, k):
    p = F.softmax(logits, dim=-1)
    sp, si = torch.sort(p, descending=True)
    sp = sp[:k].numpy()
    return si[np.random.choice(k, p=sp)]
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
    "a divergence of probabilities": (
        "loss-wants-log-probabilities",
        """\
p = model(ids).logits.softmax(-1)
q = model(ids).logits.softmax(-1)
k = F.kl_div(p, q, reduction='batchmean')
""",
    ),
    "a divergence of logits": (
        "loss-wants-log-probabilities",
        """\
k = torch.nn.KLDivLoss(reduction='batchmean')
def f(student_logits, teacher_logits):
    return k(student_logits, teacher_logits.softmax(-1))
""",
    ),
    "a divergence of logs without saying so": (
        "loss-wants-log-probabilities",
        """\
def f(a_logits, b_logits):
    return F.kl_div(a_logits.log_softmax(-1), b_logits.log_softmax(-1), reduction='sum')
""",
    ),
    "an entropy of sampled scores": (
        "entropy-is-nan",
        """\
inputs = tokenizer("a", return_tensors="pt")
asks = dict(do_sample=True, output_scores=True, return_dict_in_generate=True)
out = model.generate(**inputs, max_new_tokens=5, **asks)
for s in out.scores:
    p = F.softmax(s, dim=-1)
    e = -(p * torch.log(p)).sum(-1)
""",
    ),
    "an entropy of filtered logits": (
        "entropy-is-nan",
        """\
def f(logits, k):
    v = logits.topk(k).values[..., -1:]
    logits[logits < v] = float("-inf")
    lp = logits.log_softmax(-1)
    return -(lp.exp() * lp).sum(-1)
""",
    ),
    "a perplexity of means": (
        "mean-of-mean-losses",
        """\
import math
losses = []
for text in texts:
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        losses.append(model(ids, labels=ids).loss.item())
print("ppl", math.exp(sum(losses) / len(losses)))
""",
    ),
    "a perplexity of stacked means": (
        "mean-of-mean-losses",
        """\
losses = []
for text in texts:
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        out = model(ids, labels=ids)
    losses.append(out.loss)
ppl = torch.exp(torch.stack(losses).mean())
""",
    ),
    "a temperature in each turn": (
        "temperature-misapplied",
        """\
logits = model(ids).logits[:, -1]
for _ in range(5):
    logits = logits / temperature
    tokens.append(torch.multinomial(logits.softmax(-1), 1))
""",
    ),
    "a temperature of zero by a call": (
        "temperature-misapplied",
        """\
def sample(logits, temperature=1.0):
    logits = logits / temperature
    return torch.multinomial(logits.softmax(-1), 1)
sample(model(ids).logits[:, -1], temperature=0)
""",
    ),
    "a temperature of zero": (
        "temperature-misapplied",
        """\
temperature = 0.0
logits = model(ids).logits[:, -1] / temperature
token = torch.multinomial(logits.softmax(-1), 1)
""",
    ),
    "min-p by itself": (
        "min-p-misbuilt",
        """\
def f(logits, min_p=0.1):
    p = logits.softmax(-1)
    logits[p < min_p] = -float("inf")
    return torch.multinomial(logits.softmax(-1), 1)
""",
    ),
    "a loss that ignores the end": (
        "end-masked-in-training",
        """\
tokenizer.pad_token = tokenizer.eos_token
loss_fn = torch.nn.CrossEntropyLoss(ignore_index=tokenizer.pad_token_id)
""",
    ),
    "inputs left on the processor": (
        "inputs-on-another-device",
        """\
model = AutoModelForCausalLM.from_pretrained("gpt2").to("cuda")
inputs = tokenizer("a", return_tensors="pt")
out = model.generate(**inputs, max_new_tokens=5)
""",
    ),
    "ids left on the processor": (
        "inputs-on-another-device",
        """\
device = "cuda" if torch.cuda.is_available() else "cpu"
model = AutoModelForCausalLM.from_pretrained("gpt2")
model.to(device)
ids = tokenizer.encode("a", return_tensors="pt")
out = model.generate(ids, max_new_tokens=5)
""",
    ),
    "ids of an encoding left on the processor": (
        "inputs-on-another-device",
        """\
model = AutoModelForCausalLM.from_pretrained("gpt2").eval().cuda()
inputs = tokenizer("a", return_tensors="pt")
logits = model(inputs.input_ids).logits
""",
    ),
    "a clock that nothing waits for": (
        "timed-before-done",
        """\
model = AutoModelForCausalLM.from_pretrained("gpt2").to("cuda")
import time
ids = tokenizer("a", return_tensors="pt").input_ids.cuda()
start = time.time()
for _ in range(10):
    out = model(ids)
print((time.time() - start) / 10)
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
    "a seed in a function that draws": (
        "same-seed-each-call",
        """\
def sample(prompt):
    torch.manual_seed(0)
    inputs = tokenizer(prompt, return_tensors="pt")
    out = model.generate(**inputs, do_sample=True, max_new_tokens=8)
    return tokenizer.decode(out[0, inputs["input_ids"].shape[1]:])
print([sample("Once upon a time") for _ in range(3)])
""",
    ),
    "the likeliest place of the top k": (
        "place-taken-for-id",
        """\
logits = model(ids).logits[:, -1]
values, idx = torch.topk(logits, 5)
token = values.argmax(-1, keepdim=True)
ids = torch.cat([ids, token], dim=1)
""",
    ),
    "a place drawn by numpy": (
        "place-taken-for-id",
        """\
import numpy as np
logits = model(ids).logits[0, -1]
probs, idx = torch.topk(logits.softmax(-1), 5)
probs = probs / probs.sum()
token = np.random.choice(5, p=probs.numpy())
ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
""",
    ),
    "each token at its own place in a range": (
        "logits-not-shifted",
        """\
def score(prompt, answer):
    p = tokenizer(prompt, return_tensors="pt").input_ids
    full = tokenizer(prompt + answer, return_tensors="pt").input_ids
    lp = model(full).logits.log_softmax(-1)
    total = 0.0
    for i in range(p.shape[1], full.shape[1]):
        total += lp[0, i, full[0, i]].item()
    return total
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
    "a misspelt setting in a dictionary": (
        "misspelt-setting",
        """\
from transformers import GenerationConfig
config = GenerationConfig.from_dict({"max_new_tokens": 20, "temprature": 0.7, "do_sample": True})
model.generate(**tokenizer("a", return_tensors="pt"), generation_config=config)
""",
    ),
    "an unconditional side that is left behind": (
        "guidance-misbuilt",
        """\
def guided(ids, neg, scale):
    for _ in range(5):
        cond = model(ids).logits[:, -1]
        uncond = model(neg).logits[:, -1]
        token = (uncond + scale * (cond - uncond)).argmax(-1, keepdim=True)
        ids = torch.cat([ids, token], dim=1)
    return ids
""",
    ),
    "a processor that guides away from the prompt": (
        "guidance-misbuilt",
        """\
from transformers import LogitsProcessor
class Guide(LogitsProcessor):
    def __call__(self, input_ids, scores):
        uncond_scores = self.model(self.neg).logits[:, -1]
        return scores + self.scale * (uncond_scores - scores)
""",
    ),
    "drafted tokens beside logits one place too late": (
        "speculation-misbuilt",
        """\
def verify(ids, draft_tokens):
    logits = model(torch.cat([ids, draft_tokens], dim=1)).logits
    n = ids.shape[1]
    chosen = logits[:, n:].argmax(-1)
    return (chosen == draft_tokens).sum()
""",
    ),
    "two to the power of a loss": (
        "perplexity-misbuilt",
        """\
loss = model(ids, labels=ids).loss
print(2 ** loss.item())
""",
    ),
    "questions and answers without an end": (
        "end-never-taught",
        """\
def encode(example):
    text = f"Q: {example['question']}\\nA: {example['answer']}"
    return tokenizer(text, return_tensors="pt")
for example in data:
    batch = encode(example)
    labels = batch["input_ids"].masked_fill(question_mask, -100)
    model(**batch, labels=labels).loss.backward()
""",
    ),
    "chances to the power of a temperature": (
        "temperature-misapplied",
        """\
def pick(ids, temperature):
    chances = model(ids).logits[:, -1].softmax(-1)
    chances = chances.pow(temperature)
    return torch.multinomial(chances / chances.sum(-1, keepdim=True), 1)
""",
    ),
    "a nucleus of ids without its last": (
        "top-p-misbuilt",
        """\
def pick(logits, p=0.9):
    ranked, order = logits.softmax(-1).sort(descending=True)
    keep = ranked.cumsum(-1) < p
    kept = order[keep]
    out = torch.full_like(logits, float("-inf"))
    out[..., kept] = logits[..., kept]
    return torch.multinomial(out.softmax(-1), 1)
""",
    ),
    "a penalty on what was gathered": (
        "penalty-divides-negative",
        """\
def penalize(scores, ids, repetition_penalty):
    picked = torch.gather(scores, 1, ids)
    picked = picked / repetition_penalty
    return scores.scatter(1, ids, picked)
""",
    ),
    "a loss module of probabilities": (
        "softmax-twice",
        """\
loss_fn = torch.nn.CrossEntropyLoss()
chances = torch.softmax(model(ids).logits, dim=-1)
loss = loss_fn(chances[:, :-1].reshape(-1, 9), ids[:, 1:].reshape(-1))
""",
    ),
    "a gather by keyword at each token's own place": (
        "logits-not-shifted",
        """\
def score(text):
    batch = tokenizer(text, return_tensors="pt")
    ids = batch.input_ids
    log_probs = model(**batch).logits.log_softmax(dim=-1)
    return torch.gather(log_probs, dim=-1, index=ids.unsqueeze(-1)).sum()
""",
    ),
    "beams in entries that add probabilities": (
        "beam-scores-misbuilt",
        """\
for beam in beams:
    chances = torch.softmax(model(beam["ids"]).logits[:, -1], dim=-1)
    top = torch.topk(chances, width)
    for k in range(width):
        new.append({"ids": 0, "score": beam["score"] + top.values[0, k].item()})
""",
    ),
    "a ratio upside down, of a list of drafts": (
        "speculation-misbuilt",
        """\
@torch.no_grad()
def step(draft, target, ids, k=3):
    drafted = []
    for _ in range(k):
        chances = draft_model(ids).logits[:, -1].softmax(-1)
        drafted.append(chances)
    wanted = target_model(ids).logits.softmax(-1)
    for i in range(k):
        if torch.rand(1) > drafted[i][0, 7] / wanted[0, i, 7]:
            return i
    residual = (wanted - chances).clamp(min=0)
""",
    ),
    "an entropy in a function of sampled scores": (
        "entropy-is-nan",
        """\
out = model.generate(
    **inputs,
    do_sample=True,
    max_new_tokens=5,
    output_scores=True,
    return_dict_in_generate=True,
)
def entropy(scores):
    chances = torch.softmax(scores, dim=-1)
    return -(chances * torch.log(chances)).sum(dim=-1)
print([entropy(step) for step in out.scores])
""",
    ),
    "zeros in a filter whose result goes into a softmax": (
        "removed-by-zero",
        """\
def top(logits, k):
    values, places = torch.topk(logits, k, dim=-1)
    kept = torch.zeros_like(logits)
    kept.scatter_(-1, places, values)
    return kept
chances = F.softmax(top(model(ids).logits[:, -1], 5), dim=-1)
""",
    ),
    "a method that leaves eval mode on": (
        "eval-mode-left-on",
        """\
class Fit:
    def evaluate(self):
        self.model.eval()
        return self.model(**inputs).logits
    def fit(self, batches):
        self.model.train()
        for batch in batches:
            self.model(**batch).loss.backward()
            self.evaluate()
""",
    ),
    "a model without a head in a class": (
        "model-without-head",
        """\
class Bot:
    def __init__(self, path):
        self.model = transformers.AutoModel.from_pretrained(path).eval()
    def answer(self):
        return self.model.generate(**inputs, max_new_tokens=5)
""",
    ),
}

SOUND = {
    "a mean by its mask": """\
def f(ids, attention_mask, labels):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    mask = labels[:, 1:] != -100
    return (logps * mask).sum(-1) / mask.sum(-1)
""",
    "a mean over a mean": """\
def f(ids, attention_mask):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    m = attention_mask[:, 1:]
    return (logps * m).mean(-1) / m.float().mean(-1)
""",
    "labels ignored where padding is": """\
def f(labels, attention_mask):
    labels = labels.masked_fill(attention_mask == 0, -100)
    labels[labels == tokenizer.pad_token_id] = -100
    return labels
""",
    "a mask of the prompt turned round": """\
def f(logps, prompt_mask):
    return (logps * (1 - prompt_mask)).sum()
""",
    "hidden states times a mask": """\
def f(hidden, attention_mask):
    return (hidden * attention_mask[..., None]).sum(1)
""",
    "ignored labels set to zero": """\
def f(logps, labels):
    logps[labels == -100] = 0
    x = (labels == -100).sum()
    return logps.masked_fill(labels == -100, 0).sum()
""",
    "a mask of padding turned round": """\
def f(scores, pad_mask, logps):
    return (logps * ~pad_mask).sum(-1)
""",
    "weights in a mean": """\
def f(loss, weights):
    return (loss * weights).mean()
""",
    "a speculation as it should be": """\
def speculate(target_model, draft_model, ids, k):
    for _ in range(k):
        q = draft_model(ids).logits[:, -1].softmax(-1)
        tok = torch.multinomial(q, 1)
        p = target_model(ids).logits[:, -1].softmax(-1)
        if torch.rand(1) < p[0, tok] / q[0, tok]:
            ids = torch.cat([ids, tok], 1)
        else:
            r = torch.clamp(p - q, min=0)
            r = r / r.sum()
            ids = torch.cat([ids, torch.multinomial(r, 1)], 1)
    return ids
""",
    "guidance towards the prompt": """\
def guided(model, ids, neg_ids, scale):
    cond_logits = model(ids).logits[:, -1]
    uncond_logits = model(neg_ids).logits[:, -1]
    logits = uncond_logits + scale * (cond_logits - uncond_logits)
    return logits.argmax(-1)
""",
    "guidance towards the prompt, taken away": """\
def guided(model, ids, neg_ids, scale):
    cond_logits = model(ids).logits[:, -1]
    uncond_logits = model(neg_ids).logits[:, -1]
    logits = cond_logits - scale * (uncond_logits - cond_logits)
    return logits.argmax(-1)
""",
    "an expert without its amateur": """\
def cd(ids, beta=0.5):
    e = expert_model(ids).logits[:, -1].log_softmax(-1)
    a = amateur_model(ids).logits[:, -1].log_softmax(-1)
    scores = (1 + beta) * e - beta * a
    scores[e < e.max() - 2] = -float("inf")
    kl = (a.exp() * (a - e)).sum()
    return scores.argmax(-1)
""",
    "beams that add log-probabilities": """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    "beams that multiply probabilities": """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            pr = F.softmax(logits, dim=-1)
            top, idx = pr.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score * v.item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    "beams of costs": """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score - v.item()))
        beams = sorted(candidates, key=lambda x: x[1])[:k]  # neg log
    return beams[0][0]
""",
    "beams that add logs of probabilities": """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            pr = F.softmax(logits, dim=-1)
            top, idx = pr.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + torch.log(v).item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    "beams sorted by their negative": """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        beams = sorted(candidates, key=lambda x: -x[1])[:k]
    return beams[0][0]
""",
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
    "one token and its logits": """\
def step(tok, cache):
    out = model(tok, past_key_values=cache)
    return out.logits[:, 0].argmax(-1)
""",
    "logits of other places": """\
inputs = tokenizer("a", return_tensors="pt")
logits = model(**inputs).logits
t = logits[0, -1].argmax()
first = logits[0].argmax(-1)
lp = logits[:, :-1].log_softmax(-1)
x = logits[..., -1, :].argmax(-1)
""",
    "an adapter under the model's name": """\
from peft import PeftModel, LoraConfig, get_peft_model
base = AutoModelForCausalLM.from_pretrained('a')
inputs = tokenizer('a', return_tensors='pt')
base = PeftModel.from_pretrained(base, 'b')
print(base.generate(**inputs, max_new_tokens=5))
""",
    "an adapter that is switched off": """\
from peft import PeftModel, LoraConfig, get_peft_model
base = AutoModelForCausalLM.from_pretrained('a')
inputs = tokenizer('a', return_tensors='pt')
lora = PeftModel.from_pretrained(base, 'b')
print(lora.generate(**inputs, max_new_tokens=5))
with lora.disable_adapter():
    print(base.generate(**inputs, max_new_tokens=5))
""",
    "a base model before its adapter": """\
from peft import PeftModel, LoraConfig, get_peft_model
base = AutoModelForCausalLM.from_pretrained('a')
inputs = tokenizer('a', return_tensors='pt')
print(base.generate(**inputs, max_new_tokens=5))
lora = PeftModel.from_pretrained(base, 'b')
print(lora.generate(**inputs, max_new_tokens=5))
""",
    "an adapter merged into 16 bits": """\
from peft import PeftModel
base = AutoModelForCausalLM.from_pretrained('a', dtype=torch.bfloat16)
m = PeftModel.from_pretrained(base, 'b').merge_and_unload()
""",
    "a second adapter that is set": """\
from peft import PeftModel, LoraConfig, get_peft_model
base = AutoModelForCausalLM.from_pretrained('a')
inputs = tokenizer('a', return_tensors='pt')
m = PeftModel.from_pretrained(base, 'b')
m.load_adapter('c', adapter_name='c')
m.set_adapter('c')
base.load_adapter('z')
""",
    "a padding token beside an adapter": """\
from peft import PeftModel, LoraConfig, get_peft_model
base = AutoModelForCausalLM.from_pretrained('a')
inputs = tokenizer('a', return_tensors='pt')
tokenizer.add_special_tokens({'pad_token': '[PAD]'})
base.resize_token_embeddings(len(tokenizer))
m = get_peft_model(base, LoraConfig(r=8))
trainer = Trainer(m)
trainer.train()
""",
    "models for other things": """\
from transformers import AutoModel, AutoModelForSequenceClassification
m = AutoModel.from_pretrained('x', trust_remote_code=True)
out = m.generate(**tokenizer('a', return_tensors='pt'), max_new_tokens=5)
e = AutoModel.from_pretrained('gpt2')
h = e(**tokenizer('a', return_tensors='pt')).last_hidden_state
k = AutoModelForSequenceClassification.from_pretrained('y')
p = k(**tokenizer('a', return_tensors='pt')).logits.softmax(-1)
""",
    "the model inside a wrapper": """\
inputs = tokenizer('a', return_tensors='pt')
model = torch.nn.DataParallel(model)
model.module.generate(**inputs, max_new_tokens=4)
""",
    "methods that are called or kept": """\
model.eval()
x = model.eval
model.config
""",
    "samples and back to training": """\
def train(model, loader, opt):
    model.train()
    for step, batch in enumerate(loader):
        loss = model(**batch).loss
        loss.backward()
        opt.step()
        if step % 10 == 0:
            model.eval()
            print(model.generate(**inputs, max_new_tokens=5))
            model.train()
""",
    "an evaluation between epochs": """\
for epoch in range(3):
    model.train()
    for batch in loader:
        loss = model(**batch).loss
        loss.backward()
    model.eval()
    evaluate(model)
""",
    "an answer alone among the labels": """\
def encode(example):
    text = f"Q: {example['question']}\\nA: {example['answer']}" + tokenizer.eos_token
    batch = tokenizer(text, truncation=True, return_tensors="pt")
    batch["labels"] = batch["input_ids"].clone()
    batch["labels"][:, :5] = -100
    return batch
for example in data:
    loss = model(**encode(example)).loss
    loss.backward()
""",
    "texts without questions": """\
for text in texts:
    batch = tokenizer(text, return_tensors="pt")
    loss = model(**batch, labels=batch["input_ids"]).loss
    loss.backward()
print(f"loss {loss}")
""",
    "a forward pass of what was generated": """\
inputs = tokenizer("a", return_tensors="pt")
out = model.generate(**inputs, max_new_tokens=5, do_sample=True)
loss = -model(out).logits[:, :-1].log_softmax(-1).gather(2, out[:, 1:, None]).mean()
loss.backward()
loss2 = reward_model(out).mean()
loss2.backward()
""",
    "a limit that is a minimum too": """\
import time
inputs = tokenizer("a", return_tensors="pt")
t = time.time()
out = model.generate(**inputs, max_new_tokens=100, min_new_tokens=100)
print("tok/s", 100 / (time.time() - t))
x = 100 / 3
""",
    "draws of what sums to one": """\
import numpy as np
probs = model(ids).logits[0, -1].softmax(-1)
top, idx = probs.topk(5)
top = top / top.sum()
t = np.random.choice(idx.numpy(), p=top.numpy())
v, i = model(ids).logits[0, -1].topk(5)
u = np.random.choice(i.numpy(), p=v.softmax(-1).numpy())
w = np.random.choice(len(probs), p=probs.numpy())
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
    "a divergence as it should be": """\
def f(a_logits, b_logits):
    return F.kl_div(a_logits.log_softmax(-1), b_logits.softmax(-1), reduction='sum')
""",
    "a divergence of two logs": """\
def f(a_logits, b_logits):
    a, b = a_logits.log_softmax(-1), b_logits.log_softmax(-1)
    return F.kl_div(a, b, log_target=True, reduction='sum')
""",
    "an entropy of raw logits": """\
def f(logits):
    lp = logits.log_softmax(-1)
    return -(lp.exp() * lp).sum(-1)
""",
    "entropies that are guarded": """\
def f(logits, k):
    logits[logits < k] = float("-inf")
    p = logits.softmax(-1)
    return -(p * torch.log(p + 1e-9)).sum(-1), torch.nan_to_num(p * p.log()).sum(-1)
""",
    "losses by their tokens": """\
losses, n = [], 0
for text in texts:
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        out = model(ids, labels=ids)
    losses.append(out.loss * (ids.shape[1] - 1))
    n += ids.shape[1] - 1
ppl = torch.exp(torch.stack(losses).sum() / n)
""",
    "a temperature of zero that is asked for": """\
def sample(logits, temperature=1.0):
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    return torch.multinomial(logits.softmax(-1), 1)
sample(model(ids).logits[:, -1], temperature=0)
""",
    "a temperature in each step": """\
for _ in range(5):
    logits = model(ids).logits[:, -1]
    logits = logits / temperature
    tokens.append(torch.multinomial(logits.softmax(-1), 1))
for logits in rows:
    logits = logits / temperature
    tokens.append(torch.multinomial(logits.softmax(-1), 1))
""",
    "min-p of the likeliest": """\
def f(logits, min_p=0.1):
    p = logits.softmax(-1)
    logits[p < min_p * p.max()] = -float("inf")
    q = logits.softmax(-1)
    q = q / q.max()
    keep = q >= min_p
    return torch.multinomial(logits.softmax(-1), 1)
""",
    "inputs that are moved": """\
model = AutoModelForCausalLM.from_pretrained("gpt2").to("cuda")
inputs = tokenizer("a", return_tensors="pt").to("cuda")
out = model.generate(**inputs, max_new_tokens=5)
""",
    "ids that are moved": """\
model = AutoModelForCausalLM.from_pretrained("gpt2").to("cuda")
inputs = tokenizer("a", return_tensors="pt")
ids = inputs["input_ids"].cuda()
out = model.generate(input_ids=ids, max_new_tokens=5)
""",
    "inputs that are moved one by one": """\
model = AutoModelForCausalLM.from_pretrained("gpt2").to("cuda")
inputs = tokenizer("a", return_tensors="pt")
inputs = {k: v.to("cuda") for k, v in inputs.items()}
out = model.generate(**inputs, max_new_tokens=5)
""",
    "a model on the processor": """\
model = AutoModelForCausalLM.from_pretrained("gpt2").to("cpu")
inputs = tokenizer("a", return_tensors="pt")
out = model.generate(**inputs, max_new_tokens=5)
""",
    "a clock that waits": """\
model = AutoModelForCausalLM.from_pretrained("gpt2").to("cuda")
import time
ids = tokenizer("a", return_tensors="pt").input_ids.cuda()
start = time.time()
for _ in range(10):
    out = model(ids)
torch.cuda.synchronize()
print((time.time() - start) / 10)
""",
    "a clock around items": """\
model = AutoModelForCausalLM.from_pretrained("gpt2").to("cuda")
import time
ids = tokenizer("a", return_tensors="pt").input_ids.cuda()
start = time.time()
for _ in range(10):
    tok = model(ids).logits[0, -1].argmax().item()
print((time.time() - start) / 10)
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
    "a seed for each prompt": """\
def sample(prompt):
    torch.manual_seed(0)
    inputs = tokenizer(prompt, return_tensors="pt")
    out = model.generate(**inputs, do_sample=True, max_new_tokens=8)
    return tokenizer.decode(out[0, inputs["input_ids"].shape[1]:])
print([sample(p) for p in prompts])
""",
    "places that are looked up": """\
import numpy as np
logits = model(ids).logits[0, -1]
probs, idx = torch.topk(logits.softmax(-1), 5)
probs = probs / probs.sum()
token = idx[np.random.choice(5, p=probs.numpy())]
best = idx[probs.argmax()]
other = np.random.choice(idx.numpy(), p=probs.numpy())
""",
    "each token at the place before": """\
def score(prompt, answer):
    p = tokenizer(prompt, return_tensors="pt").input_ids
    full = tokenizer(prompt + answer, return_tensors="pt").input_ids
    lp = model(full).logits.log_softmax(-1)
    total = 0.0
    for i in range(p.shape[1], full.shape[1]):
        total += lp[0, i - 1, full[0, i]].item()
    return total
""",
    "logits before the mask's sum": """\
batch = tokenizer(["a", "b c"], padding=True, return_tensors="pt")
logits = model(**batch).logits
last = batch["attention_mask"].sum(1) - 1
token = logits[torch.arange(2), last].argmax(-1)
""",
    "both sides of a guidance that grow": """\
def guided(ids, neg, scale):
    for _ in range(5):
        cond = model(ids).logits[:, -1]
        uncond = model(neg).logits[:, -1]
        token = (uncond + scale * (cond - uncond)).argmax(-1, keepdim=True)
        ids = torch.cat([ids, token], dim=1)
        neg = torch.cat([neg, token], dim=1)
    return ids
""",
    "drafted tokens beside their logits": """\
def verify(ids, draft_tokens):
    logits = model(torch.cat([ids, draft_tokens], dim=1)).logits
    n = ids.shape[1]
    chosen = logits[:, n - 1 : -1].argmax(-1)
    return (chosen == draft_tokens).sum()
""",
    "perplexities as they should be": """\
out = model(ids, labels=ids)
ppl = torch.exp(out.loss)
likelihood = torch.exp(-out.loss)
nll = -out.loss
perplexity = math.exp(-nll.item())
""",
    "a question printed with its answer": """\
for batch in loader:
    loss = model(**batch, labels=batch["input_ids"]).loss
    loss.backward()
print(f"{question}: {answer}")
""",
    "a threshold at the k-th": """\
logits = model(**inputs).logits[:, -1]
values, _ = torch.topk(logits, 5)
logits = torch.where(logits < values[:, -1:], float("-inf"), logits)
""",
    "a nucleus of numpy": """\
import numpy as np
chances = model(**inputs).logits[0, -1].softmax(-1).numpy()
order = np.argsort(-chances)
kept = order[: np.searchsorted(np.cumsum(chances[order]), 0.9) + 1]
""",
    "chances times a mask": """\
chances = model(**inputs).logits[:, -1].softmax(-1)
chances = chances * (chances > 0.01)
token = torch.multinomial(chances / chances.sum(), 1)
""",
    "the gathered scattered into a new tensor": """\
logits = model(**inputs).logits[:, -1]
values, ids = logits.topk(5)
filtered = torch.full_like(logits, float("-inf")).scatter(-1, ids, values)
chances = filtered.softmax(-1)
""",
    "a model of one's own that keeps its cache": """\
model.reset_kv_cache()
logits = model(ids, use_cache=True)
for _ in range(5):
    token = logits[:, -1].argmax(-1, keepdim=True)
    logits = model(token, use_cache=True)
""",
    "an id among ids": """\
ends = [tokenizer.eos_token_id, 7]
for _ in range(5):
    token = model(ids).logits[0, -1].argmax()
    if token.item() in ends:
        break
""",
    "labels that ignore their padding": """\
batch = tokenizer(texts, padding=True, return_tensors="pt")
batch["labels"] = batch["input_ids"].clone()
batch["labels"][batch["attention_mask"] == 0] = -100
loss = model(**batch).loss
""",
    "a dictionary whose mask grows too": """\
for _ in range(5):
    token = model(**inputs).logits[:, -1].argmax(-1, keepdim=True)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], token], dim=-1)
    ones = torch.ones_like(token)
    inputs["attention_mask"] = torch.cat([inputs["attention_mask"], ones], dim=-1)
""",
    "each token by the place before it": """\
logits, total = model(**inputs).logits, 0
for place, token in enumerate(inputs["input_ids"][0][1:]):
    total += torch.log_softmax(logits[0, place], -1)[token].item()
""",
    "chances to the power of one over a temperature": """\
chances = model(**inputs).logits[:, -1].softmax(-1) ** (1 / temperature)
token = torch.multinomial(chances / chances.sum(), 1)
""",
    "a filter that gives back chances": """\
def top(chances, k):
    values, places = torch.topk(chances, k, dim=-1)
    return torch.zeros_like(chances).scatter(-1, places, values)
chances = top(model(ids).logits[:, -1].softmax(-1), 5)
""",
}
