"""Scripts that take an answer apart, judge it, stream it or stop it, for test_static.py."""

_OUT = "out = model.generate(**inputs, max_new_tokens=5)\n"
_ALL = _OUT + "text = tokenizer.decode(out[0], skip_special_tokens=True)\n"
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
_STREAM = """\
streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True)
Thread(target=model.generate, kwargs=dict(inputs, streamer=streamer)).start()
"""
_IN_A_FUNCTION = """\
{more}{decorated}{kind}def answer(question):
    streamer = transformers.{streamer}(tokenizer, skip_prompt=True)
    Thread(target=model.generate, kwargs=dict(inputs, streamer=streamer)).start()
    {loop} piece in streamer:
        {then}
"""
_STOP = """\
class Stop(transformers.StoppingCriteria):
    def __init__(self, words):
        self.words = words
    def __call__(self, {takes}):
        {does}
stop = Stop({given})
"""
_BATCH = """\
prompts = ["one", "two"]
batch = tokenizer(prompts, padding=True, return_tensors="pt")
rows = model.generate(**batch, max_new_tokens=5)
"""
_ENDS = "input_ids, scores, **kwargs"
_OWN = "class Shown(transformers.BaseStreamer):\n    def put(self, value):\n        {puts}\n{ends}"
_END = "    def end(self):\n        print()\n"
_PIPE = 'pipe = transformers.pipeline("text-generation", model="some/model")\n'
_METRICS = """\
def compute_metrics(eval_preds):
    predictions, labels = eval_preds
    {first}
    return {{"right": tokenizer.batch_decode(labels) == predictions}}
"""


def _stops(does: str, takes: str = _ENDS, given: str = "['User:', '###']") -> str:
    return _STOP.format(takes=takes, does=does, given=given)


def _streams(loop: str, then: str, **more: str) -> str:
    said = {"more": "", "decorated": "", "kind": "", "streamer": "TextIteratorStreamer"} | more
    return _IN_A_FUNCTION.format(loop=loop, then=then, **said)


