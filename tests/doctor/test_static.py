"""`doctor --static`: what the source of a script shows, without running anything of it."""

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from llmcourse.__main__ import main
from llmcourse.doctor.finding import LIKELY
from llmcourse.doctor.pitfalls import PITFALLS
from llmcourse.doctor.static import IN_THE_SOURCE, look, python_of
from llmcourse.doctor.static.order import PLACES
from llmcourse.doctor.static.reading.source import Source
from tests.doctor import (
    sources_of_answers,
    sources_of_calls,
    sources_of_loops,
    sources_of_models,
    sources_of_prompts,
    sources_of_rules,
    sources_of_sampling,
    sources_of_scores,
    sources_of_stopping,
)

ROOT = Path(__file__).parent.parent.parent

LOADS = """\
import torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
model = AutoModelForCausalLM.from_pretrained("some/model")
tokenizer = AutoTokenizer.from_pretrained("some/model")
prompt = "A list of colors: red, blue"
inputs = tokenizer(prompt, return_tensors="pt").to(model.device)
"""
ASKS = "out = model.generate(**inputs, max_new_tokens=5)\n"
LOOP = """\
ids, mask = inputs.input_ids, inputs.attention_mask
for _ in range(5):
    logits = model({read}).logits
    token = logits[:, -1:].argmax(-1)
    ids = torch.cat([ids, token], dim=1)
"""

WRAPPER = """\
class Wrapped(torch.nn.Module):
    def generate(self, {takes}):
        return self.base.generate(**kwargs)
model = Wrapped(model)
"""
PROCESSOR = """\
class Format(transformers.LogitsProcessor):
    def __call__(self, input_ids, scores):
        {does}
        {returns}
"""
CRITERION = """\
class Stop(transformers.StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        {returns}
"""
BATCH = """\
prompts = ["one", "two"]
batch = tokenizer(prompts, padding=True, return_tensors="pt")
"""
SEVERAL = (
    BATCH
    + """\
out = model.generate(**batch, do_sample=True, num_return_sequences=3)
texts = tokenizer.batch_decode(out, skip_special_tokens=True)
"""
)
PIPE = """\
pipe = transformers.pipeline("text-generation"{told})
text = pipe(prompt, max_new_tokens=9)[0]["generated_text"]
"""
STREAM = """\
streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True)
Thread(target=model.generate, kwargs={**inputs, "streamer": streamer}).start()
"""
COUNTS = PROCESSOR.format(does="self.place += 1", returns="return scores")

