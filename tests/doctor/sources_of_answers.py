"""Answers decoded, cut, counted and taken apart, for test_static.py: faulty lines, sound ones."""

_PIPE = "pipe = transformers.pipeline('text-generation', model='some/model')\n"
IDS = "ids = inputs.input_ids\n"
_ANSWER = "asked = f'{prompt}\\nAnswer:'\n"
_IDS = "ids = inputs.input_ids\nwith torch.no_grad():\n    logits = model(ids).logits\n"
_LAST = _IDS + "last = logits[0, -1]\n"
_OUT = "out = model.generate(**inputs, max_new_tokens=5)\n"
_NEW = (
    _OUT
    + "new = out[0, inputs.input_ids.shape[1] :]\n"
    + "text = tokenizer.decode(new, skip_special_tokens=True)\n"
)
_ASK = """\
def ask(question):
    batch = tokenizer(question, return_tensors="pt")
    made = model.generate(**batch, max_new_tokens=50)
    return tokenizer.decode(made[0, batch.input_ids.shape[1] :], skip_special_tokens=True)
"""
_ITER = """\
streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True)
Thread(target=model.generate, kwargs=dict(inputs, streamer=streamer)).start()
"""
_ALL = _OUT + "text = tokenizer.decode(out[0], skip_special_tokens=True)\n"
_PIPELINE = 'pipe = transformers.pipeline("text-generation", model="some/model")\n'
_BATCH = """\
prompts = ["one", "two"]
batch = tokenizer(prompts, padding=True, return_tensors="pt")
rows = model.generate(**batch, max_new_tokens=5)
"""
_CUT = "new = out[0][inputs['input_ids'].shape[1]:]\n"
_HI = "messages = [{'role': 'user', 'content': 'Hello'}]\n"
_ASKED = "out = model.generate(**inputs, max_new_tokens=5)\n" + _CUT
_TEXT = _ASKED + "text = tokenizer.decode(new, skip_special_tokens=True)\n"
_AGAIN = """\
out = model.generate(**inputs, max_new_tokens=5, do_sample=False, output_scores=True,
    return_dict_in_generate=True)
new = out.sequences[0, inputs["input_ids"].shape[1] :]
answer = tokenizer.decode(new, skip_special_tokens=True).strip()
{then}
"""

