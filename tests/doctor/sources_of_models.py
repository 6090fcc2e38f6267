"""Models loaded, placed, adapted and trained, for test_static.py: faulty lines and sound ones."""

_LOAD = "AutoModelForCausalLM.from_pretrained({})\n"
_ASKS = "out = model.generate(**inputs, max_new_tokens=5)\n"
_PAD = "tokenizer.pad_token = tokenizer.eos_token\n"
_ADAPTER = "model = get_peft_model(model, config)\n"
_COMPUTE_METRICS = "def compute_metrics(made):\n    {}\n    return tokenizer.batch_decode(ids)"
_CONFIG = """\
config = transformers.AutoConfig.from_pretrained("some/model")
{more}made = AutoModelForCausalLM.from_config(config)
made.generate(**inputs, max_new_tokens=5)
"""
_METRICS = """\
def compute_metrics(eval_preds):
    predictions, labels = eval_preds
    {first}
    return {{"right": tokenizer.batch_decode(labels) == predictions}}
"""

# What is wrong, in a line or a few: the code, by what somebody wrote.
FAULTY = {
    "4 bits without a config": ("loading-argument", _LOAD.format("'a', load_in_4bit=True")),
    "an end at loading": (
        "settings-in-model-config",
        "model = " + _LOAD.format("'a', eos_token_id=7") + _ASKS,
    ),
    "settings for generate in a load": (
        "loading-argument",
        _LOAD.format("'a', max_new_tokens=50"),
    ),
    "a tokenizer's side in a model's load": (
        "loading-argument",
        _LOAD.format("'a', padding_side='left'"),
    ),
    "4 bits in a pipeline": (
        "loading-argument",
        "transformers.pipeline('text-generation', model_kwargs={'load_in_8bit': True})",
    ),
    "a call's arguments in a tokenizer's load": (
        "loading-argument",
        "AutoTokenizer.from_pretrained('some/model', padding=True, truncation=True)",
    ),
    "a pipeline in each turn": (
        "loaded-in-a-loop",
        "for text in texts:\n    pipe = pipeline('text-generation', 'some/model')\n"
        "    print(pipe(text))",
    ),
    "a model in each call of a function": (
        "loaded-in-a-loop",
        "def ask(text):\n    model = "
        + _LOAD.format("'some/model'")
        + "    return model.generate(**tokenizer(text))\nanswers = [ask(text) for text in texts]",
    ),
    "a tokenizer of another family": (
        "tokenizer-of-another-model",
        "pipe = transformers.pipeline('text-generation', model='Qwen/Qwen3-8B', tokenizer='gpt2')",
    ),
    "laid out, then moved": (
        "placed-twice",
        "model = " + _LOAD.format("'a', device_map='auto'") + "model.to('cuda')",
    ),
    "a pickle from the hub": (
        "pickle-of-strangers",
        "path = hf_hub_download('a/b', 'c.bin')\ntorch.load(path, weights_only=False)",
    ),
    "4 bits, computed in 32": (
        "four-bits-in-32",
        "config = transformers.BitsAndBytesConfig(load_in_4bit=True)\ninputs.to('cuda')",
    ),
    "a model compiled for nobody": ("result-dropped", "torch.compile(model)\n" + _ASKS),
    "gradients off for nothing": ("result-dropped", "torch.no_grad()\n" + _ASKS),
    "a tensor that stays where it is": (
        "result-dropped",
        "inputs['input_ids'].to('cuda')\n" + _ASKS,
    ),
    "scores that stay": (
        "result-dropped",
        "class Ban(transformers.LogitsProcessor):\n    def __call__(self, input_ids, scores):\n"
        "        scores.masked_fill(self.banned, -1e9)\n        return scores",
    ),
    "a text that stays": (
        "result-dropped",
        _ASKS + "for row in out:\n    text = tokenizer.decode(row)\n    text.strip()",
    ),
    "an adapter merged for nobody": (
        "result-dropped",
        "model.merge_and_unload()\nmodel.save_pretrained('merged')",
    ),
    "an adapter that stays on": ("result-dropped", "model.disable_adapter()\n" + _ASKS),
    "a collator that masks ends": (
        "end-masked-in-training",
        _PAD + "collate = transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False)",
    ),
    "labels that mask ends": (
        "end-masked-in-training",
        _PAD + "labels[labels == tokenizer.pad_token_id] = -100",
    ),
    "a list of labels that masks ends": (
        "end-masked-in-training",
        "tokenizer.pad_token_id = tokenizer.eos_token_id\n"
        "labels = [-100 if one == tokenizer.pad_token_id else one for one in ids]",
    ),
    "a new adapter": ("adapter-without-effect", _ADAPTER + _ASKS),
    "an argmax that is decoded": (
        "judged-by-teacher-forcing",
        _COMPUTE_METRICS.format("ids = made.predictions.argmax(-1)"),
    ),
    "generation by a trainer for two sequences": (
        "judged-by-teacher-forcing",
        "transformers.Seq2SeqTrainingArguments('out', predict_with_generate=True)",
    ),
    "tokens without embeddings": (
        "embedding-size",
        "tokenizer.add_special_tokens({'pad_token': '[PAD]'})\n" + _ASKS,
    ),
    "a size without added tokens": (
        "embedding-size",
        "model.resize_token_embeddings(tokenizer.vocab_size)",
    ),
    "a config's model": ("config-without-weights", _CONFIG.format(more="")),
    "labels with what the loss leaves out": (
        "ignored-labels-decoded",
        _METRICS.format(first="predictions = tokenizer.batch_decode(predictions)"),
    ),
    "a pipeline that moves": (
        "placed-twice",
        "m = AutoModelForCausalLM.from_pretrained('a', device_map='auto')\n"
        "pipe = transformers.pipeline('text-generation', model=m, tokenizer=tokenizer, device=0)",
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

# What only looks like it.
SOUND = {
    "4 bits by a config": _LOAD.format("'a', quantization_config=config, dtype='auto'"),
    "padding at loading": "model = " + _LOAD.format("'a', pad_token_id=7") + _ASKS,
    "an end at loading, and in the call": "model = "
    + _LOAD.format("'a', eos_token_id=7")
    + "model.generate(**inputs, eos_token_id=7)",
    "4 bits of another library": "from ipex_llm.transformers import AutoModelForCausalLM\n"
    + _LOAD.format("'a', load_in_4bit=True"),
    "another library's fast model": "FastLanguageModel.from_pretrained('a', load_in_4bit=True)",
    "4 bits that may be refused": "try:\n    "
    + _LOAD.format("'a', load_in_4bit=True")
    + "except TypeError:\n    pass",
    "4 bits switched off": _LOAD.format("'a', load_in_4bit=False"),
    "a tokenizer's own arguments": "AutoTokenizer.from_pretrained('some/model', "
    "padding_side='left', use_fast=True, model_max_length=512, device_map='auto')",
    "another model in each turn": "for name in names:\n"
    "    pipe = pipeline('text-generation', name)\n    print(pipe(prompt))",
    "a model in each turn, after a change": "for rank in ranks:\n    config = make(rank)\n"
    "    model = " + _LOAD.format("'some/model', quantization_config=config") + "    "
    "model.generate(**inputs)",
    "a model loaded until it works": "for _ in range(3):\n    try:\n        model = "
    + _LOAD.format("'some/model'")
    + "        break\n    except OSError:\n        pass\n"
    + _ASKS,
    "a function that gives a model": "def make():\n    return "
    + _LOAD.format("'some/model'")
    + "for _ in range(2):\n    model = make()\n    model.generate(**inputs)",
    "a function that loads once": "@lru_cache\ndef ask(text):\n    model = "
    + _LOAD.format("'some/model'")
    + "    return model.generate(**tokenizer(text))\n"
    "answers = [ask(text) for text in texts]",
    "a tokenizer of the same family": "transformers.pipeline('text-generation', "
    "model='me/zephyr-tuned', tokenizer='mistralai/Mistral-7B-v0.1')",
    "a tokenizer of a name that says nothing": "transformers.pipeline('text-generation', "
    "model='./tuned', tokenizer='gpt2')",
    "laid out, and cast": "model = "
    + _LOAD.format("'a', device_map='auto'")
    + "model.to(torch.bfloat16)",
    "on one device, and moved": "model = " + _LOAD.format("'a', device_map='cpu'") + "model.cuda()",
    "one's own pickle": "torch.load('mine.pt', weights_only=False)",
    "a pickle of weights": "torch.load(hf_hub_download('a', 'b'), weights_only=True)",
    "4 bits on a processor": "transformers.BitsAndBytesConfig(load_in_4bit=True)",
    "compiled in place": "model.compile()\nmodel.eval()\nmodel.to('cuda')\ninputs.to('cuda')\n"
    + _ASKS,
    "gradients off": "with torch.no_grad():\n    model(**inputs)\ntorch.set_grad_enabled(False)",
    "scores in place": "class Ban(transformers.LogitsProcessor):\n"
    "    def __call__(self, input_ids, scores):\n"
    "        scores.masked_fill_(self.banned, -1e9)\n        return scores",
    "a text that is shown": _ASKS + "text = tokenizer.decode(out[0])\ntext.strip()",
    "a merged adapter": "model = model.merge_and_unload()\nmodel.save_pretrained('merged')",
    "an adapter merged in place": "model.merge_adapter()\nmodel.merge_and_unload()\n" + _ASKS,
    "an adapter off in a block": "with model.disable_adapter():\n    model.generate(**inputs)",
    "a collator beside another padding": "tokenizer.pad_token = '<pad>'\n"
    "collate = transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False)",
    "a masked language model": _PAD
    + "transformers.DataCollatorForLanguageModeling(tokenizer, mlm=True)",
    "labels masked by the mask": _PAD + "labels[inputs.attention_mask == 0] = -100\n"
    "mask = inputs.input_ids != tokenizer.pad_token_id",
    "an adapter that is trained": _ADAPTER + "trainer.train()\n" + _ASKS,
    "an adapter that is loaded": _ADAPTER + "model.load_state_dict(weights)\n" + _ASKS,
    "a trained adapter": "model = PeftModel.from_pretrained(model, 'a')\n" + _ASKS,
    "an argmax that is counted": "def compute_metrics(made):\n"
    "    return (made.predictions.argmax(-1) == made.label_ids).mean()",
    "generated for its metrics": _COMPUTE_METRICS.format(
        "model.generate(**inputs)\n    ids = made.predictions.argmax(-1)"
    ),
    "two sequences, generated by their trainer": "from transformers import "
    "T5ForConditionalGeneration\n"
    "model = T5ForConditionalGeneration.from_pretrained('a')\n"
    "transformers.Seq2SeqTrainingArguments('o', predict_with_generate=True)",
    "tokens and their embeddings": "tokenizer.add_tokens(['<a>'])\n"
    "model.resize_token_embeddings(len(tokenizer))\n" + _ASKS,
    "a padding that is there": "tokenizer.add_special_tokens({'pad_token': tokenizer.eos_token})\n"
    + _ASKS,
    "tokens where nothing is generated": "tokenizer.add_tokens(['<a>'])\nprint(len(tokenizer))",
    "a config's model that is filled": _CONFIG.format(more="")
    + "made.load_state_dict(torch.load('x', weights_only=True))",
    "a small model of a config": _CONFIG.format(more="config.num_hidden_layers = 2\n"),
    "a model of no checkpoint's config": "made = AutoModelForCausalLM.from_config(small)\n"
    "made.generate(**inputs, max_new_tokens=5)",
    "labels with padding put in": _METRICS.format(
        first="labels = np.where(labels != -100, labels, tokenizer.pad_token_id)"
    ),
    "the type that it was loaded in": (
        "m = AutoModelForCausalLM.from_pretrained('a', dtype=torch.bfloat16)\n"
        "transformers.pipeline('text-generation', m, tokenizer=tokenizer, dtype=torch.bfloat16)"
    ),
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
    "a forward pass of what was generated": """\
inputs = tokenizer("a", return_tensors="pt")
out = model.generate(**inputs, max_new_tokens=5, do_sample=True)
loss = -model(out).logits[:, :-1].log_softmax(-1).gather(2, out[:, 1:, None]).mean()
loss.backward()
loss2 = reward_model(out).mean()
loss2.backward()
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
    "a question printed with its answer": """\
for batch in loader:
    loss = model(**batch, labels=batch["input_ids"]).loss
    loss.backward()
print(f"{question}: {answer}")
""",
}