# What is wrong, in a line or a few after LOADS: the code, by what somebody wrote.
FAULTY = {
    "a dictionary by position": ("inputs-by-position", "model.generate(inputs, max_new_tokens=5)"),
    "a tokenizer's call by position": (
        "inputs-by-position",
        "model.generate(tokenizer(prompt, return_tensors='pt'), max_new_tokens=5)",
    ),
    "a template's output by position": (
        "inputs-by-position",
        "chat = tokenizer.apply_chat_template([], add_generation_prompt=True)\n"
        "model.generate(chat)",
    ),
    "ids by position to a wrapper of keywords": (
        "wrapper-takes-keywords",
        WRAPPER.format(takes="**kwargs") + "model.generate(inputs.input_ids, max_new_tokens=5)",
    ),
    "both lengths": ("two-lengths", "model.generate(**inputs, max_length=9, max_new_tokens=5)"),
    "both lengths in a pipeline": (
        "two-lengths",
        "pipe = transformers.pipeline('text-generation')\n"
        "pipe(prompt, max_length=9, max_new_tokens=5)",
    ),
    "seeds in a loop": (
        "seed-without-sampling",
        "for seed in range(3):\n    set_seed(seed)\n    model.generate(**inputs)",
    ),
    "one seed": ("seed-without-sampling", "torch.manual_seed(0)\n" + ASKS),
    "both lengths in a dictionary": (
        "two-lengths",
        "settings = {'max_length': 9, 'max_new_tokens': 5}\nmodel.generate(**inputs, **settings)",
    ),
    "both lengths of a thread": (
        "two-lengths",
        "call = dict(inputs, max_length=9, max_new_tokens=5)\n"
        "Thread(target=model.generate, kwargs=call).start()",
    ),
    "temperatures in a loop": (
        "sampling-ignored",
        "for t in (0.2, 1.0):\n    model.generate(**inputs, temperature=t)",
    ),
    "no sampling, and top-p": (
        "sampling-ignored",
        "model.generate(**inputs, do_sample=False, temperature=0.4, top_p=0.9)",
    ),
    "no sampling in a config": (
        "sampling-ignored",
        "config = transformers.GenerationConfig(do_sample=False, top_k=5)",
    ),
    "no sampling in a dictionary": (
        "sampling-ignored",
        "settings = {'do_sample': False, 'temperature': 0.9}\n"
        "def ask(inputs):\n    return model.generate(**inputs, **settings)",
    ),
    "a temperature of 0": ("sampling-ignored", "model.generate(**inputs, temperature=0.0)"),
    "sampling at 0": (
        "temperature-too-low",
        "for t in (0.7, 0.0):\n"
        "    config = transformers.GenerationConfig(do_sample=True, temperature=t)",
    ),
    "sampling near 0": (
        "temperature-too-low",
        "model.generate(**inputs, do_sample=True, temperature=1e-4)",
    ),
    "a top-k of 1": ("one-candidate", "model.generate(**inputs, do_sample=True, top_k=1)"),
    "a top-p of 0": (
        "one-candidate",
        "pipe = transformers.pipeline('text-generation')\npipe(prompt, do_sample=True, top_p=0.0)",
    ),
    "a length penalty without beams": (
        "beam-settings-ignored",
        "for p in (0.6, 2.0):\n    model.generate(**inputs, length_penalty=p)",
    ),
    "early stopping with one beam": (
        "beam-settings-ignored",
        "model.generate(**inputs, num_beams=1, early_stopping=True)",
    ),
    "the same seed in each turn": (
        "same-seed-each-call",
        "for _ in range(4):\n    set_seed(42)\n    out = model.generate(**inputs, do_sample=True)\n"
        "    print(tokenizer.decode(out[0]))",
    ),
    "the same seed by a name": (
        "same-seed-each-call",
        "seed, texts = 7, []\nwhile len(texts) < 4:\n    torch.manual_seed(seed)\n"
        "    texts.append(model.generate(inputs.input_ids, do_sample=True, top_p=0.9))",
    ),
    "len(out[0])": ("counts-prompt", ASKS + "new_tokens = len(out[0])"),
    "a list of counts": ("counts-prompt", "counts = []\n" + ASKS + "counts.append(len(out[0]))"),
    "tokens per second": (
        "counts-prompt",
        "import time\nstart = time.time()\n"
        + ASKS
        + "elapsed = time.time() - start\nprint(out.shape[1] / elapsed)",
    ),
    "tokens per second by a name": (
        "counts-prompt",
        "import time\nstart = time.time()\n" + ASKS + "n = out.shape[-1]\n"
        "print(n / (time.time() - start))",
    ),
    "a count in words": ("counts-prompt", ASKS + "print(f'{len(out[0])} new tokens')"),
    "of the sequences": (
        "counts-prompt",
        "made = model.generate(**inputs, return_dict_in_generate=True)\n"
        "generated = len(made.sequences[0])",
    ),
    "cut by characters": (
        "prompt-cut-by-characters",
        ASKS + "text = tokenizer.decode(out[0])\nprint(text[len(prompt):])",
    ),
    "replaced": (
        "prompt-cut-by-characters",
        ASKS + "print(tokenizer.decode(out[0], skip_special_tokens=True).replace(prompt, ''))",
    ),
    "cut in a loop over both": (
        "prompt-cut-by-characters",
        "asked = ['a', 'b']\nbatch = tokenizer(asked)\nout = model.generate(**batch)\n"
        "texts = tokenizer.batch_decode(out, skip_special_tokens=True)\n"
        "for one, text in zip(asked, texts, strict=True):\n    print(text[len(one):])",
    ),
    "cut in a comprehension": (
        "prompt-cut-by-characters",
        "out = model.generate(**inputs)\ntexts = [tokenizer.decode(row) for row in out]\n"
        "answers = [text.replace(prompts[n], '') for n, text in enumerate(texts)]",
    ),
    "the first of a batch is cut": (
        "prompt-cut-by-characters",
        ASKS + "text = tokenizer.batch_decode(out)[0]\nprint(text[len(prompt):])",
    ),
    "a cache of a tensor": ("output-is-a-tensor", ASKS + "print(out.past_key_values)"),
    "scores that were not returned": (
        "output-is-a-tensor",
        "out = model.generate(**inputs, output_scores=True)\nfirst = out.scores[0]",
    ),
    "states of a call whose config asks for them alone": (
        "output-is-a-tensor",
        "config = GenerationConfig(max_new_tokens=9, output_hidden_states=True)\n"
        "out = model.generate(**inputs, generation_config=config)\nout['hidden_states'][0]",
    ),
    "a row of encode, token by token": (
        "piecewise-decoding",
        "ids = tokenizer.encode(prompt)\npieces = [tokenizer.decode([x]) for x in ids]\n"
        "same = ''.join(pieces) == prompt",
    ),
    "a template's shape": (
        "encoding-has-no-shape",
        "ids = tokenizer.apply_chat_template([], return_tensors='pt')\nlength = ids.shape[1]\n"
        "ids = torch.cat([ids, ids], dim=1)",
    ),
    "a tokenizer's list": ("encoding-has-no-shape", "print(tokenizer(prompt).tolist())"),
    "raw tokens": (
        "raw-tokens-joined",
        ASKS + "tokens = tokenizer.convert_ids_to_tokens(out[0].tolist())\nprint(''.join(tokens))",
    ),
    "raw tokens, with blanks": (
        "raw-tokens-joined",
        ASKS + "new = out[0][5:]\nprint(' '.join(tokenizer.convert_ids_to_tokens(new)))",
    ),
    "a softmax of what was drawn from": (
        "scores-are-processed",
        "out = model.generate(**inputs, do_sample=True, top_k=5, output_scores=True,\n"
        "    return_dict_in_generate=True)\nshares = torch.softmax(out.scores[0], dim=-1)",
    ),
    "a prompt cut off where there is none": (
        "embeds-output-sliced",
        "out = model.generate(inputs_embeds=embeds, max_new_tokens=5)\n"
        "print(tokenizer.decode(out[0, inputs.input_ids.shape[1]:]))",
    ),
    "of one row, cut": (
        "embeds-output-sliced",
        "out = model.generate(inputs_embeds=embeds)\nnew = out[0][prompt_length:]",
    ),
    "a row as a batch": (
        "piecewise-decoding",
        ASKS + "texts = tokenizer.batch_decode(out[0][:, None])\nprint(' '.join(texts))",
    ),
    "a column as a batch": (
        "piecewise-decoding",
        ASKS + "print(''.join(tokenizer.batch_decode(out[0, 5:].unsqueeze(1))))",
    ),
    "joined": (
        "piecewise-decoding",
        ASKS + "print(''.join(tokenizer.decode(t) for t in out[0, 5:]))",
    ),
    "a list that is joined": (
        "piecewise-decoding",
        ASKS + "pieces = [tokenizer.decode([t]) for t in out[0]]\nprint(''.join(pieces))",
    ),
    "printed one by one": (
        "piecewise-decoding",
        ASKS + "for t in out[0][5:]:\n    print(tokenizer.decode(t), end='', flush=True)",
    ),
    "added in a loop": (
        "piecewise-decoding",
        "text = ''\n" + LOOP.format(read="ids") + "    text += tokenizer.decode(token[0])",
    ),
    "a mask that stays": (
        "mask-does-not-grow",
        LOOP.format(read="ids, attention_mask=mask"),
    ),
    "the inputs' mask": (
        "mask-does-not-grow",
        LOOP.format(read="input_ids=ids, attention_mask=inputs['attention_mask']"),
    ),
    "a mask of the new token, beside a cache": (
        "mask-does-not-grow",
        "ids, mask, past = inputs.input_ids, inputs.attention_mask, None\n"
        "for _ in range(5):\n"
        "    out = model(ids, attention_mask=mask, past_key_values=past)\n"
        "    past, ids = out.past_key_values, out.logits[:, -1:].argmax(-1)\n"
        "    mask = torch.ones_like(ids)",
    ),
    "the mask of a new part": (
        "mask-does-not-grow",
        "past = model(**inputs).past_key_values\nmore = tokenizer(' and', return_tensors='pt')\n"
        "model(more.input_ids, attention_mask=more['attention_mask'], past_key_values=past)",
    ),
    "a new part unpacked": (
        "mask-does-not-grow",
        "first = model(**inputs)\nmore = tokenizer(' and', return_tensors='pt')\n"
        "model(**more, past_key_values=first.past_key_values)",
    ),
    "generate without a cache": ("no-cache", "model.generate(**inputs, use_cache=False)"),
    "a cache off in a dictionary": (
        "no-cache",
        "settings = {'use_cache': False}\nmodel.generate(**inputs, **settings)",
    ),
    "a loop without a cache": ("no-cache", LOOP.format(read="ids, use_cache=False")),
    "a cache and nothing to read": (
        "cache-without-ids",
        "model.generate(past_key_values=cache, max_new_tokens=5)",
    ),
    "a prefix's cache for two questions": (
        "cache-already-filled",
        "answers = []\nfor question in ('a', 'b'):\n"
        "    inputs = tokenizer(prompt + question, return_tensors='pt')\n"
        "    out = model.generate(**inputs, past_key_values=cache)\n    answers.append(out)",
    ),
    "outputs kept": (
        "loop-without-no-grad",
        "vectors = []\nfor text in texts:\n    batch = tokenizer(text, return_tensors='pt')\n"
        "    out = model(**batch, output_hidden_states=True)\n"
        "    vectors.append(out.hidden_states[-1][:, -1].cpu())",
    ),
    "outputs kept by name": (
        "loop-without-no-grad",
        "for text in texts:\n"
        "    logits[text] = model(tokenizer(text, return_tensors='pt').input_ids).logits",
    ),
    "a sum that is kept": (
        "loop-without-no-grad",
        "for batch in batches:\n    logits = model(batch).logits\n"
        "    total += logits.log_softmax(-1).sum()",
    ),
    "an answer scored one too late": (
        "logits-not-shifted",
        "ids = torch.cat([inputs.input_ids, answer], dim=1)\n"
        "chances = model(ids).logits[0, inputs.input_ids.shape[1]:].log_softmax(-1)",
    ),
    "logits by name": (
        "logits-not-shifted",
        "logits = model(ids).logits\nn = len(question)\n"
        "chances = torch.log_softmax(logits[:, n:, :], dim=-1)",
    ),
    "all gathered in place": (
        "logits-not-shifted",
        "ids = inputs.input_ids\nchances = model(ids).logits.log_softmax(-1)\n"
        "print(chances.gather(-1, ids.unsqueeze(-1)))",
    ),
    "a loss in place": (
        "logits-not-shifted",
        "out = model(**inputs)\n"
        "F.cross_entropy(out.logits.view(-1, 9), inputs['input_ids'].view(-1))",
    ),
    "a processor without return": (
        "processor-returns-none",
        PROCESSOR.format(does="scores[:, 7] -= 1", returns="scores[:, 8] -= 1"),
    ),
    "a criterion without return": (
        "processor-returns-none",
        CRITERION.format(returns="self.done = True"),
    ),
    "a processor that counts, in a loop": (
        "stateful-processor",
        COUNTS + "form = Format()\nfor text in texts:\n"
        "    model.generate(**tokenizer(text), logits_processor=[form])",
    ),
    "a processor that counts, in two calls": (
        "stateful-processor",
        COUNTS.replace("self.place += 1", "allowed = next(self.ids)")
        + "form = Format()\nrules = transformers.LogitsProcessorList([form])\n"
        "first = model.generate(**inputs, logits_processor=rules)\n"
        "second = model.generate(**inputs, logits_processor=rules)",
    ),
    "a stop word anywhere": (
        "stop-reads-the-prompt",
        CRITERION.format(returns="return self.word in tokenizer.decode(input_ids[0])"),
    ),
    "a stop token anywhere": (
        "stop-reads-the-prompt",
        CRITERION.format(returns="return self.id in input_ids[0].tolist()"),
    ),
    "a stop word's tokens anywhere": (
        "stop-reads-the-prompt",
        CRITERION.format(returns="return bool(torch.isin(self.ids, input_ids[0]).all())"),
    ),
    "a model of 4 bits, halved": (
        "quantized-cast",
        "big = transformers.AutoModelForCausalLM.from_pretrained('x', quantization_config=c)\n"
        "big.half()",
    ),
    "a quantized model, moved with a dtype": (
        "quantized-cast",
        "model = transformers.AutoModelForCausalLM.from_pretrained(\n"
        "    'x', quantization_config=config\n).to('cuda', dtype=torch.float16)",
    ),
    "checkpointing while it generates": (
        "gradient-checkpointing-left-on",
        "model.gradient_checkpointing_enable()\nmodel.train()\nmodel.generate(**inputs)",
    ),
    "a length in the model's config": (
        "settings-in-model-config",
        "model.config.max_length = 60\nmodel.generate(**inputs)",
    ),
    "an end in the model's config": (
        "settings-in-model-config",
        "model.config.eos_token_id = 7\nmodel.config.pad_token_id = 7\n" + ASKS,
    ),
    "a banned word without its space": (
        "bad-words-one-spelling",
        "bad = tokenizer(['Paris'], add_special_tokens=False).input_ids\n"
        "model.generate(**inputs, bad_words_ids=bad)",
    ),
    "a banned word in its pieces": (
        "bad-words-one-spelling",
        "model.generate(**inputs, bad_words_ids=[tokenizer.encode(w) for w in ('Rome', 'Oslo')])",
    ),
    "ids of a stop word": (
        "stop-ids-never-match",
        CRITERION.format(returns="return bool((input_ids[0, -2:] == self.ids).all())")
        + "stop = Stop(tokenizer('seven', add_special_tokens=False).input_ids)",
    ),
    "ids of a stop word by name": (
        "stop-ids-never-match",
        CRITERION.format(returns="return bool((input_ids[0, -2:] == self.ids).all())")
        + "word = 'Human'\nids = tokenizer.encode(word, return_tensors='pt')[0]\n"
        "stops = transformers.StoppingCriteriaList([Stop(ids=ids)])",
    ),
    "a space at the end": (
        "trailing-space",
        "asked = tokenizer('Question: a\\nAnswer: ', return_tensors='pt')\nmodel.generate(**asked)",
    ),
    "a space at a template's end": (
        "trailing-space",
        "template = 'User: {q}\\nAssistant: '\ntexts = [template.format(q=q) for q in 'ab']\n"
        "batch = tokenizer(texts, padding=True)\nmodel.generate(batch.input_ids)",
    ),
    "a space at an f-string's end": (
        "trailing-space",
        "ids = tokenizer.encode(prompt, return_tensors='pt')\n"
        "asked = tokenizer(f'{prompt} is: ', return_tensors='pt').to('cuda')\n"
        "model.generate(input_ids=asked['input_ids'])",
    ),
    "continued and opened": (
        "generation-prompt-misplaced",
        "tokenizer.apply_chat_template(messages, add_generation_prompt=True, "
        "continue_final_message=True)",
    ),
    "an answer that is closed": (
        "generation-prompt-misplaced",
        "chat = [{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': 'One,'}]\n"
        "tokenizer.apply_chat_template(chat, add_generation_prompt=True)",
    ),
    "a streamed prompt": (
        "prompt-in-output",
        "transformers.TextIteratorStreamer(tokenizer, skip_special_tokens=True)",
    ),
    "a reader that hardly waits": (
        "streamer-timeout",
        "transformers.TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=0.01)",
    ),
    "the last id alone": ("cache-not-fed-back", LOOP.format(read="ids[:, -1:]")),
    "the last token alone": (
        "cache-not-fed-back",
        "token = inputs.input_ids\nfor _ in range(5):\n"
        "    made = model(token, use_cache=True)\n"
        "    token = made.logits[:, -1:].argmax(-1)",
    ),
    "sampling off as a text": (
        "argument-of-wrong-kind",
        "model.generate(**inputs, max_new_tokens=5, do_sample='False')",
    ),
    "a temperature as a text": (
        "argument-of-wrong-kind",
        "model.generate(**inputs, do_sample=True, temperature='0.7')",
    ),
    "a token for its id": (
        "argument-of-wrong-kind",
        "model.generate(**inputs, eos_token_id=tokenizer.eos_token)",
    ),
    "one processor for a list": (
        "argument-of-wrong-kind",
        "model.generate(**inputs, logits_processor=transformers.TopKLogitsWarper(5))",
    ),
    "a flag of the command line as bool": (
        "argument-of-wrong-kind",
        "parser.add_argument('--do_sample', type=bool, default=False)",
    ),
    "another library's names": ("refused", "model.generate(**inputs, max_tokens=5)"),
    "another library's stop words": ("refused", "model.generate(**inputs, stop=['###'])"),
    "a minimum above the limit": (
        "min-beyond-limit",
        "model.generate(**inputs, min_new_tokens=50, max_new_tokens=20)",
    ),
    "a penalty below 1": ("penalty-rewards", "model.generate(**inputs, repetition_penalty=0.5)"),
    "beams that are drawn": (
        "beam-sampling",
        "model.generate(**inputs, do_sample=True, num_beams=4)",
    ),
    "beams of a pipeline that samples of its own accord": (
        "beam-sampling",
        "pipe = transformers.pipeline('text-generation', model=name)\npipe(prompt, num_beams=4)",
    ),
    "the end token suppressed": (
        "end-token-banned",
        "model.generate(**inputs, suppress_tokens=[*tokenizer.all_special_ids])",
    ),
    "the first piece of a word as the end": (
        "eos-from-encode",
        "model.generate(**inputs, eos_token_id=tokenizer.encode('END')[0])",
    ),
    "the pieces of a word as ends": (
        "eos-from-encode",
        "stop = tokenizer('Human:', add_special_tokens=False).input_ids\n"
        "model.generate(**inputs, eos_token_id=stop)",
    ),
    "a config that no call gets": (
        "config-never-used",
        "config = transformers.GenerationConfig(max_new_tokens=5)\n" + ASKS,
    ),
    "Python's seed": (
        "seed-of-another-library",
        "import random\nrandom.seed(0)\nmodel.generate(**inputs, do_sample=True)",
    ),
    "prompts beside several rows each": ("rows-per-prompt", SEVERAL + "list(zip(prompts, texts))"),
    "rows counted as prompts": (
        "rows-per-prompt",
        SEVERAL + "for i, text in enumerate(texts):\n    print(prompts[i], text)",
    ),
    "a criterion of the first row": (
        "criterion-of-one-row",
        CRITERION.format(returns="return input_ids[0, -1] == 9")
        + BATCH
        + "model.generate(**batch, stopping_criteria=[Stop()])",
    ),
    "answers that are never appended": (
        "answers-not-kept",
        "messages = []\nfor question in questions:\n"
        "    messages.append({'role': 'user', 'content': question})\n"
        "    chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True)\n"
        "    model.generate(**chat, max_new_tokens=5)",
    ),
    "a dialogue that begins anew each turn": (
        "history-not-passed",
        "while True:\n    messages = [{'role': 'user', 'content': input()}]\n"
        "    chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True)\n"
        "    model.generate(**chat, max_new_tokens=5)",
    ),
    "the system message in each turn": (
        "message-twice",
        "messages = []\nfor question in questions:\n"
        "    messages.append({'role': 'system', 'content': system})\n"
        "    messages.append({'role': 'user', 'content': question})\n"
        "    messages.append({'role': 'assistant', 'content': ask(messages)})",
    ),
    "an answer that is kept with its prompt": (
        "prompt-in-history",
        ASKS + "answer = tokenizer.decode(out[0], skip_special_tokens=True)\n"
        "messages.append({'role': 'assistant', 'content': answer})",
    ),
    "an answer that is kept with its end": (
        "control-token-in-message",
        ASKS + "answer = tokenizer.decode(out[0, 5:])\n"
        "messages.append({'role': 'assistant', 'content': answer})",
    ),
    "a thought of one line": (
        "thinking-half-marked",
        "import re\nanswer = re.sub(r'<think>.*?</think>', '', text)",
    ),
    "a thought with both marks, where the prompt has one": (
        "thinking-half-marked",
        "import re\nasked = prompt + '<think>'\n"
        "thought = re.search(r'<think>(.*?)</think>', text, re.DOTALL).group(1)",
    ),
    "a response without its prompt": (
        "parse-without-prefix",
        "tokenizer.parse_response(text)",
    ),
    "a tool without a docstring": (
        "tool-without-schema",
        "def weather(city: str):\n    return 3\n"
        "tokenizer.apply_chat_template(messages, tools=[weather])",
    ),
    "a tool without types": (
        "tool-without-schema",
        "def weather(city):\n    'Look it up.\\n\\nArgs:\\n    city: The city.'\n"
        "tokenizer.apply_chat_template(messages, tools=[weather])",
    ),
    "a tool as text": (
        "tool-without-schema",
        "import json\ntokenizer.apply_chat_template(messages, tools=[json.dumps(tool)])",
    ),
    "a template's argument, misspelt": (
        "template-argument-ignored",
        "tokenizer.apply_chat_template(messages, add_generation_promt=True)",
    ),
    "a tokenizer's argument, misspelt": (
        "tokenizer-argument-ignored",
        "tokenizer(prompt, return_tensor='pt')",
    ),
    "a setting of generate for the tokenizer": (
        "tokenizer-argument-ignored",
        "tokenizer(prompt, return_tensors='pt', max_new_tokens=5)",
    ),
    "an f that is missing": (
        "placeholder-left",
        "question = 'who?'\nasked = tokenizer('Q: {question}\\nA:', return_tensors='pt')",
    ),
    "an f that is missing in a message": (
        "placeholder-left",
        "question = 'who?'\nmessages = [{'role': 'user', 'content': 'Answer: {question}'}]",
    ),
    "a question as a second text": (
        "text-pair",
        "asked = tokenizer(context, question, return_tensors='pt')\nmodel.generate(**asked)",
    ),
    "a comma after a message's content": (
        "content-not-text",
        "messages = [{'role': 'user', 'content': (prompt,)}]",
    ),
    "a prompt cut off what is without it": (
        "prompt-cut-twice",
        PIPE.format(told=", return_full_text=False") + "print(text[len(prompt):])",
    ),
    "a piece cut by all before it": (
        "piece-cut-as-whole",
        STREAM + "shown = ''\nfor piece in streamer:\n    shown += piece[len(shown):]",
    ),
    "code without its indentation": (
        "continuation-stripped",
        "inputs = tokenizer(prompt, return_tensors='pt')\nout = model.generate(**inputs)\n"
        "text = tokenizer.decode(out[0, 9:], skip_special_tokens=True).strip()\n"
        "print(prompt + text)",
    ),
    "an end looked for in a pipeline's text": (
        "needed-token-skipped",
        PIPE.format(told=", return_full_text=False") + "whole = text.endswith('<|im_end|>')",
    ),
    "an end looked for where it is skipped": (
        "needed-token-skipped",
        "text = tokenizer.decode(ids, skip_special_tokens=True)\n"
        "whole = tokenizer.eos_token in text",
    ),
    "a pipeline's text kept as the answer": (
        "prompt-in-output",
        PIPE.format(told="") + "messages = [{'role': 'assistant', 'content': text}]",
    ),
    "rows counted from a prompt's number": (
        "rows-per-prompt",
        SEVERAL + "groups = [texts[i : i + 3] for i in range(len(prompts))]",
    ),
}