# What is wrong, in a line or a few: the code, by what somebody wrote.
FAULTY = {
    "a chat that is stripped": (
        "pipeline-chat-as-text",
        _PIPE + "out = pipe(messages)\nprint(out[0]['generated_text'].strip())",
    ),
    "a prompt that is parsed": (
        "prompt-in-output",
        _PIPE + "json.loads(pipe(prompt)[0]['generated_text'])",
    ),
    "a prompt in an answer": (
        "prompt-in-output",
        _PIPE + "answer = pipe(f'{question}')[0]['generated_text']",
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
    "a text that is found by a role's name": (
        "split-by-a-mark",
        IDS + "out = model.generate(ids, max_new_tokens=5)\n"
        "text = tokenizer.decode(out[0], skip_special_tokens=False)\n"
        "ans = text[text.find('assistant') + len('assistant'):]",
    ),
    "a bare word after a colon": (
        "answer-without-its-space",
        _ANSWER + "yes = tokenizer.convert_tokens_to_ids('Yes')",
    ),
    "bare letters after a colon": (
        "answer-without-its-space",
        _ANSWER + "ids = [tokenizer.encode(c, add_special_tokens=False)[0] for c in 'ABCD']",
    ),
    "a chosen token compared": (
        "compared-with-its-space",
        _LAST + "said = tokenizer.decode(last.argmax())\nprint(said == 'Paris')",
    ),
    "a new text compared with letters": (
        "answer-compared-whole",
        "out = model.generate(**inputs, max_new_tokens=1)\n"
        "said = tokenizer.decode(out[0, inputs.input_ids.shape[1]:])\n"
        "if said in ['A', 'B']:\n    print(said)",
    ),
    "a word looked for in the whole row": (
        "found-in-the-prompt",
        "out = model.generate(**inputs)\ntext = tokenizer.decode(out[0]).lower()\n"
        "hit = 'blue' in text",
    ),
    "a label looked up by a new text": (
        "compared-with-its-space",
        _LAST + "numbers = {'Yes': 1, 'No': 0}\nsaid = tokenizer.decode(last.argmax())\n"
        "number = numbers[said]",
    ),
    "one of three samples": (
        "rows-left-unread",
        "out = model.generate(**inputs, do_sample=True, num_return_sequences=3)\n"
        "print(tokenizer.decode(out[0]))",
    ),
    "one of four beams": (
        "rows-left-unread",
        "out = model.generate(**inputs, num_beams=4, num_return_sequences=4)[0]",
    ),
    # Taken apart
    "code in a fence without DOTALL": (
        "pattern-stops-at-line-end",
        _NEW + "found = re.search(r'```python(.*?)```', text)",
    ),
    "json over lines, compiled, in a function": (
        "pattern-stops-at-line-end",
        _ASK + "JSON = re.compile(r'\\{.*\\}')\ndef read(reply):\n"
        "    found = JSON.search(reply)\n    return found and found[0]\nread(ask('Q'))",
    ),
    "a tag's inside on one line": (
        "pattern-stops-at-line-end",
        _NEW + "found = re.findall('<answer>(.*?)</answer>', text)",
    ),
    "a flag for a count": (
        "flags-as-count",
        _NEW + "text = re.sub(r'\\s+,', ',', text, re.IGNORECASE)",
    ),
    "a comma for a number": (
        "number-without-digit",
        _NEW + "numbers = re.findall(r'-?[\\d,]+(?:\\.\\d+)?', text)",
    ),
    "a point for a number": ("number-without-digit", _NEW + "found = re.search('[0-9.]+', text)"),
    "a begin token stripped off a prompt": (
        "strip-takes-characters",
        "chat = tokenizer.apply_chat_template([], tokenize=False).lstrip(tokenizer.bos_token)",
    ),
    "a number with its commas": (
        "number-with-commas",
        _NEW + "found = re.search(r'\\d[\\d,]*', text)\n"
        "number = float(found[0]) if found else None",
    ),
    "cut where nothing is found": ("cut-at-minus-one", _NEW + "text = text[: text.find('###')]"),
    "cut where nothing is found, by name": (
        "cut-at-minus-one",
        _NEW + "end = text.find('\\n\\n')\nanswer = text[:end]",
    ),
    "cut behind what is not found": (
        "cut-at-minus-one",
        _NEW + "start = text.find('Answer:') + len('Answer:')\nanswer = text[start:]",
    ),
    "a served answer that is stripped": (
        "strip-takes-characters",
        "said = client.chat.completions.create(model='m').choices[0].message.content\n"
        "code = said.strip('```json')",
    ),
    "a processor's answer that is run": (
        "answer-evaluated",
        _OUT + "said = processor.batch_decode(out[:, 9:], skip_special_tokens=True)[0]\n"
        "boxes = eval(said)",
    ),
    "lazy braces": (
        "json-cut-at-first-brace",
        _NEW + "found = re.search(r'\\{.*?\\}', text, re.DOTALL)\n"
        "data = json.loads(found.group()) if found else None",
    ),
    "no braces inside": (
        "json-cut-at-first-brace",
        _NEW + "found = re.findall(r'\\{[^{}]*\\}', text)\n"
        "data = [json.loads(one) for one in found]",
    ),
    "a stream's text that is run": (
        "answer-evaluated",
        _ITER + "text = ''\nfor piece in streamer:\n    text += piece\ndata = eval(text)",
    ),
    "an answer that is run": ("answer-evaluated", _NEW + "data = eval(text.strip())"),
    "a function's answer that is run": (
        "answer-evaluated",
        _ASK + "scores = eval(ask('Give a list.'))",
    ),
    "quotes replaced": (
        "quotes-made-json",
        _NEW
        + "try:\n    data = json.loads(text.replace(\"'\", '\"'))\nexcept ValueError:\n    pass",
    ),
    "a fence stripped": ("strip-takes-characters", _NEW + "code = text.strip('```json')"),
    "an end token stripped": (
        "strip-takes-characters",
        _OUT + "text = tokenizer.decode(out[0]).rstrip('</s>')",
    ),
    "the prompt stripped": ("strip-takes-characters", _ALL + "text = text.lstrip(prompt)"),
    "a second part taken": ("answer-form-assumed", _NEW + "answer = text.split('Answer:')[1]"),
    "a group of what may be nothing": (
        "answer-form-assumed",
        _NEW + "answer = re.search(r'Answer: (\\w+)', text).group(1)",
    ),
    "a first finding taken": (
        "answer-form-assumed",
        _NEW + "answer = re.findall(r'\\d+', text)[0]",
    ),
    "an answer as a number": ("answer-form-assumed", _ASK + "rating = int(ask('1 to 5?').strip())"),
    "an answer as json": ("answer-form-assumed", _NEW + "data = json.loads(text)"),
    "a first line that may be empty": ("first-line-empty", _NEW + "line = text.split('\\n')[0]"),
    # Judged
    "no in know": ("label-inside-words", _NEW + "if 'no' in text.lower():\n    print('no')"),
    "safe in unsafe": ("label-inside-words", _NEW + "is_safe = 'safe' in text.lower()"),
    "safe before unsafe": (
        "label-inside-words",
        _NEW + "if 'safe' in text:\n    rating = 1\nelif 'unsafe' in text:\n    rating = 0",
    ),
    "answers in a list": (
        "label-inside-words",
        _ASK + "answers = []\nfor question in ('A?', 'B?'):\n    answers.append(ask(question))\n"
        "said = ['no' in answer.lower() for answer in answers]",
    ),
    "a letter anywhere": (
        "label-inside-words",
        _NEW + "picks = [letter for letter in 'ABCD' if letter in text]",
    ),
    "yes or no in any word": (
        "label-inside-words",
        _NEW + "found = re.findall(r'(yes|no)', text.lower())",
    ),
    "correct in incorrect, in a function": (
        "label-inside-words",
        _ASK + "def is_right(verdict):\n    return verdict.find('correct') >= 0\n"
        "is_right(ask('Is it?'))",
    ),
    "a label inside another of the list": (
        "label-inside-words",
        _NEW + "kinds = ['negative', 'very negative']\n"
        "said = [kind for kind in kinds if kind in text]",
    ),
    "a letter before a point": (
        "label-inside-words",
        _NEW + "found = re.search(r'([A-Z])[\\.\\)\\s]', text)",
    ),
    "a pattern with capitals, and no capitals": (
        "case-never-matches",
        _NEW + "found = re.findall(r'Answer: (\\w+)', text.lower())",
    ),
    "a pattern for a capital, and no capitals": (
        "case-never-matches",
        _NEW + "found = re.search(r'answer is \\(?([A-D])', text.lower())",
    ),
    "a small label, and the answer's capital": (
        "case-not-folded",
        "batch = tokenizer('Is ice cold? Yes or No?', return_tensors='pt')\n"
        "made = model.generate(**batch, max_new_tokens=3)\n"
        "said = tokenizer.decode(made[0, batch.input_ids.shape[1] :], skip_special_tokens=True)\n"
        "is_yes = said.strip().startswith('yes')",
    ),
    "a small label in an answer": ("case-not-folded", _NEW + "is_yes = 'yes' in text"),
    "lower case and a capital": (
        "case-never-matches",
        _NEW + "is_yes = text.strip().lower() == 'Yes'",
    ),
    "a capital looked for in lower case": (
        "case-never-matches",
        _NEW + "reply = text.lower()\nis_paris = 'Paris' in reply",
    ),
    "upper case and small labels": (
        "case-never-matches",
        _NEW + "known = text.strip().upper() in ('yes', 'no')",
    ),
    "compared with its end token": (
        "answer-compared-whole",
        _OUT + "right = tokenizer.decode(out[0, 9:]) == 'Yes'",
    ),
    "compared with its space": ("answer-compared-whole", _NEW + "right = text == 'Paris'"),
    # Looked for in the prompt
    "a label of the question": (
        "found-in-the-prompt",
        "batch = tokenizer('Is it blue? Say yes or no.', return_tensors='pt')\n"
        "made = model.generate(**batch, max_new_tokens=3)\n"
        "reply = tokenizer.decode(made[0], skip_special_tokens=True)\nis_yes = 'yes' in reply",
    ),
    "a label, and the prompt unseen": (
        "found-in-the-prompt",
        "def judge(question):\n    batch = tokenizer(question, return_tensors='pt')\n"
        "    made = model.generate(**batch, max_new_tokens=3)\n"
        "    return 'yes' in tokenizer.decode(made[0], skip_special_tokens=True).lower()",
    ),
    "a number of the question": (
        "found-in-the-prompt",
        "batch = tokenizer('What is 2 + 3?', return_tensors='pt')\n"
        "made = model.generate(**batch, max_new_tokens=3)\n"
        "reply = tokenizer.decode(made[0])\nfound = re.search(r'\\d+', reply)",
    ),
    "an example's answer": (
        "found-in-the-prompt",
        "shots = 'Q: 1+1\\nA: 2\\nQ: 2+2\\nA:'\nbatch = tokenizer(shots, return_tensors='pt')\n"
        "made = model.generate(**batch, max_new_tokens=3)\n"
        "answer = tokenizer.decode(made[0]).split('A:')[1]",
    ),
    "an example of json": (
        "found-in-the-prompt",
        "asks = 'Write JSON like {\"a\": 1}.'\nbatch = tokenizer(asks, return_tensors='pt')\n"
        "made = model.generate(**batch, max_new_tokens=9)\n"
        "reply = tokenizer.decode(made[0])\npart = reply[reply.find('{') : reply.rfind('}') + 1]",
    ),
    "cut at a mark of the prompt": (
        "found-in-the-prompt",
        _ALL + "answer = text[: text.index('red')]",
    ),
    "a pipeline's label": (
        "found-in-the-prompt",
        _PIPELINE + "asks = 'Say yes or no.'\nsaid = pipe(asks)[0]['generated_text']\n"
        "is_yes = 'yes' in said.lower()",
    ),
    "a row with its prompt parsed": ("prompt-in-output", _ALL + "data = json.loads(text)"),
    "a row with its prompt compared": ("prompt-in-output", _ALL + "right = text == 'Paris'"),
    # Cut
    "cut by characters and one": (
        "prompt-cut-by-characters",
        _ALL + "answer = text[len(prompt) + 1 :]",
    ),
    "cut by a number of characters": (
        "prompt-cut-by-characters",
        _ALL + "size = len(prompt)\nanswer = text[size:]",
    ),
    "cut by a stripped prompt": (
        "prompt-cut-by-characters",
        _ALL + "answer = text[len(prompt.strip()) :]",
    ),
    "cut by a pattern of the prompt": (
        "prompt-cut-by-characters",
        _ALL + "answer = re.sub(re.escape(prompt), '', text)",
    ),
    "a text cut by tokens": (
        "answer-cut-elsewhere",
        _ALL + "answer = text[inputs.input_ids.shape[1] :]",
    ),
    "a text cut by a row of ids": (
        "answer-cut-elsewhere",
        _ALL + "size = len(inputs['input_ids'][0])\nanswer = text[size:]",
    ),
    "rows cut by their masks": (
        "answer-cut-elsewhere",
        _BATCH + "sizes = batch['attention_mask'].sum(dim=1)\n"
        "texts = [tokenizer.decode(row[n:]) for row, n in zip(rows, sizes)]",
    ),
    "rows cut by what is no padding": (
        "answer-cut-elsewhere",
        _BATCH + "sizes = (batch.input_ids != tokenizer.pad_token_id).sum(1)\n"
        "texts = [tokenizer.decode(row[n:]) for row, n in zip(rows, sizes)]",
    ),
    "rows cut by prompts encoded again": (
        "answer-cut-elsewhere",
        _BATCH + "for place, one in enumerate(prompts):\n    size = len(tokenizer.encode(one))\n"
        "    print(tokenizer.decode(rows[place][size:]))",
    ),
    "rows cut by the ids of each prompt": (
        "answer-cut-elsewhere",
        _BATCH + "each = tokenizer(prompts)['input_ids']\n"
        "texts = [tokenizer.decode(row[len(ids) :]) for ids, row in zip(each, rows)]",
    ),
    "one of several answers": (
        "rows-left-unread",
        "made = model.generate(**inputs, do_sample=True, num_return_sequences=3)\n"
        "print(tokenizer.decode(made[0], skip_special_tokens=True))",
    ),
    "one of several answers, decoded": (
        "rows-left-unread",
        "made = model.generate(**inputs, do_sample=True, num_return_sequences=3)\n"
        "texts = tokenizer.batch_decode(made, skip_special_tokens=True)\nprint(texts[0])",
    ),
    "one row of a batch": ("rows-left-unread", _BATCH + "print(tokenizer.decode(rows[0]))"),
    "pieces with spaces between": (
        "piecewise-decoding",
        _OUT + "print(' '.join(tokenizer.decode([one]) for one in out[0].tolist()))",
    ),
    "tokens of a generator, printed one behind another": (
        "piecewise-decoding",
        "def ids():\n    yield from [5, 6]\n"
        "for token in ids():\n    print(tokenizer.decode([token]), end='')",
    ),
    # Not written by generate
    "logits decoded": (
        "logits-decoded",
        "with torch.no_grad():\n    made = model(**inputs)\n"
        "print(tokenizer.decode(made.logits[0]))",
    ),
    "argmax of all places": (
        "argmax-of-every-place",
        "with torch.no_grad():\n    logits = model(**inputs).logits\n"
        "ids = torch.argmax(logits, dim=-1)\nprint(tokenizer.decode(ids[0]))",
    ),
    "argmax of all places of a batch": (
        "argmax-of-every-place",
        "with torch.no_grad():\n    made = model(**inputs)\n"
        "print(tokenizer.batch_decode(made.logits.argmax(-1)))",
    ),
    # Lists
    "a pipeline's field of a list": (
        "pipeline-lists-in-lists",
        _PIPELINE + "print(pipe('One two', return_full_text=False)['generated_text'])",
    ),
    "a pipeline's texts in a loop": (
        "pipeline-lists-in-lists",
        _PIPELINE + "for made in pipe(['One', 'Two'], return_full_text=False):\n"
        "    print(made['generated_text'])",
    ),
    "rows decoded and stripped": (
        "decoded-batch-as-text",
        _OUT + "print(tokenizer.decode(out, skip_special_tokens=True).strip())",
    ),
    "a batch split": (
        "decoded-batch-as-text",
        _OUT + "made = tokenizer.batch_decode(out)\nprint(made.replace('</s>', ''))",
    ),
    "a streamer's keyword misspelt": (
        "decode-argument-unknown",
        "transformers.TextStreamer(tokenizer, skip_prompt=True, skip_special_token=True)",
    ),
    "a streamer's timeout in capitals": (
        "decode-argument-unknown",
        "streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True, Timeout=9)",
    ),
    "a named argument that is parsed": (
        "strip-takes-characters",
        _OUT + "def clean(response):\n    return response.strip('```json')",
    ),
    "one answer of five": (
        "rows-left-unread",
        "out = model.generate(**inputs, do_sample=True, num_return_sequences=5)\n" + _CUT,
    ),
    # Pipelines
    "a batch read as one": (
        "pipeline-lists-in-lists",
        _PIPE + "for out in pipe(['One', 'Two']):\n    print(out['generated_text'])",
    ),
    "one read as a batch": (
        "pipeline-lists-in-lists",
        _PIPE + "print(pipe('One')[0][0]['generated_text'])",
    ),
    "no tokenizer": (
        "pipeline-without-tokenizer",
        "pipe = transformers.pipeline('text-generation', model=model)",
    ),
    "a type for a loaded model": (
        "pipeline-loads-nothing",
        "pipe = transformers.pipeline('text-generation', model=model, tokenizer=tokenizer, "
        "dtype=torch.bfloat16)",
    ),
    "batches of one": (
        "batch-of-one",
        _PIPE + "for text in texts:\n    print(pipe(text, batch_size=8))",
    ),
    "a chat as what a message says": (
        "pipeline-chat-as-text",
        _PIPE + _HI + "made = pipe(messages)\nsaid = made[0]['generated_text']\n"
        "messages.append({'role': 'assistant', 'content': said})",
    ),
    "a pipeline's chat, parsed later": (
        "pipeline-chat-as-text",
        _PIPE + _HI + "said = pipe(messages)[0]['generated_text']\njson.loads(said)",
    ),
    "a pipeline of an object": (
        "prompt-in-output",
        "class Bot:\n    def __init__(self):\n        self.pipe = transformers.pipeline("
        "'text-generation', model='some/model')\n    def ask(self, prompt):\n"
        "        text = self.pipe(prompt)[0]['generated_text']\n        return json.loads(text)",
    ),
    "a whole row is parsed": (
        "prompt-in-output",
        _ASKED + "json.loads(tokenizer.decode(out[0], skip_special_tokens=True))",
    ),
    # Answers
    "the place of the first closing brace": (
        "json-cut-at-first-brace",
        _TEXT + "json.loads(text[text.find('{') : text.find('}') + 1])",
    ),
    "a call over several lines": (
        "pattern-stops-at-line-end",
        _TEXT + "re.findall(r'<tool_call>(.*?)</tool_call>', text)",
    ),
    "a fence over several lines": (
        "pattern-stops-at-line-end",
        _TEXT + "re.search(r'```json(.*?)```', text)",
    ),
    "a word in its opposite": ("label-inside-words", _TEXT + "ok = 'correct' in text.lower()"),
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
    "a slice by a text's tokens": (
        "tokens-counted-anew",
        _AGAIN.format(then="count = len(tokenizer(answer).input_ids)\nkept = out.scores[:count]"),
    ),
    "a slice by a text that is encoded": (
        "tokens-counted-anew",
        _AGAIN.format(then="kept = new[: len(tokenizer.encode(answer))]"),
    ),
    "a slice by the shape of a text's ids": (
        "tokens-counted-anew",
        _AGAIN.format(
            then="count = tokenizer(answer, return_tensors='pt').input_ids.shape[1]\n"
            "kept = new[-count:]"
        ),
    ),
    "new tokens counted in a text": (
        "tokens-counted-anew",
        _AGAIN.format(then="completion_tokens = len(tokenizer.tokenize(answer))"),
    ),
}

# What only looks like it.
SOUND = {
    "a chat's last message": _PIPE
    + "print(pipe(messages)[0]['generated_text'][-1]['content'].strip())",
    "a chat's answer alone": _PIPE
    + "print(pipe(messages, return_full_text=False)[0]['generated_text'].strip())",
    "a text that is stripped": _PIPE + "print(pipe(prompt)[0]['generated_text'].strip())",
    "an answer alone": _PIPE + "answer = pipe(prompt, return_full_text=False)[0]['generated_text']",
    "an answer to settings that are not seen": _PIPE
    + "answer = pipe(prompt, **settings)[0]['generated_text']",
    "a penalty on length": IDS + "length_penalty=2\nscore = total / length_penalty",
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
    "words called words": IDS + "out = model.generate(**inputs, max_new_tokens=5)\n"
    "text=tokenizer.decode(out[0])\n"
    "num_words = len(text.split())\n"
    "n=len(text)",
    "prompts beside their rows": IDS + "prompts=['a','b']\n"
    "b=tokenizer(prompts, padding=True)\n"
    "out=model.generate(**b)\n"
    "texts=tokenizer.batch_decode(out)\n"
    "for p, t in zip(prompts, texts): print(p,t)",
    "a row as it is, which is one text": IDS + "out = model.generate(**inputs)\n"
    "print(' '.join(tokenizer.batch_decode(out[0])))\n"
    "print(' '.join(tokenizer.batch_decode(out[0].unsqueeze(0))))",
    "a word with its space": _ANSWER
    + "(yes,) = tokenizer(' Yes', add_special_tokens=False).input_ids",
    "a bare word after a space": "asked = 'Answer: '\nyes = tokenizer.convert_tokens_to_ids('Yes')",
    "a bare word in a chat": "asked = 'Answer:'\n"
    "text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)\n"
    "yes = tokenizer.convert_tokens_to_ids('Yes')",
    "a special token after a colon": _ANSWER
    + "end = tokenizer.convert_tokens_to_ids('<|im_end|>')",
    "a chosen token stripped": _LAST
    + "said = tokenizer.decode(last.argmax()).strip()\nprint(said == 'Paris')",
    "a chosen token with its space": _LAST
    + "said = tokenizer.decode(last.argmax())\nprint(said == ' Paris')",
    "an answer looked for in the new text": "import re\nout = model.generate(**inputs)\n"
    "text = tokenizer.decode(out[0, inputs.input_ids.shape[1]:])\n"
    "match = re.search(r'color: (\\w+)', text)",
    "the prompt looked for in the whole row": "out = model.generate(**inputs)\n"
    "text = tokenizer.decode(out[0])\nassert prompt in text\nended = stop_word in text",
    "the last match in the whole row": "import re\nout = model.generate(**inputs)\n"
    "text = tokenizer.decode(out[0])\nlast = re.findall(r'color: (\\w+)', text)[-1]\n"
    "whole = tokenizer.eos_token in text",
    "a stripped text and the right answer": "out = model.generate(**inputs, max_new_tokens=5)\n"
    "said = tokenizer.decode(out[0, inputs.input_ids.shape[1]:]).strip()\n"
    "right = said == row['answer']",
    "all of three samples": "out = model.generate(**inputs, do_sample=True, "
    "num_return_sequences=3)\nprint(tokenizer.batch_decode(out))",
    "each of three samples": "out = model.generate(**inputs, do_sample=True, "
    "num_return_sequences=3)\nprint(out[0])\nfor row in out:\n    print(row)",
    "the number of samples and the first": "out = model.generate(**inputs, do_sample=True, "
    "num_return_sequences=3)\nprint(out.shape, out[0], out[1])",
    # Taken apart
    "code in a fence with DOTALL": _NEW
    + "found = re.search(r'```python(.*?)```', text, re.DOTALL)",
    "code in a fence with an inline flag": _NEW + "found = re.search(r'(?s)```(.*?)```', text)",
    "a pattern for one line": _NEW + "found = re.search(r'Answer: (.*)', text)",
    "a flag by name": _NEW + "text = re.sub(r'\\s+,', ',', text, flags=re.IGNORECASE)",
    "a count by place": _NEW + "text = re.sub(r'^Answer:', '', text, 1)",
    "braces, greedily": _NEW
    + "found = re.search(r'\\{.*\\}', text, re.DOTALL)\n"
    + "data = json.loads(found[0]) if found else None",
    "lazy braces before a mark": _NEW
    + "found = re.search(r'<call>(\\{.*?\\})</call>', text, re.DOTALL)\n"
    + "data = json.loads(found[1]) if found else None",
    "lazy braces of a template": _NEW + "names = re.findall(r'\\{.*?\\}', prompt)",
    "an answer read as a literal": _NEW + "data = ast.literal_eval(text)",
    "a model put into eval": "model.eval()\n" + _NEW + "print(text)",
    "quotes replaced for show": _NEW + "print(text.replace(\"'\", '\"'))",
    "signs stripped": _NEW + "print(text.strip(' \\n`.,'))",
    "a suffix removed": _NEW + "print(text.removesuffix('</s>'))",
    "a word stripped off a name": "name = 'a.json'.rstrip('json')",
    "a second part, if there": _NEW
    + "answer = text.split('Answer:')[1] if 'Answer:' in text else text",
    "a last part": _NEW + "answer = text.split('Answer:')[-1]",
    "a group in a try": _NEW
    + "try:\n    answer = re.search(r'(\\d+)', text).group(1)\n"
    + "except AttributeError:\n    answer = ''",
    "a group that is asked for": _NEW
    + "found = re.search(r'(\\d+)', text)\nif not found:\n    raise SystemExit\nprint(found[1])",
    "json by a grammar": "made = model.generate(**inputs, logits_processor=[grammar])\n"
    "data = json.loads(tokenizer.decode(made[0, 9:], skip_special_tokens=True))",
    "json of a file": "data = json.loads(open('a.json').read())",
    "a first line, stripped": _NEW + "line = text.strip().split('\\n')[0]",
    "a number that begins with a digit": _NEW
    + "numbers = re.findall(r'-?\\d[\\d,]*(?:\\.\\d+)?', text)",
    "a number without its commas": _NEW
    + "found = re.search(r'\\d[\\d,]*', text)\n"
    + "number = float(found[0].replace(',', '')) if found else None",
    "cut where something is found": _NEW
    + "end = text.find('###')\nanswer = text[:end] if end >= 0 else text",
    "cut between braces": _NEW + "part = text[text.find('{') : text.rfind('}') + 1]",
    "a first line and the rest": _NEW + "line, rest = text.split('\\n', maxsplit=1)",
    "a row that begins with its prompt": _ALL + "whole = text.startswith(prompt)",
    # Judged
    "no as a word": _NEW + "says_no = bool(re.search(r'\\bno\\b', text.lower()))",
    "no among words": _NEW + "says_no = 'no' in text.lower().split()",
    "unsafe first": _NEW
    + "says = 'unsafe' if 'unsafe' in text else 'safe' if 'safe' in text else 'neither'",
    "a word that is in no other": _NEW + "is_paris = 'Paris' in text",
    "a letter in a list": "picks = ['A', 'B']\nprint('A' in picks)",
    "a letter at the end of a pattern": _NEW + "found = re.search(r'answer is \\(?([A-D])', text)",
    "one case": _NEW + "is_yes = text.strip().lower() == 'yes'",
    "one case of several": _NEW + "is_yes = text.strip().lower() in ('yes', 'Yes', 'y')",
    "a pattern in the text's case": _NEW + "found = re.findall(r'answer: (\\w+)', text.lower())",
    "a pattern that heeds no case": _NEW
    + "found = re.search(r'Answer: ([A-D])', text.lower(), re.IGNORECASE)",
    "a pattern with a class of both": _NEW
    + "found = re.search(r'answer: ([A-Za-z]+)', text.lower())",
    "labels apart": _NEW
    + "kinds = ['happy', 'sad']\nsaid = [kind for kind in kinds if kind in text]",
    "no case at all": _NEW + "is_four = text.strip().lower() == '4'",
    "compared and stripped": _NEW + "right = text.strip() == 'Paris'",
    "compared with a space on purpose": _NEW + "right = text == ' Paris'",
    "two answers compared": _NEW + "again = tokenizer.decode(new)\nsame = text == again",
    # Looked for in the answer
    "a label of the answer alone": "batch = tokenizer('Say yes or no.', return_tensors='pt')\n"
    "made = model.generate(**batch, max_new_tokens=3)\n"
    "reply = tokenizer.decode(made[0, batch.input_ids.shape[1] :], skip_special_tokens=True)\n"
    "is_yes = 'yes' in reply.lower()",
    "a label that the prompt lacks": _ALL + "is_green = 'green' in text",
    "the last number of all": "batch = tokenizer('What is 2 + 3?', return_tensors='pt')\n"
    "made = model.generate(**batch, max_new_tokens=3)\n"
    "numbers = re.findall(r'\\d+', tokenizer.decode(made[0]))[-1]",
    "behind the prompt's last mark": "asks = 'Q: 2+2\\nA:'\nbatch = tokenizer(asks)\n"
    "made = model.generate(**batch, max_new_tokens=3)\n"
    "answer = tokenizer.decode(made[0]).split('A:')[-1]",
    "cut at a mark that the prompt lacks": _ALL + "answer = text.split('###')[0]",
    "a pipeline without the prompt": _PIPELINE
    + "said = pipe('Say yes or no.', return_full_text=False)[0]['generated_text']\n"
    + "is_yes = 'yes' in said.lower()",
    # Cut
    "cut by tokens, decoded": _OUT + "print(tokenizer.decode(out[0, inputs.input_ids.shape[1] :]))",
    "a text shortened": _NEW + "print(text[:80])",
    "a text of new tokens shortened by a number": _NEW + "size = 9\nprint(text[size:])",
    "rows cut by the batch's own rows": _BATCH
    + "texts = [tokenizer.decode(row[len(ids) :]) for ids, row in zip(batch.input_ids, rows)]",
    "one row cut by its prompt encoded again": "size = len(tokenizer.encode(prompt))\n"
    + _OUT
    + "print(tokenizer.decode(out[0][size:]))",
    "all of several answers": "made = model.generate(**inputs, do_sample=True, "
    "num_return_sequences=3)\nfor row in made:\n    print(tokenizer.decode(row))",
    "several answers by their places": "made = model.generate(**inputs, do_sample=True, "
    "num_return_sequences=2)\nprint(tokenizer.decode(made[0]), tokenizer.decode(made[1]))",
    "a row's length that cuts": _BATCH + "print(rows[0][: len(rows[0]) - 1], rows[1])",
    "a single row's last token": _OUT + "ended = out[0, -1] == tokenizer.eos_token_id",
    "a batch of one": "batch = tokenizer([prompt], return_tensors='pt')\n"
    "made = model.generate(**batch, max_new_tokens=3)\nprint(tokenizer.decode(made[0]))",
    # Not written by generate
    "argmax of the last place": "with torch.no_grad():\n    logits = model(**inputs).logits\n"
    "print(tokenizer.decode(logits[:, -1].argmax(-1)))",
    "argmax of all places, counted": "logits = model(**inputs).logits.detach()\n"
    "right = (logits[:, :-1].argmax(-1) == inputs.input_ids[:, 1:]).float().mean()",
    "the likeliest tokens of a place": "logits = model(**inputs).logits.detach()\n"
    "print(tokenizer.batch_decode(logits[0, -1].topk(5).indices[:, None]))",
    "labels in another function": "def show(labels):\n    print(tokenizer.batch_decode(labels))",
    # Lists
    "a pipeline's first": _PIPELINE + "print(pipe('One two')[0]['generated_text'])",
    "a pipeline's texts, each one's first": _PIPELINE
    + "for made in pipe(['One', 'Two']):\n    print(made[0]['generated_text'])",
    "a pipeline over what is unseen": _PIPELINE
    + "for made in pipe(texts):\n    print(made['generated_text'])",
    "rows decoded, one taken": _OUT + "print(tokenizer.batch_decode(out)[0].strip())",
    "rows decoded, each stripped": _OUT
    + "print([one.strip() for one in tokenizer.batch_decode(out)])",
    "two streams of one name": _ITER + "a = list(streamer)\n" + _ITER + "b = list(streamer)",
    "all answers are read": (
        "out = model.generate(**inputs, do_sample=True, num_return_sequences=5)\n"
        "texts = tokenizer.batch_decode(out[:, 4:])\nprint(out[0])"
    ),
    # Pipelines
    "a batch read as a batch": (
        _PIPE + "for out in pipe(['One', 'Two']):\n    print(out[0]['generated_text'])\n"
    ),
    "samples of one prompt": (
        _PIPE + "for out in pipe('One', num_return_sequences=3):\n    print(out['generated_text'])"
    ),
    "a chat is one prompt": (
        _PIPE + _HI + "print(pipe(messages)[0]['generated_text'][-1]['content'])"
    ),
    "a name brings its tokenizer": "transformers.pipeline('text-generation', model='some/model')",
    "a type for a name": (
        "transformers.pipeline('text-generation', model='some/model', dtype=torch.bfloat16)"
    ),
    "all prompts at once": _PIPE + "pipe(texts, batch_size=8)",
    "batches in a loop": _PIPE + "for batch in batches:\n    pipe(batch, batch_size=8)",
    # Answers
    "a dot for all": _TEXT + "re.findall(r'<tool_call>(.*?)</tool_call>', text, flags=re.S)",
    "any character": _TEXT
    + r"found = re.search(r'\{[\s\S]*\}', text)"
    + "\nif found:\n    json.loads(found.group())",
    "a pattern in one line": _TEXT + "re.search(r'Answer: (.*)', text)",
    "the place of the last closing brace": (
        _TEXT + "json.loads(text[text.find('{') : text.rfind('}') + 1])"
    ),
    "a word that stands alone": _TEXT + "ok = text.strip().lower() == 'correct'",
    "its opposite first": (
        _TEXT + "if 'incorrect' in text:\n    ok = False\nelif 'correct' in text:\n    ok = True"
    ),
    "a letter in its form": _TEXT + r"re.search(r'answer is \(?([A-D])\b', text)",
    "all calls": _TEXT + "re.findall(r'<tool_call>(.*?)</tool_call>', text, re.DOTALL)",
    "a limit that is a minimum too": """\
import time
inputs = tokenizer("a", return_tensors="pt")
t = time.time()
out = model.generate(**inputs, max_new_tokens=100, min_new_tokens=100)
print("tok/s", 100 / (time.time() - t))
x = 100 / 3
""",
    "a slice by ids": _AGAIN.format(then="count = len(new)\nkept = out.scores[:count]"),
    "a history's tokens counted": _AGAIN.format(
        then="history = [answer]\nused = len(tokenizer(answer).input_ids)\nroom = 100 - used"
    ),
    "a prompt's tokens counted": _AGAIN.format(
        then="kept = out.sequences[:, len(tokenizer.encode(prompt)) :]"
    ),
}