FAULTY = {
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
        _STREAM + "text = ''\nfor piece in streamer:\n    text += piece\ndata = eval(text)",
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
        _PIPE + "asks = 'Say yes or no.'\nsaid = pipe(asks)[0]['generated_text']\n"
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
    "lengths of a batch's rows": (
        "padding-counted",
        _BATCH + "new = rows[:, batch.input_ids.shape[1] :]\nlengths = [len(row) for row in new]",
    ),
    "all tokens of a batch": (
        "padding-counted",
        _BATCH + "new_tokens = rows[:, batch.input_ids.shape[1] :].numel()",
    ),
    "ends in the last column": (
        "end-looked-for-at-the-last",
        _BATCH + "ended = rows[:, -1] == tokenizer.eos_token_id",
    ),
    "a row's last token": (
        "end-looked-for-at-the-last",
        _BATCH + "for row in rows:\n    if row[-1] != tokenizer.eos_token_id:\n"
        "        print('cut off')",
    ),
    "one row of a batch": ("rows-left-unread", _BATCH + "print(tokenizer.decode(rows[0]))"),
    "pieces with spaces between": (
        "piecewise-decoding",
        _OUT + "print(' '.join(tokenizer.decode([one]) for one in out[0].tolist()))",
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
    "labels with what the loss leaves out": (
        "ignored-labels-decoded",
        _METRICS.format(first="predictions = tokenizer.batch_decode(predictions)"),
    ),
    # Lists
    "a pipeline's field of a list": (
        "pipeline-lists-in-lists",
        _PIPE + "print(pipe('One two', return_full_text=False)['generated_text'])",
    ),
    "a pipeline's texts in a loop": (
        "pipeline-lists-in-lists",
        _PIPE + "for made in pipe(['One', 'Two'], return_full_text=False):\n"
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
    # Streams
    "a stream read again": (
        "stream-read-twice",
        _STREAM + "for piece in streamer:\n    print(piece)\nwhole = ''.join(streamer)",
    ),
    "a printing streamer in a loop": (
        "streamer-of-another-kind",
        "streamer = transformers.TextStreamer(tokenizer, skip_prompt=True)\n"
        "model.generate(**inputs, streamer=streamer)\nfor piece in streamer:\n    print(piece)",
    ),
    "async for, and a queue": (
        "streamer-of-another-kind",
        _streams("async for", "yield piece", kind="async "),
    ),
    "for, and an async queue": (
        "streamer-of-another-kind",
        _streams("for", "print(piece)", streamer="AsyncTextIteratorStreamer"),
    ),
    "a stream in an async function": (
        "blocks-the-event-loop",
        _streams("for", "yield piece", kind="async "),
    ),
    "generate in a route": (
        "blocks-the-event-loop",
        "@app.post('/answer')\nasync def answer(question):\n"
        "    batch = tokenizer(question, return_tensors='pt')\n"
        "    return len(model.generate(**batch, max_new_tokens=9))",
    ),
    "a function that generates, in a route": (
        "blocks-the-event-loop",
        _ASK + "@app.post('/answer')\nasync def answer(question):\n    return ask(question)",
    ),
    "a pipeline in an async function": (
        "blocks-the-event-loop",
        _PIPE + "async def answer(question):\n    return pipe(question)",
    ),
    "one stream for all requests": (
        "streamer-shared",
        "streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True)\n"
        "@app.get('/answer')\ndef answer(question):\n"
        "    Thread(target=model.generate, kwargs=dict(inputs, streamer=streamer)).start()\n"
        "    return StreamingResponse(streamer)",
    ),
    "one stream for all of a class": (
        "streamer-shared",
        "import fastapi\nclass Writer:\n    def __init__(self):\n"
        "        self.streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True)\n"
        "    def write(self, batch):\n"
        "        call = dict(batch, streamer=self.streamer)\n"
        "        Thread(target=model.generate, kwargs=call).start()\n"
        "        yield from self.streamer",
    ),
    "a streamer without an end": (
        "streamer-without-end",
        _OWN.format(puts="print(value) if self.first else None", ends=""),
    ),
    "a prompt put like a token": (
        "prompt-put-first",
        _OWN.format(puts="print(tokenizer.decode(value[0]))", ends=_END),
    ),
    "a piece for all of the page": (
        "piece-yielded-alone",
        _streams("for", "yield piece", more="import gradio\n"),
    ),
    "a stream that is left": (
        "stream-left-running",
        _STREAM + "for piece in streamer:\n    if '###' in piece:\n        break\n",
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
    # Stops
    "a criterion that searches by find": (
        "stop-reads-the-prompt",
        _stops("return tokenizer.decode(input_ids[0]).find('###') != -1"),
    ),
    "a criterion that searches a batch's first text": (
        "stop-reads-the-prompt",
        _stops("return '###' in tokenizer.batch_decode(input_ids)[0]"),
    ),
    "a criterion that searches by a pattern": (
        "stop-reads-the-prompt",
        _stops("return bool(re.search('###', tokenizer.decode(input_ids[0])))"),
    ),
    "a criterion for an id anywhere": (
        "stop-reads-the-prompt",
        _stops("return bool((input_ids == 13).any())"),
    ),
    "a criterion of rows in one": (
        "criterion-of-one-row",
        _BATCH.split("rows")[0]
        + _stops("return bool((input_ids.ravel()[-1] == 13).item())")
        + "model.generate(**batch, stopping_criteria=[stop])",
    ),
    "a criterion of any row": (
        "criterion-of-one-row",
        _BATCH.split("rows")[0]
        + _stops("return [13] in input_ids[:, -1:].tolist()")
        + "model.generate(**batch, stopping_criteria=[stop])",
    ),
    "a criterion with one way out": (
        "processor-returns-none",
        _stops("if input_ids[0, -1] == 13:\n            return True"),
    ),
    "a criterion that returns a list": (
        "criterion-of-wrong-form",
        _stops("return [bool(row[-1] == 13) for row in input_ids]"),
    ),
    "a criterion without scores": (
        "criterion-of-wrong-form",
        _stops("return input_ids[:, -1] == 13", takes="input_ids"),
    ),
    "a criterion that is no list": (
        "argument-of-wrong-kind",
        _stops("return input_ids[:, -1] == 13")
        + "model.generate(**inputs, stopping_criteria=stop)",
    ),
    "a criterion in a list without brackets": (
        "list-of-no-list",
        _stops("return input_ids[:, -1] == 13")
        + "ends = transformers.StoppingCriteriaList(stop)\n"
        + "model.generate(**inputs, stopping_criteria=ends)",
    ),
    "an end by its text": (
        "argument-of-wrong-kind",
        "model.generate(**inputs, eos_token_id='</s>')",
    ),
    "a stop word compared with a token": (
        "stop-word-in-one-token",
        _stops("return tokenizer.decode(input_ids[0, -1]) == 'User:'"),
    ),
    "stop words compared with a token": (
        "stop-word-in-one-token",
        _stops(
            "last = tokenizer.decode(input_ids[0][-1]).strip()\n        return last in self.words"
        ),
    ),
    "a line's end escaped": (
        "stop-string-with-backslash",
        "model.generate(**inputs, stop_strings=['\\\\n'], tokenizer=tokenizer)",
    ),
    "stop words with a colon": (
        "stop-ids-never-match",
        _stops("return input_ids[0, -2:].tolist() in self.words", given="ids").replace(
            "stop = ",
            "words = ['Human:', 'AI:']\nids = [tokenizer.encode(w) for w in words]\nstop = ",
        ),
    ),
    "stop words after a begin token": (
        "stop-ids-begin-a-text",
        "name = 'meta-llama/Llama-2-7b-hf'\n"
        + _stops("return input_ids[0, -3:].tolist() in self.words", given="ids").replace(
            "stop = ", "ids = [tokenizer(w).input_ids for w in ['\\nHuman:', '\\n###']]\nstop = "
        ),
    ),
    "stop words after a piece for a space": (
        "stop-ids-begin-a-text",
        "name = 'lmsys/vicuna-7b-v1.5'\n"
        + _stops("return input_ids[0, -2:].tolist() in self.words", given="ids").replace(
            "stop = ",
            "ids = [tokenizer(w, add_special_tokens=False).input_ids for w in ['\\n']]\nstop = ",
        ),
    ),
    # Lengths
    "a length in characters": (
        "length-in-other-units",
        "model.generate(**inputs, max_length=len(prompt) + 50)",
    ),
    "a length in words": (
        "length-in-other-units",
        "model.generate(**inputs, max_new_tokens=2 * len(prompt.split()))",
    ),
    "a length in characters of the longest": (
        "length-in-other-units",
        "texts = ['one', 'two']\nbatch = tokenizer(texts, padding=True, return_tensors='pt')\n"
        "longest = max(len(text) for text in texts)\n"
        "model.generate(**batch, max_new_tokens=512 - longest)",
    ),
    "a length in rows": (
        "length-in-other-units",
        "model.generate(**inputs, max_length=len(inputs['input_ids']) + 50)",
    ),
    "a length in fields": (
        "length-in-other-units",
        "model.generate(**inputs, max_length=len(inputs) + 50)",
    ),
    "new tokens and the prompt": (
        "prompt-counted-as-new",
        "model.generate(**inputs, max_new_tokens=inputs.input_ids.shape[1] + 50)",
    ),
}

SOUND = {
    # Taken apart
    "code in a fence with DOTALL": _NEW
    + "found = re.search(r'```python(.*?)```', text, re.DOTALL)",
    "code in a fence with an inline flag": _NEW + "found = re.search(r'(?s)```(.*?)```', text)",
    "a pattern for one line": _NEW + "found = re.search(r'Answer: (.*)', text)",
    "a fence in a file": "found = re.search(r'```(.*?)```', open('a.md').read())",
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
    "a sum evaluated": "total = eval('1 + 1')",
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
    "a number of the command line": "count = int(input())",
    "a first line, stripped": _NEW + "line = text.strip().split('\\n')[0]",
    "a number that begins with a digit": _NEW
    + "numbers = re.findall(r'-?\\d[\\d,]*(?:\\.\\d+)?', text)",
    "a version's pattern on a file": "found = re.search('[0-9.]+', open('a.txt').read())",
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
    "a user's text in one case": "ends = input().lower() == 'Quit'",
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
    "a pipeline without the prompt": _PIPE
    + "said = pipe('Say yes or no.', return_full_text=False)[0]['generated_text']\n"
    + "is_yes = 'yes' in said.lower()",
    # Cut
    "cut by tokens, decoded": _OUT + "print(tokenizer.decode(out[0, inputs.input_ids.shape[1] :]))",
    "a text shortened": _NEW + "print(text[:80])",
    "a text of new tokens shortened by a number": _NEW + "size = 9\nprint(text[size:])",
    "rows cut by the batch's length": _BATCH
    + "size = batch.input_ids.shape[1]\n"
    + "texts = [tokenizer.decode(row[size:]) for row in rows]",
    "rows cut by the batch's own rows": _BATCH
    + "texts = [tokenizer.decode(row[len(ids) :]) for ids, row in zip(batch.input_ids, rows)]",
    "one row cut by its prompt encoded again": "size = len(tokenizer.encode(prompt))\n"
    + _OUT
    + "print(tokenizer.decode(out[0][size:]))",
    "all of several answers": "made = model.generate(**inputs, do_sample=True, "
    "num_return_sequences=3)\nfor row in made:\n    print(tokenizer.decode(row))",
    "several answers by their places": "made = model.generate(**inputs, do_sample=True, "
    "num_return_sequences=2)\nprint(tokenizer.decode(made[0]), tokenizer.decode(made[1]))",
    "a batch's length": _BATCH + "longest = rows.shape[1]",
    "a row's length that cuts": _BATCH + "print(rows[0][: len(rows[0]) - 1], rows[1])",
    "a single row's length": _OUT + "count = len(out[0]) - inputs.input_ids.shape[1]",
    "ends anywhere": _BATCH + "ended = (rows == tokenizer.eos_token_id).any(dim=1)",
    "a single row's last token": _OUT + "ended = out[0, -1] == tokenizer.eos_token_id",
    "ends that are the padding": "tokenizer.pad_token = tokenizer.eos_token\n"
    + _BATCH
    + "ended = rows[:, -1] == tokenizer.eos_token_id",
    "a batch of one": "batch = tokenizer([prompt], return_tensors='pt')\n"
    "made = model.generate(**batch, max_new_tokens=3)\nprint(tokenizer.decode(made[0]))",
    # Not written by generate
    "argmax of the last place": "with torch.no_grad():\n    logits = model(**inputs).logits\n"
    "print(tokenizer.decode(logits[:, -1].argmax(-1)))",
    "argmax of all places, counted": "logits = model(**inputs).logits.detach()\n"
    "right = (logits[:, :-1].argmax(-1) == inputs.input_ids[:, 1:]).float().mean()",
    "the likeliest tokens of a place": "logits = model(**inputs).logits.detach()\n"
    "print(tokenizer.batch_decode(logits[0, -1].topk(5).indices[:, None]))",
    "labels with padding put in": _METRICS.format(
        first="labels = np.where(labels != -100, labels, tokenizer.pad_token_id)"
    ),
    "labels in another function": "def show(labels):\n    print(tokenizer.batch_decode(labels))",
    # Lists
    "a pipeline's first": _PIPE + "print(pipe('One two')[0]['generated_text'])",
    "a pipeline's texts, each one's first": _PIPE
    + "for made in pipe(['One', 'Two']):\n    print(made[0]['generated_text'])",
    "a pipeline over what is unseen": _PIPE
    + "for made in pipe(texts):\n    print(made['generated_text'])",
    "rows decoded, one taken": _OUT + "print(tokenizer.batch_decode(out)[0].strip())",
    "rows decoded, each stripped": _OUT
    + "print([one.strip() for one in tokenizer.batch_decode(out)])",
    # Streams
    "a stream read once and kept": _STREAM
    + "pieces = []\nfor piece in streamer:\n    pieces.append(piece)\nwhole = ''.join(pieces)",
    "a stream read on": _STREAM + "for piece in streamer:\n    break\nrest = ''.join(streamer)",
    "two streams of one name": _STREAM + "a = list(streamer)\n" + _STREAM + "b = list(streamer)",
    "a stream in a plain function": _streams("for", "yield piece"),
    "an async stream": _streams(
        "async for", "yield piece", kind="async ", streamer="AsyncTextIteratorStreamer"
    ),
    "generate handed to a thread": "async def answer():\n"
    "    return await asyncio.to_thread(model.generate, **inputs)",
    "a plain function of a server": "@app.post('/answer')\ndef answer():\n"
    "    return len(model.generate(**inputs, max_new_tokens=9))",
    "a function that generates, in a thread": _ASK
    + "async def answer(question):\n    return await asyncio.to_thread(ask, question)",
    "an engine that is awaited": "async def answer():\n    return await model.generate(**inputs)",
    "a stream for each request": "import fastapi\n" + _streams("for", "yield piece"),
    "a stream for a script": "streamer = transformers.TextIteratorStreamer(tokenizer, "
    "skip_prompt=True)\ndef show():\n    for piece in streamer:\n        print(piece)",
    "a streamer that knows the prompt": _OWN.format(
        puts="if self.first:\n            self.first = False\n            return\n"
        "        print(tokenizer.decode(value))",
        ends=_END,
    ),
    "a streamer that takes the time": _OWN.format(puts="self.times.append(clock())", ends=_END),
    "a text that grows": _streams(
        "for", "text += piece\n        yield text", more="import gradio\ntext = ''\n"
    ),
    "pieces without a page": _streams("for", "yield piece"),
    # Stops
    "a criterion that searches what is new": _stops(
        "return '###' in tokenizer.decode(input_ids[0, self.start :])"
    ),
    "a criterion for the last id": _stops("return bool((input_ids[:, -1] == 13).any())"),
    "a criterion with two ways out": _stops(
        "if input_ids[0, -1] == 13:\n            return True\n"
        "        else:\n            return False"
    ),
    "a criterion that returns a tensor": _stops(
        "ends = [bool(row[-1] == 13) for row in input_ids]\n        return torch.tensor(ends)"
    ),
    "a criterion with any arguments": _stops("return False", takes="*args"),
    "a criterion in a list": _stops("return input_ids[:, -1] == 13")
    + "model.generate(**inputs, stopping_criteria=[stop])",
    "a sign compared with a token": _stops("return tokenizer.decode(input_ids[0, -1]) == '.'"),
    "a text's end compared with a stop word": _stops(
        "return tokenizer.decode(input_ids[0, -9:]).endswith('User:')"
    ),
    "a line's end": "model.generate(**inputs, stop_strings=['\\n'], tokenizer=tokenizer)",
    "stop words without special tokens": "name = 'meta-llama/Llama-3.1-8B'\n"
    + _stops("return input_ids[0, -3:].tolist() in self.words", given="ids").replace(
        "stop = ",
        "ids = [tokenizer(w, add_special_tokens=False).input_ids for w in ['\\n###']]\nstop = ",
    ),
    # Lengths
    "a length in tokens": "model.generate(**inputs, max_length=inputs.input_ids.shape[1] + 50)",
    "a length of a row": "model.generate(**inputs, max_length=len(inputs.input_ids[0]) + 50)",
    "a length of encoded ids": "ids = tokenizer.encode(prompt)\n"
    "model.generate(torch.tensor([ids]), max_length=len(ids) + 50)",
    "what is left of the room": "model.generate(**inputs, "
    "max_new_tokens=512 - inputs.input_ids.shape[1])",
}