# What is sound and looks like it.
SOUND = {
    "ids by name to a wrapper": WRAPPER.format(takes="**kwargs")
    + "model.generate(input_ids=inputs.input_ids, max_new_tokens=5)",
    "ids by position to a wrapper that takes them": WRAPPER.format(takes="ids, **kwargs")
    + "model.generate(inputs.input_ids, max_new_tokens=5)",
    "ids by position to a wrapper of anything": WRAPPER.format(takes="*args, **kwargs")
    + "model.generate(inputs.input_ids, max_new_tokens=5)",
    "unpacked": ASKS,
    "ids by position": "model.generate(inputs.input_ids)\nmodel.generate(inputs['input_ids'])",
    "encoded by position": "model.generate(tokenizer.encode(prompt, return_tensors='pt'))",
    "a template's ids": "chat = tokenizer.apply_chat_template([], return_dict=False)\n"
    "model.generate(chat)",
    "another library's generate": "llm = vllm.LLM('x')\nllm.generate(tokenizer(prompt))",
    "bound twice": "inputs = inputs.input_ids\nmodel.generate(inputs)",
    "an argument": "def ask(inputs):\n    return model.generate(inputs)",
    "one length": "model.generate(**inputs, max_length=None, max_new_tokens=5)",
    "both lengths to others": "others(prompt, max_length=9, max_new_tokens=5)",
    "a seed and draws": "set_seed(0)\nmodel.generate(**inputs, do_sample=True)",
    "a seed and settings": "set_seed(0)\nmodel.generate(**inputs, generation_config=config)",
    "a seed and unseen settings": "set_seed(0)\nmodel.generate(**inputs, **settings)",
    "a seed for weights": "torch.manual_seed(0)\nprint(torch.randn(3))\n" + ASKS,
    "a seed, no call": "torch.manual_seed(0)",
    "settings that are changed later": "settings = {'max_length': 9, 'max_new_tokens': 5}\n"
    "settings.pop('max_length')\nmodel.generate(**inputs, **settings)",
    "a temperature and draws": "model.generate(**inputs, do_sample=True, temperature=0.7)",
    "a temperature of 1": "model.generate(**inputs, do_sample=False, temperature=1.0, top_p=1.0)",
    "a temperature in a pipeline": "pipe = transformers.pipeline('text-generation')\n"
    "pipe(prompt, temperature=0.7)",
    "a temperature and unseen settings": "model.generate(**inputs, **settings, temperature=0.7)",
    "a temperature, and a config that samples": "model.generation_config.do_sample = True\n"
    "model.generate(**inputs, temperature=0.7)",
    "a temperature that may be None": "model.generate(**inputs, do_sample=False, temperature=None)",
    "sampling decided by the temperature": "for t in (0.0, 0.7):\n"
    "    model.generate(**inputs, do_sample=t > 0, temperature=t)",
    "a top-k of 1 without draws": "model.generate(**inputs, do_sample=False, top_k=0)",
    "top-k of several": "for k in (1, 50):\n    model.generate(**inputs, do_sample=True, top_k=k)",
    "a length penalty with beams": "model.generate(**inputs, num_beams=4, length_penalty=2.0)",
    "beams that are not seen": "def ask(n):\n"
    "    return model.generate(**inputs, num_beams=n, early_stopping=True)",
    "beams in the config": "model.generation_config.num_beams = 4\n"
    "model.generate(**inputs, early_stopping=True)",
    "a length penalty of 1": "model.generate(**inputs, length_penalty=1.0, early_stopping=False)",
    "a length penalty beside a config": "model.generate(**inputs, generation_config=config, "
    "length_penalty=2.0)",
    "a seed for each prompt": "for prompt in prompts:\n    set_seed(0)\n"
    "    inputs = tokenizer(prompt, return_tensors='pt')\n"
    "    model.generate(**inputs, do_sample=True)",
    "a seed for each temperature": "for t in (0.5, 1.0):\n    set_seed(0)\n"
    "    model.generate(**inputs, do_sample=True, temperature=t)",
    "a seed after each epoch": "for _ in range(3):\n    train(model)\n    set_seed(0)\n"
    "    model.generate(**inputs, do_sample=True)",
    "a seed, timed": "for _ in range(3):\n    set_seed(0)\n    start = time.perf_counter()\n"
    "    model.generate(**inputs, do_sample=True)",
    "a seed, twice, to see that it holds": "for _ in range(2):\n    set_seed(0)\n"
    "    model.generate(**inputs, do_sample=True)",
    "another seed in each turn": "for seed in range(4):\n    set_seed(seed)\n"
    "    model.generate(**inputs, do_sample=True)",
    "a difference": ASKS + "new_tokens = len(out[0]) - inputs.input_ids.shape[1]",
    "a difference later": ASKS + "generated = out.shape[1]\n"
    "print(generated - inputs.input_ids.shape[1])",
    "a total": ASKS + "total = len(out[0])\nprint('length', out.shape[1])",
    "a slice": ASKS + "new = out[0, inputs.input_ids.shape[1]:]\nnew_tokens = len(new)",
    "two sequences": "from transformers import T5ForConditionalGeneration\n"
    "model = T5ForConditionalGeneration.from_pretrained('t5')\n"
    "out = model.generate(**inputs)\nnew_tokens = len(out[0])",
    "cut by the decoded prompt": ASKS
    + "start = tokenizer.decode(inputs.input_ids[0])\nprint(tokenizer.decode(out[0])[len(start):])",
    "cut, then decoded": ASKS
    + "text = tokenizer.decode(out[0, inputs.input_ids.shape[1]:])\nprint(text[len('Answer:'):])\n"
    "print(text.split('.'))",
    "another split": ASKS + "text = tokenizer.decode(out[0])\nprint(text.split(marker))",
    "a batch cut by tokens": "for row, ids in zip(model.generate(**inputs), inputs.input_ids):\n"
    "    print(tokenizer.decode(row[len(ids):]))",
    "a pipeline's text": "pipe = transformers.pipeline('text-generation')\n"
    "print(pipe(prompt)[0]['generated_text'][len(prompt):])",
    "texts cut by something else": ASKS
    + "for text, size in zip(tokenizer.batch_decode(out), sizes):\n    print(text[len(size):])",
    "an object that was asked for": "out = model.generate(**inputs, return_dict_in_generate=True)\n"
    "print(out.past_key_values, out.sequences.shape)",
    "an object that may be": "out = model.generate(**inputs)\n"
    "print(out.sequences if hasattr(out, 'sequences') else out)",
    "an object that settings ask for": "out = model.generate(**inputs, **settings)\n"
    "print(out.scores)",
    "an object by the config": "model.generation_config.return_dict_in_generate = True\n"
    "out = model.generate(**inputs)\nprint(out.sequences)",
    "a shape of ids": "ids = tokenizer.apply_chat_template([], return_dict=False)\n"
    "print(ids.shape, inputs['input_ids'].shape, inputs.input_ids.tolist())",
    "a shape after it was unpacked": "ids = tokenizer(prompt, return_tensors='pt')\n"
    "ids = ids.input_ids\nprint(ids.shape)",
    "raw tokens of a prompt": "row = inputs.input_ids[0]\n"
    "print(' '.join(tokenizer.convert_ids_to_tokens(row)))",
    "raw tokens apart": ASKS + "print(' | '.join(tokenizer.convert_ids_to_tokens(out[0])))",
    "raw tokens to a text": ASKS + "tokenizer.convert_tokens_to_string("
    "tokenizer.convert_ids_to_tokens(out[0]))",
    "greedy scores": "out = model.generate(**inputs, output_scores=True,\n"
    "    return_dict_in_generate=True)\n"
    "print(out.scores[0].softmax(-1))",
    "logits": "out = model.generate(**inputs, do_sample=True, return_dict_in_generate=True,\n"
    "    output_logits=True, output_scores=True)\n"
    "print(out.logits[0].softmax(-1), out.scores[0].max())",
    "embeddings, decoded whole": "out = model.generate(inputs_embeds=embeds)\n"
    "print(tokenizer.decode(out[0]), out[0, :5])",
    "embeddings beside ids": "out = model.generate(input_ids=ids, inputs_embeds=embeds)\n"
    "print(out[0, ids.shape[1]:])",
    "a batch of rows": ASKS + "print(' '.join(tokenizer.batch_decode(out)))",
    "a list of tokens": ASKS + "print([tokenizer.decode(t) for t in out[0]])",
    "tokens, apart": ASKS + "print(' | '.join(tokenizer.decode(t) for t in out[0]))",
    "rows": ASKS + "print(''.join(tokenizer.decode(row) for row in out))",
    "a loop that reads all": LOOP.format(read="ids"),
    "a mask that grows": LOOP.format(read="ids, attention_mask=mask")
    + "    mask = torch.cat([mask, torch.ones_like(token)], dim=1)",
    "a mask that grows beside a cache": "past = transformers.DynamicCache()\n"
    + LOOP.format(read="ids[:, -1:], attention_mask=mask, past_key_values=past")
    + "    mask = torch.cat([mask, torch.ones_like(token)], dim=1)",
    "an empty cache and a mask": "cache = transformers.DynamicCache(config=model.config)\n"
    "model(**inputs, past_key_values=cache)",
    "a mask of both parts": "past = model(**inputs).past_key_values\n"
    "mask = torch.cat([inputs.attention_mask, more.attention_mask], dim=1)\n"
    "model(more.input_ids, attention_mask=mask, past_key_values=past)",
    "no cache where the loss is computed": "model(**inputs, labels=labels, use_cache=False)",
    "no cache for one pass of each text": "for text in texts:\n    ids = tokenizer.encode(text)\n"
    "    last = model(ids, use_cache=False).logits[:, -1].argmax(-1)",
    "a cache with the whole text": "model.generate(made.sequences, past_key_values=cache)\n"
    "model.generate(**inputs, past_key_values=cache)",
    "a copy for each question": "for question in questions:\n"
    "    inputs = tokenizer(prompt + question, return_tensors='pt')\n"
    "    model.generate(**inputs, past_key_values=copy.deepcopy(cache))",
    "a cache for each question": "for question in questions:\n    cache = DynamicCache()\n"
    "    model.generate(**tokenizer(question), past_key_values=cache)",
    "a cache that is cropped": "for question in questions:\n"
    "    model.generate(**tokenizer(question), past_key_values=cache)\n    cache.crop(9)",
    "one cache for a chat": "for question in questions:\n    messages.append(question)\n"
    "    inputs = tokenizer.apply_chat_template(\n"
    "        messages, return_dict=True, add_generation_prompt=True)\n"
    "    out = model.generate(**inputs, past_key_values=cache)",
    "one cache for a text that grows": "for question in questions:\n    text += question\n"
    "    model.generate(**tokenizer(text), past_key_values=cache)",
    "outputs kept without graphs": "with torch.no_grad():\n    for text in texts:\n"
    "        kept.append(model(**tokenizer(text)).logits)",
    "outputs kept in a function without gradients": "@torch.inference_mode()\n"
    "def read(texts):\n    for text in texts:\n"
    "        kept.append(model(**tokenizer(text)).logits)",
    "outputs kept in a method": "class Reader:\n    def read(self, texts):\n"
    "        for text in texts:\n            self.kept.append(model(**tokenizer(text)).logits)",
    "outputs detached": "for text in texts:\n"
    "    kept.append(model(**tokenizer(text)).logits.detach().cpu())",
    "numbers kept": "for text in texts:\n    logits = model(**tokenizer(text)).logits\n"
    "    kept.append(logits.log_softmax(-1).max().item())",
    "outputs of a training": "for batch in batches:\n    out = model(batch)\n"
    "    losses.append(out.logits.sum())\n    losses[-1].backward()",
    "an answer's chances": "logits = model(ids).logits[:, inputs.input_ids.shape[1] - 1 : -1]\n"
    "chances = logits.log_softmax(-1)",
    "a length that one was taken from": "n = len(question) - 1\n"
    "chances = model(ids).logits[0, n:].log_softmax(-1)",
    "shifted for a loss": "logits = model(ids).logits[:, :-1]\n"
    "F.cross_entropy(logits.reshape(-1, 9), ids[:, 1:].reshape(-1))",
    "other ids than were fed": "read, next_ids = ids[:, :-1], ids[:, 1:]\n"
    "model(read).logits.log_softmax(-1).gather(-1, next_ids.unsqueeze(-1))",
    "the last place": "model(**inputs).logits[0, -1].softmax(-1)",
    "what comes after the prompt": "ids = model(**inputs).logits[:, inputs.input_ids.shape[1] :]",
    "a processor that returns": PROCESSOR.format(does="scores[:, 7] -= 1", returns="return scores"),
    "a processor that is not written yet": PROCESSOR.format(
        does="print(scores)", returns="raise NotImplementedError"
    ),
    "a class that is no processor": "class Form:\n    def __call__(self, ids):\n        print(ids)",
    "a processor that counts, once": COUNTS
    + "form = Format()\nmodel.generate(**inputs, logits_processor=[form])",
    "a processor that counts, made anew": COUNTS + "for text in texts:\n    form = Format()\n"
    "    model.generate(**tokenizer(text), logits_processor=[form])",
    "a processor without a state": PROCESSOR.format(
        does="place = input_ids.shape[1]", returns="return scores"
    )
    + "form = Format()\nfor text in texts:\n"
    "    model.generate(**tokenizer(text), logits_processor=[form])",
    "a processor that is set back": COUNTS + "    def reset(self):\n        self.place = 0\n"
    "form = Format()\nfor text in texts:\n    form.reset()\n"
    "    model.generate(**tokenizer(text), logits_processor=[form])",
    "a stop word at the end": CRITERION.format(
        returns="return tokenizer.decode(input_ids[0]).endswith(self.word)"
    ),
    "a stop word among the new": CRITERION.format(
        returns="return self.word in tokenizer.decode(input_ids[0, self.start :])"
    ),
    "the last token among several": CRITERION.format(
        returns="return input_ids[0, -1].item() in self.ids"
    ),
    "last tokens among several": CRITERION.format(
        returns="return torch.isin(input_ids[:, -1], self.ids)"
    ),
    "a quantized model, moved": "model = transformers.AutoModelForCausalLM.from_pretrained(\n"
    "    'x', quantization_config=config\n).to('cuda')",
    "a full model, halved": "model.half().to(torch.float16)",
    "checkpointing, disabled": "model.gradient_checkpointing_enable()\nmodel.train()\n"
    "model.gradient_checkpointing_disable()\nmodel.generate(**inputs)",
    "checkpointing, in eval mode": "model.gradient_checkpointing_enable()\nmodel.train()\n"
    "model.eval()\nmodel.generate(**inputs)",
    "checkpointing after it": ASKS + "model.train()\nmodel.gradient_checkpointing_enable()",
    "an end in both configs": "model.config.eos_token_id = 7\n"
    "model.generation_config.eos_token_id = 7\n" + ASKS,
    "a cache switched off for a training": "model.config.use_cache = False\n" + ASKS,
    "a config that is no model's": "config.max_length = 60\n" + ASKS,
    "functions that give models": "for name in names:\n    kept.append(load_model(name))",
    "banned in both spellings": "bad = [tokenizer(w).input_ids for w in ('Paris', ' Paris')]\n"
    "model.generate(**inputs, bad_words_ids=bad)",
    "banned signs": "model.generate(**inputs, bad_words_ids=tokenizer(['#', '<s>']).input_ids)",
    "banned words that are not seen": "bad = tokenizer(words).input_ids\n"
    "model.generate(**inputs, bad_words_ids=bad)",
    "banned with the space that is added": "bad = tokenizer(['Paris']).input_ids\n"
    "tokenizer = AutoTokenizer.from_pretrained('x', add_prefix_space=True)\n"
    "model.generate(**inputs, bad_words_ids=bad)",
    "the last id of a word": CRITERION.format(returns="return input_ids[0, -1] == self.id")
    + "stop = Stop(tokenizer('a.').input_ids[-1])",
    "ids of a stop word with its space": CRITERION.format(returns="return self.ids == 1")
    + "stop = Stop(tokenizer(' seven').input_ids)",
    "a stop word whose text is compared": CRITERION.format(
        returns="return tokenizer.decode(input_ids[0]).endswith(self.word)"
    )
    + "stop = Stop(tokenizer('seven').input_ids)",
    "no space at the end": "asked = tokenizer('Answer:', return_tensors='pt')\n"
    "model.generate(**asked)",
    "a template's own space": "asked = tokenizer(f'[INST] {q} [/INST] ', return_tensors='pt')\n"
    "model.generate(**asked)",
    "a space in a text that nothing continues": "start = tokenizer('A list: ')\n" + ASKS,
    "a space before code": "asked = tokenizer('def f():\\n    ', return_tensors='pt')\n"
    "model.generate(**asked)",
    "an answer to come": "chat = [{'role': 'user', 'content': 'a'}]\n"
    "tokenizer.apply_chat_template(chat, add_generation_prompt=True)",
    "an answer, and a question after it": "chat = [{'role': 'assistant', 'content': 'a'}]\n"
    "chat.append(question)\ntokenizer.apply_chat_template(chat, add_generation_prompt=True)",
    "an answer that is continued": "chat = [{'role': 'assistant', 'content': 'a'}]\n"
    "tokenizer.apply_chat_template(chat, continue_final_message=True)",
    "a stream of the answer": "transformers.TextStreamer(tokenizer, skip_prompt=True)\n"
    "transformers.TextStreamer(tokenizer, True)\ntransformers.TextStreamer(tokenizer, **shown)\n"
    "transformers.TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)\n"
    "transformers.TextIteratorStreamer(tokenizer, skip_prompt=False, timeout=None)",
    "a mask made anew": LOOP.format(read="ids, attention_mask=torch.ones_like(ids)"),
    "a cache that is passed on": "cache = transformers.DynamicCache()\n"
    + LOOP.format(read="ids[:, -1:], past_key_values=cache"),
    "unseen arguments": LOOP.format(read="ids[:, -1:], **step"),
    "a batch at a time": "for batch in loader:\n"
    "    model(batch.input_ids, attention_mask=batch.attention_mask)",
    "a model that is none": "class Model:\n    pass\nmodel = Model()\nmodel.generate(inputs)",
    "sampling off": "model.generate(**inputs, do_sample=False)",
    "a list of one processor": "model.generate(\n"
    "    **inputs, logits_processor=[transformers.TopKLogitsWarper(5)]\n)",
    "an end token by its id": "model.generate(**inputs, eos_token_id=tokenizer.eos_token_id)",
    "a flag of the command line": "parser.add_argument('--do_sample', action='store_true')",
    "another flag as bool": "parser.add_argument('--verbose', type=bool)",
    "another library's call": "llm = vllm.LLM('x')\nllm.generate(prompt, max_tokens=5)",
    "a minimum below the limit": "model.generate(**inputs, min_new_tokens=5, max_new_tokens=20)",
    "a minimum and a limit of another kind": "model.generate(\n"
    "    **inputs, min_length=50, max_new_tokens=20\n)",
    "a penalty above 1": "model.generate(**inputs, repetition_penalty=1.1)",
    "beams that are not drawn": "model.generate(**inputs, do_sample=False, num_beams=4)",
    "a pipeline that is told to sample": "pipe = transformers.pipeline('text-generation')\n"
    "pipe(prompt, do_sample=True)",
    "a pipeline that is told at its making": "pipe = transformers.pipeline(\n"
    "    'text-generation', do_sample=False\n)\npipe(prompt, num_beams=4)",
    "a pipeline that classifies": "pipe = transformers.pipeline('text-classification')\n"
    "pipe(prompt)",
    "other tokens suppressed": "model.generate(**inputs, suppress_tokens=[5, 6])",
    "all but the end token suppressed": "banned = [t for t in range(9) if t != "
    "tokenizer.eos_token_id]\nmodel.generate(**inputs, suppress_tokens=banned)",
    "a line's end as the end": "model.generate(**inputs, eos_token_id=tokenizer.encode('\\n')[0])",
    "a mark as the end": "model.generate(\n"
    "    **inputs, eos_token_id=tokenizer.encode('<|im_end|>')[0]\n)",
    "a config that a call gets": "config = transformers.GenerationConfig(max_new_tokens=5)\n"
    "model.generate(**inputs, generation_config=config)",
    "a config that is saved": "config = transformers.GenerationConfig(max_new_tokens=5)\n"
    "config.save_pretrained('.')\n" + ASKS,
    "a config and no call": "config = transformers.GenerationConfig(max_new_tokens=5)",
    "all seeds": "random.seed(0)\nset_seed(0)\nmodel.generate(**inputs, do_sample=True)",
    "Python's seed for Python's draws": "random.seed(0)\nrandom.shuffle(prompts)\n"
    "model.generate(**inputs, do_sample=True)",
    "Python's seed, nothing drawn": "random.seed(0)\nmodel.generate(**inputs, do_sample=False)",
    "prompts beside a row each": BATCH + "texts = tokenizer.batch_decode(model.generate(**batch))\n"
    "list(zip(prompts, texts))",
    "rows grouped by prompt": SEVERAL + "groups = [texts[i * 3 : i * 3 + 3] for i in range(2)]\n"
    "list(zip(prompts, groups))",
    "rows divided by their number": SEVERAL + "for i, text in enumerate(texts):\n"
    "    print(prompts[i // 3], text)",
    "prompts repeated for their rows": SEVERAL + "many = [p for p in prompts for _ in range(3)]\n"
    "list(zip(many, texts))",
    "a criterion of all rows": CRITERION.format(returns="return input_ids[:, -1] == 9")
    + BATCH
    + "model.generate(**batch, stopping_criteria=[Stop()])",
    "a criterion of the first row of one": CRITERION.format(returns="return input_ids[0, -1] == 9")
    + "model.generate(**inputs, stopping_criteria=[Stop()])",
    "answers that are appended": "messages = []\nfor question in questions:\n"
    "    messages.append({'role': 'user', 'content': question})\n"
    "    chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True)\n"
    "    out = model.generate(**chat, max_new_tokens=5)\n"
    "    messages.append({'role': 'assistant', 'content': read(out)})",
    "a chat for each question": "for question in questions:\n"
    "    messages = [{'role': 'system', 'content': system}]\n"
    "    messages.append({'role': 'user', 'content': question})\n"
    "    chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True)\n"
    "    model.generate(**chat, max_new_tokens=5)",
    "messages that a function continues": "messages = []\nfor question in questions:\n"
    "    messages.append({'role': 'user', 'content': question})\n"
    "    messages += ask(tokenizer.apply_chat_template(messages))",
    "a history at the keyboard": "messages = []\nwhile True:\n"
    "    messages.append({'role': 'user', 'content': input()})\n"
    "    chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True)\n"
    "    messages.append({'role': 'assistant', 'content': ask(chat)})",
    "an answer that is kept as it should be": ASKS
    + "answer = tokenizer.decode(out[0, 5:], skip_special_tokens=True)\n"
    "messages.append({'role': 'assistant', 'content': answer})",
    "a thought over many lines": "import re\n"
    "answer = re.sub(r'(<think>)?.*?</think>', '', text, flags=re.DOTALL)",
    "a thought cut at its end": "answer = text.rpartition('</think>')[2]",
    "a response with its prompt": "tokenizer.parse_response(text, prefix=inputs.input_ids[0])",
    "a tool that is described": "def weather(city: str):\n"
    "    'Look it up.\\n\\nArgs:\\n    city: The city.'\n"
    "tokenizer.apply_chat_template(messages, tools=[weather, {'type': 'function'}])",
    "tools that are not seen": "tokenizer.apply_chat_template(messages, tools=tools)",
    "switches of a template": "tokenizer.apply_chat_template(\n"
    "    messages, enable_thinking=False, date_string='today', thinking=True\n)",
    "arguments of a tokenizer": "tokenizer(prompt, return_tensors='pt', truncation=True,\n"
    "    max_length=5, padding_side='left', add_special_tokens=False)",
    "a text that is filled in later": "question = 'who?'\nform = 'Q: {question}\\nA:'\n"
    "asked = tokenizer(form.format(question=question), return_tensors='pt')",
    "braces of no variable": "asked = tokenizer('{name} is', return_tensors='pt')",
    "a text that is replaced": "question = 'who?'\nform = 'Q: {question}'\n"
    "asked = tokenizer(form.replace('{question}', question), return_tensors='pt')",
    "two texts for a model that compares": "scores = other(**tokenizer(context, question))",
    "a list of texts": "asked = tokenizer([prompt, prompt], return_tensors='pt')\n"
    "model.generate(**asked)",
    "a prompt cut off the whole text": PIPE.format(told="") + "print(text[len(prompt):])",
    "another length cut off": PIPE.format(told=", return_full_text=False")
    + "print(text[len('Answer:'):])",
    "the whole text cut by what was shown": STREAM
    + "text = shown = ''\nfor piece in streamer:\n    text += piece\n"
    "    new = text[len(shown):]\n    shown = text",
    "a piece cut by a mark": STREAM + "for piece in streamer:\n    print(piece[len('<s>'):])",
    "a continuation with a space before it": "inputs = tokenizer(prompt, return_tensors='pt')\n"
    "out = model.generate(**inputs)\n"
    "text = tokenizer.decode(out[0, 9:], skip_special_tokens=True).strip()\n"
    "print(prompt + ' ' + text)",
    "a continuation stripped at its end": "inputs = tokenizer(prompt, return_tensors='pt')\n"
    "out = model.generate(**inputs)\n"
    "text = tokenizer.decode(out[0, 9:], skip_special_tokens=True).rstrip()\n"
    "print(prompt + text)",
    "an end taken away where it may be": "text = tokenizer.decode(ids, skip_special_tokens=True)\n"
    "if text.endswith('</s>'):\n    text = text[:-4]",
    "an end looked for where it is kept": "text = tokenizer.decode(ids)\n"
    "whole = tokenizer.eos_token in text",
    "rows counted by prompts and rows": SEVERAL
    + "groups = [texts[i * 3 : i * 3 + 3] for i in range(len(prompts))]",
    "rows counted in steps": SEVERAL
    + "groups = [texts[i : i + 3] for i in range(0, len(texts), 3)]",
    "a content in brackets": "messages = [{'role': 'user', 'content': (prompt)}]",
}

