"""Criteria, ends and streams, for test_static.py: faulty lines and sound ones."""

_STREAM = "streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True)\n"
_THREAD = "Thread(target=model.generate, kwargs={**inputs, 'streamer': streamer})"
IDS = "ids = inputs.input_ids\n"
_ENDS_OF_ROWS = """\
class Ends(transformers.StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        done = []
        for row in input_ids:
            {turn}
        return all(done)
"""
_INNER = """for stop in self.stops:
                if row[-len(stop):].tolist() == stop:
                    done.append(True)
                    {leaves}
            """
_BATCH = """\
prompts = ["one", "two"]
batch = tokenizer(prompts, padding=True, return_tensors="pt")
rows = model.generate(**batch, max_new_tokens=5)
"""
_ITER = """\
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


def _streams(loop: str, then: str, **more: str) -> str:
    said = {"more": "", "decorated": "", "kind": "", "streamer": "TextIteratorStreamer"} | more
    return _IN_A_FUNCTION.format(loop=loop, then=then, **said)


_ASK = """\
def ask(question):
    batch = tokenizer(question, return_tensors="pt")
    made = model.generate(**batch, max_new_tokens=50)
    return tokenizer.decode(made[0, batch.input_ids.shape[1] :], skip_special_tokens=True)
"""
_PIPELINE = 'pipe = transformers.pipeline("text-generation", model="some/model")\n'
_OWN = "class Shown(transformers.BaseStreamer):\n    def put(self, value):\n        {puts}\n{ends}"
_END = "    def end(self):\n        print()\n"
_ENDS = "input_ids, scores, **kwargs"
_STOP = """\
class Stop(transformers.StoppingCriteria):
    def __init__(self, words):
        self.words = words
    def __call__(self, {takes}):
        {does}
stop = Stop({given})
"""


def _stops(does: str, takes: str = _ENDS, given: str = "['User:', '###']") -> str:
    return _STOP.format(takes=takes, does=does, given=given)


# What is wrong, in a line or a few: the code, by what somebody wrote.
FAULTY = {
    "generate called for a thread": (
        "stream-never-fed",
        _STREAM + "Thread(target=model.generate(**inputs, streamer=streamer)).start()",
    ),
    "a thread that is not started": (
        "stream-never-fed",
        _STREAM + f"worker = {_THREAD}\nfor piece in streamer:\n    print(piece)",
    ),
    "generate, then its stream": (
        "stream-read-late",
        _STREAM + "model.generate(**inputs, streamer=streamer)\n"
        "for piece in streamer:\n    print(piece)",
    ),
    "joined, then read": (
        "stream-read-late",
        _STREAM + f"worker = {_THREAD}\nworker.start()\nworker.join()\nprint(''.join(streamer))",
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
    "a criterion that finds False": (
        "criterion-never-true",
        _ENDS_OF_ROWS.format(turn=_INNER.format(leaves="break") + "done.append(False)"),
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
    # Streams
    "a stream read again": (
        "stream-read-twice",
        _ITER + "for piece in streamer:\n    print(piece)\nwhole = ''.join(streamer)",
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
        _PIPELINE + "async def answer(question):\n    return pipe(question)",
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
        _ITER + "for piece in streamer:\n    if '###' in piece:\n        break\n",
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
    "one piece of each of several words as ends": (
        "eos-from-encode",
        "stops = ['yes', 'END OF ANSWER']\n"
        "ends = [tokenizer.eos_token_id] + [\n"
        "    tokenizer.encode(one, add_special_tokens=False)[-1] for one in stops\n]\n"
        "model.generate(**inputs, eos_token_id=ends)",
    ),
}

# What only looks like it.
SOUND = {
    "ends that are one token each": "stops = ['yes', 'no']\n"
    "ends = [tokenizer.eos_token_id] + [\n"
    "    tokenizer.encode(one, add_special_tokens=False)[-1] for one in stops\n]\n"
    "model.generate(**inputs, eos_token_id=ends)",
    "a thread that is started": _STREAM + f"worker = {_THREAD}\nworker.start()\n"
    "for piece in streamer:\n    print(piece)\nworker.join()",
    "a thread that is started at once": _STREAM + f"{_THREAD}.start()\nprint(''.join(streamer))",
    "a streamer that prints": "streamer = transformers.TextStreamer(tokenizer, skip_prompt=True)\n"
    "model.generate(**inputs, streamer=streamer)",
    "a stream that another reads": _STREAM + "Thread(target=show, args=(streamer,)).start()\n"
    "model.generate(**inputs, streamer=streamer)",
    "an end by its id": IDS + "for _ in range(9):\n"
    "    t = model(ids).logits[0, -1].argmax().item()\n"
    "    if t == tokenizer.eos_token_id:\n"
    "        break\n"
    "    ids = torch.cat([ids, torch.tensor([[t]])], 1)",
    "a criterion that goes on": _ENDS_OF_ROWS.format(
        turn="if row[-1] == 2:\n                done.append(True)\n                continue\n"
        "            done.append(False)"
    ),
    "a criterion with an else": _ENDS_OF_ROWS.format(
        turn=_INNER.format(leaves="break") + "else:\n                done.append(False)"
    ),
    "rows cut by the batch's length": _BATCH
    + "size = batch.input_ids.shape[1]\n"
    + "texts = [tokenizer.decode(row[size:]) for row in rows]",
    "a batch's length": _BATCH + "longest = rows.shape[1]",
    "ends anywhere": _BATCH + "ended = (rows == tokenizer.eos_token_id).any(dim=1)",
    "ends that are the padding": "tokenizer.pad_token = tokenizer.eos_token\n"
    + _BATCH
    + "ended = rows[:, -1] == tokenizer.eos_token_id",
    # Streams
    "a stream read once and kept": _ITER
    + "pieces = []\nfor piece in streamer:\n    pieces.append(piece)\nwhole = ''.join(pieces)",
    "a stream read on": _ITER + "for piece in streamer:\n    break\nrest = ''.join(streamer)",
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
    "an id among ids": """\
ends = [tokenizer.eos_token_id, 7]
for _ in range(5):
    token = model(ids).logits[0, -1].argmax()
    if token.item() in ends:
        break
""",
}