# The rooms of llmcourse/doctor/static, each with its own; what stands above is of several.
for room in (
    sources_of_answers,
    sources_of_calls,
    sources_of_loops,
    sources_of_models,
    sources_of_prompts,
    sources_of_rules,
    sources_of_sampling,
    sources_of_scores,
    sources_of_stopping,
):
    assert FAULTY.keys().isdisjoint(room.FAULTY) and SOUND.keys().isdisjoint(room.SOUND)
    FAULTY |= room.FAULTY
    SOUND |= room.SOUND


def found_in(folder: Path, source: str) -> list:
    path = folder / "script.py"
    path.write_text(source, encoding="utf-8")
    return look(str(path))


@pytest.mark.parametrize("name", FAULTY)
def test_what_is_wrong_is_found_once_and_said_to_be_likely(name, tmp_path):
    code, lines = FAULTY[name]
    (found,) = found_in(tmp_path, LOADS + lines)
    assert found.code == code and found.severity in IN_THE_SOURCE[code].severities
    assert found.confidence == LIKELY and found.source_only
    assert found.line > LOADS.count("\n") and found.file == str(tmp_path / "script.py")


@pytest.mark.parametrize("name", SOUND)
def test_what_only_looks_like_it_gets_no_finding(name, tmp_path):
    assert found_in(tmp_path, LOADS + SOUND[name]) == []


@pytest.mark.parametrize("code", IN_THE_SOURCE)
def test_each_check_finds_something_and_has_its_words(code):
    assert code in [expected for expected, _ in FAULTY.values()]
    known = IN_THE_SOURCE[code]
    words = (known.symptom, known.cause, known.fix or known.example, known.subject)
    assert code in PITFALLS or all(words)
    assert "likely" in known.how_sure.lower()


def test_only_checks_have_a_place_in_the_order():
    assert PLACES.keys() <= IN_THE_SOURCE.keys()


def test_names_are_followed_from_functions_to_the_module_and_no_further(tmp_path):
    asks = "def ask():\n    return model.generate(inputs)\n"
    assert [one.code for one in found_in(tmp_path, LOADS + asks)] == ["inputs-by-position"]
    inner = "def ask(prompt):\n    inputs = tokenizer.encode(prompt)\n    model.generate(inputs)\n"
    assert found_in(tmp_path, LOADS + inner) == []


def test_a_fix_has_the_names_of_the_script(tmp_path):
    (found,) = found_in(
        tmp_path,
        "import llmcourse\nlm, tok = llmcourse.load()\nbatch = tok('a')\n"
        "answer = lm.generate(**batch)\nnew_tokens = len(answer[0])\n",
    )
    assert found.fix == 'len(answer[0]) - batch["input_ids"].shape[1]'


def test_nothing_runs_and_nothing_heavy_is_imported(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("import os\nos._exit(7)\n" + LOADS + "model.generate(inputs)\n")
    asks = "import sys; from llmcourse.__main__ import main; "
    asks += "status = main(['doctor', '--static', sys.argv[1]]); "
    asks += "sys.exit(status if not {'torch', 'transformers'} & set(sys.modules) else 9)"
    done = subprocess.run([sys.executable, "-c", asks, path], capture_output=True, cwd=ROOT)
    assert done.returncode == 1
    assert b"script.py:9: error inputs-by-position" in done.stdout
    assert b"(found in the source)" in done.stdout and b"nothing ran" in done.stdout


def test_several_files_are_read_and_the_gravest_counts(tmp_path, capfd):
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(LOADS + ASKS)
    bad.write_text(LOADS + "model.generate(inputs)")
    assert main(["doctor", "--static", str(good), str(good)]) == 0
    capfd.readouterr()
    assert main(["doctor", "--static", "--json", str(bad), str(good)]) == 1
    first, second = map(json.loads, capfd.readouterr().out.splitlines())
    assert first["findings"][0]["source_only"] and first["static"] and second["findings"] == []


def test_what_is_no_python_or_no_file_exits_with_2(tmp_path, capfd):
    path = tmp_path / "broken.py"
    path.write_text("def (")
    assert main(["doctor", "--static", str(path)]) == 2
    assert "SyntaxError" in capfd.readouterr().out
    assert main(["doctor", "--static", str(tmp_path / "none.py")]) == 2
    assert "none.py" in capfd.readouterr().err


def test_a_notebook_is_read_as_one_and_told_by_cell_and_line(tmp_path):
    cells = [LOADS, "%matplotlib agg\nfiles = !ls", "%%bash\nls (", "\nmodel.generate(inputs)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell("no code"))
    path = tmp_path / "mine.ipynb"
    nbformat.write(notebook, path)
    (found,) = look(str(path))
    assert (found.file, found.line) == (f"{path}:4", 2)


@pytest.mark.parametrize(
    ("cell", "python"),
    [
        ("%time x = 1\ny = 2", "pass\ny = 2"),
        ("if True:\n    !ls", "if True:\n    pass"),
        ("%%time\nx = 1", "pass\nx = 1"),
        ("%%html\n<b>", "pass\npass"),
        ("x = '''\n%a\nwhat?'''", "x = '''\n%a\nwhat?'''"),
        ("model?", "pass"),
    ],
)
def test_magics_are_left_out_line_by_line(cell, python):
    assert python_of(cell) == python


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/**/*.ipynb")), ids=lambda p: p.stem)
def test_the_lessons_get_no_error_or_warning(path):
    assert [(one.code, one.file, one.line) for one in look(str(path))] == []


@pytest.mark.slow
def test_a_run_tells_what_the_source_shows_and_doubles_nothing(tmp_path, capfd):
    path = tmp_path / "script.py"
    path.write_text(
        "import torch, llmcourse\n"
        "from transformers import GPT2Config, GPT2LMHeadModel\n"
        "model = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=1))\n"
        "ids = torch.tensor([[1, 2, 3]])\n"
        "out = model.generate(ids, max_length=7, max_new_tokens=2)\n"
        "generated = len(out[0])\n"
    )
    main(["doctor", "--json", str(path)])
    found = json.loads(capfd.readouterr().out)["findings"]
    in_source = [(one["code"], one["line"]) for one in found if one["source_only"]]
    assert in_source == [("two-lengths", 5), ("counts-prompt", 6)]
    assert len({(one["code"], one["line"]) for one in found}) == len(found)


def test_what_the_source_cannot_know_goes_where_the_model_itself_samples(tmp_path, capfd):
    lines = (
        "import torch, llmcourse\n"
        "from transformers import GPT2Config, GPT2LMHeadModel\n"
        "model = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=1))\n"
        "{more}"
        "ids = torch.tensor([[1, 2, 3]])\n"
        "out = model.generate(ids, temperature=0.7, max_new_tokens=2)\n"
    )
    found = []
    for name in ("do_sample", "use_cache"):
        path = tmp_path / f"{name}.py"
        path.write_text(lines.format(more=f"setattr(model.generation_config, {name!r}, True)\n"))
        main(["doctor", "--json", str(path)])
        found.append([one["code"] for one in json.loads(capfd.readouterr().out)["findings"]])
    assert "sampling-ignored" not in found[0] and "sampling-unasked" in found[0]
    assert "sampling-ignored" in found[1] and "sampling-unasked" not in found[1]


def test_a_check_that_fails_is_said_and_takes_no_other_with_it(tmp_path, monkeypatch, capfd):
    def fails(source):
        yield from ()
        raise RecursionError("too deep")

    broken = replace(IN_THE_SOURCE["two-lengths"], code="broken", check=fails)
    monkeypatch.setitem(IN_THE_SOURCE, "broken", broken)
    path = tmp_path / "script.py"
    path.write_text(LOADS + "model.generate(inputs)\n")
    assert main(["doctor", "--static", str(path)]) == 1
    shown = capfd.readouterr().out
    assert "inputs-by-position" in shown
    assert "could not look at the source for broken: RecursionError: too deep" in shown
    with pytest.raises(RecursionError):
        look(str(path))


@pytest.mark.parametrize("text", ["é = f('ü',\n  ñ='ß')", "a = 1\r\nb = '''x\r\n  y'''\r\n"])
def test_words_are_as_they_are_written(text):
    source = Source(text)
    written = text.replace("\r\n", "\n")
    for node in source.scopes:
        expected = ast.get_source_segment(written, node) or ast.unparse(node)
        assert source.words(node) == expected


_MOVED = """\
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("gpt2")
tokenizer = AutoTokenizer.from_pretrained("gpt2")
model.to({to})
def text_to_ids(text):
    return torch.tensor(tokenizer.encode(text)).unsqueeze(0){more}
def write(model, idx):
    with torch.no_grad():
        return model(idx).logits[:, -1].argmax(-1, keepdim=True)
write(model, text_to_ids("a"))
"""


@pytest.mark.parametrize(
    ("to", "more", "codes"),
    [
        ("torch.device('cuda' if torch.cuda.is_available() else 'cpu')", "", True),
        ("'cuda'", ".to('cuda')", False),
        ("torch.bfloat16", "", False),
    ],
)
def test_a_model_that_alone_is_moved_reads_ids_of_another_device(to, more, codes, tmp_path):
    found = found_in(tmp_path, _MOVED.format(to=to, more=more))
    assert ("inputs-on-another-device" in {one.code for one in found}) == codes
