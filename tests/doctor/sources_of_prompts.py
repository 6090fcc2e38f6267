"""Prompts, batches, chats and tools, for test_static.py: faulty lines and sound ones."""

_FILLED = "inputs = tokenizer(filled, return_tensors='pt')\nmodel.generate(**inputs)\n"
_PIPE = "pipe = transformers.pipeline('text-generation', model='some/model')\n"


def _by_hand(text: str) -> str:
    return f"filled = f{text!r}\n" + _FILLED


_CUT = "new = out[0][inputs['input_ids'].shape[1]:]\n"
_ASKED = "out = model.generate(**inputs, max_new_tokens=5)\n" + _CUT
_RENDER = (
    "inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, "
    "return_tensors='pt', return_dict=True)\n"
)
_CHAT = _RENDER + _ASKED
_SAYS = "messages.append({'role': 'user', 'content': question})\n"


def _in_a_function(head: str, *bodies: str) -> str:
    lines = "".join(bodies).splitlines()
    return head + "\n" + "".join(f"    {line}\n" for line in lines)


_HI = "messages = [{'role': 'user', 'content': 'Hello'}]\n"
_SYSTEM = "messages = [{'role': 'system', 'content': 'Be brief.'}]\n"
_RESULT = "messages.append({'role': 'tool', 'name': 'f', 'content': '1'})\n"
_BATCHES = """\
for i in range({through}):
    inputs = tokenizer(prompts[{part}], padding=True, return_tensors="pt")
    texts += tokenizer.batch_decode(model.generate(**inputs, max_new_tokens=5))
"""
_SORTED = """\
ordered = sorted(prompts, key=len)
for text in ordered:
    inputs = tokenizer(text, return_tensors="pt")
    answers.append(tokenizer.decode(model.generate(**inputs)[0]))
"""
_TEXT = _ASKED + "text = tokenizer.decode(new, skip_special_tokens=True)\n"
_TEMPLATE = """\
PROMPT = 'As JSON: {{example}}. Text: {{text}}'
class Writer:
    def __init__(self, template):
        self.template = template
    def prompt(self, text):
        return self.template.{fills}
writer = Writer({given})
"""
_ANSWERED = (
    "    text = tokenizer.decode(new, skip_special_tokens=True)\n"
    "    messages.append({'role': 'assistant', 'content': text})\n"
)

# What is wrong, in a line or a few: the code, by what somebody wrote.
FAULTY = {
    # Prompts that are put together
    "a text without a field": (
        "format-without-place",
        "TEMPLATE = 'Grade the answer.'\nfilled = TEMPLATE.format(answer=text)\n" + _FILLED,
    ),
    "one value more than fields": (
        "format-without-place",
        "filled = 'Text: {}'.format(context, question)\n" + _FILLED,
    ),
    "a placeholder spelt otherwise": (
        "format-without-place",
        "TEMPLATE = 'Text: [TEXT]'\nfilled = TEMPLATE.replace('{text}', text)\n" + _FILLED,
    ),
    "json in a template": (
        "braces-in-template",
        'filled = \'As JSON {"name": "..."}: {text}\'.format(text=text)\n' + _FILLED,
    ),
    "a field without a value": (
        "braces-in-template",
        "T = 'Text: {text}\\nQuestion: {question}'\nfilled = T.format(text=text)\n" + _FILLED,
    ),
    "json in an f-string": (
        "braces-in-template",
        'filled = f\'As JSON {"name": "..."}: {text}\'\n' + _FILLED,
    ),
    "an f on one piece of several": (
        "placeholder-left",
        "def ask(context, question):\n    filled = (f'{context}\\n'\n"
        "        'Question: {question}')\n    return tokenizer(filled)\n",
    ),
    "a placeholder in what a function makes": (
        "placeholder-left",
        "def build(question):\n    return 'Question: {question}'\ninputs = tokenizer(build('a'))\n",
    ),
    "a placeholder in a pipeline": (
        "placeholder-left",
        _PIPE + "def ask(question):\n    filled = 'Question: {question}'\n    return pipe(filled)",
    ),
    "a trailing space in a pipeline": ("trailing-space", _PIPE + "pipe('The capital is ')"),
    "no lines after a header": (
        "header-differs",
        _by_hand("<|start_header_id|>user<|end_header_id|>{text}<|eot_id|>"),
    ),
    "no line after a role": ("header-differs", _by_hand("<|im_start|>user {text}<|im_end|>")),
    "a line before the end": (
        "header-differs",
        _by_hand("<|im_start|>user\n{text}\n<|im_end|>\n<|im_start|>assistant\n"),
    ),
    "a turn that is not closed": (
        "header-differs",
        _by_hand("<|im_start|>user\n{text}\n<|im_start|>assistant\n"),
    ),
    "an instruction in an instruction": (
        "header-differs",
        _by_hand("[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n[INST] {text} [/INST]"),
    ),
    # Chats
    "a default list": (
        "history-shared",
        _in_a_function(
            "def ask(question, history=[]):",
            _SAYS.replace("messages", "history"),
            _CHAT.replace("messages", "history"),
            "history.append({'role': 'assistant', 'content': text})\n",
        ),
    ),
    "a list of the class": (
        "history-shared",
        "class Bot:\n    messages = []\n    def ask(self, question):\n        self."
        + _SAYS
        + "        self.messages.append({'role': 'assistant', 'content': call(self.messages)})\n"
        + _HI
        + _CHAT,
    ),
    "a second name for the list": (
        "history-shared",
        "start = [{'role': 'system', 'content': 'Be brief.'}]\n"
        + _in_a_function("for question in questions:", "messages = start\n", _SAYS, _CHAT),
    ),
    "one list for a data set": (
        "history-shared",
        _SYSTEM
        + _in_a_function("for question in dataset:", _SAYS, _CHAT)
        + "    messages.append({'role': 'assistant', 'content': text})\n",
    ),
    "a history without its beginning": (
        "system-trimmed",
        _SYSTEM + _in_a_function("while True:", _SAYS, "messages = messages[-6:]\n", _CHAT),
    ),
    "the first of all is dropped": (
        "system-trimmed",
        _SYSTEM + "while len(messages) > 9:\n    messages.pop(0)\n" + _CHAT,
    ),
    "a part for the template": (
        "system-trimmed",
        _SYSTEM + _CHAT.replace("(messages,", "(messages[-4:],"),
    ),
    "what append returns": (
        "message-not-appended",
        _HI + "messages = messages.append({'role': 'user', 'content': 'And?'})\n" + _CHAT,
    ),
    "a dictionary for a list": (
        "message-not-appended",
        _HI + "messages += {'role': 'user', 'content': 'And?'}\n" + _CHAT,
    ),
    "a dictionary to extend": (
        "message-not-appended",
        _HI + "messages.extend({'role': 'user', 'content': 'And?'})\n" + _CHAT,
    ),
    "what append gives back": (
        "message-not-appended",
        _HI
        + _in_a_function("def add(a):", "return messages.append({'role': 'user', 'content': a})")
        + _CHAT,
    ),
    "a list and a dictionary": (
        "message-not-appended",
        "start = []\nmessages = start + {'role': 'user', 'content': 'And?'}\n" + _CHAT,
    ),
    "the first of all, by a slice": (
        "system-trimmed",
        _SYSTEM + "while len(messages) > 9:\n    messages = messages[1:]\n" + _CHAT,
    ),
    "the answer of the user": (
        "answer-as-user",
        _HI + _CHAT + "messages.append({'role': 'user', 'content': tokenizer.decode(new)})\n",
    ),
    "message by message": (
        "rendered-in-pieces",
        "''.join(tokenizer.apply_chat_template([one], tokenize=False) for one in messages)",
    ),
    "message by message, in a loop": (
        "rendered-in-pieces",
        "for one in messages:\n    ids += tokenizer.apply_chat_template([one])\n",
    ),
    "tools once": (
        "tools-forgotten",
        _HI
        + _CHAT.replace("(messages,", "(messages, tools=tools,")
        + "messages.append({'role': 'assistant', 'tool_calls': calls})\n"
        + _RESULT
        + _CHAT,
    ),
    "a result that nobody asked for": ("tool-result-without-call", _HI + _RESULT + _CHAT),
    "arguments as a string": (
        "tool-call-miswritten",
        _HI + "call = {'name': 'f', 'arguments': json.dumps(given)}\nmessages.append("
        "{'role': 'assistant', 'tool_calls': [{'function': {'name': 'f', 'arguments': "
        "json.dumps(given)}}]})\n" + _RESULT + _CHAT,
    ),
    "a role of another library": (
        "unknown-role",
        "messages = [{'role': 'human', 'content': 'Hello'}]\n" + _CHAT,
    ),
    "a history that is not read": (
        "history-not-passed",
        _in_a_function("def ask(message, history):", _HI, _CHAT, "return out\n"),
    ),
    "no answers, in a function": (
        "answers-not-kept",
        "messages = []\n" + _in_a_function("def ask(question):", _SAYS, _CHAT, "return out\n"),
    ),
    "a system message for each call": (
        "message-twice",
        "messages = []\n"
        + _in_a_function(
            "def ask(question):",
            "messages.append({'role': 'system', 'content': 'Be brief.'})\n",
            _SAYS,
            _CHAT,
            "messages.append({'role': 'assistant', 'content': text})\n",
        ),
    ),
    "a begun answer is appended": (
        "generation-prompt-misplaced",
        _HI + "messages.append({'role': 'assistant', 'content': 'The answer is'})\n" + _CHAT,
    ),
    "no header of an answer": (
        "no-generation-prompt",
        _HI + _CHAT.replace("add_generation_prompt=True, ", ""),
    ),
    "no header in the text": (
        "no-generation-prompt",
        _HI
        + "text = tokenizer.apply_chat_template(messages, tokenize=False)\n"
        + "ids = tokenizer(text, return_tensors='pt').input_ids\nmodel.generate(ids)\n",
    ),
    "a begin token twice": (
        "doubled-bos",
        "tok = AutoTokenizer.from_pretrained('meta-llama/Llama-3.1-8B-Instruct')\n"
        "text = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)\n"
        "ids = tok(text, return_tensors='pt')\n",
    ),
    "a begin token twice, in a pipeline": (
        "doubled-bos",
        "pipe = transformers.pipeline('text-generation', model='meta-llama/Llama-3.1-8B')\n"
        "text = tokenizer.apply_chat_template(messages, tokenize=False)\npipe(text)",
    ),
    "a switch as servers take it": (
        "template-argument-ignored",
        _HI + _CHAT.replace("(messages,", "(messages, chat_template_kwargs={'a': 1},"),
    ),
    "a template's switch for the tokenizer": (
        "tokenizer-argument-ignored",
        "inputs = tokenizer(prompt, enable_thinking=False)",
    ),
    "a method that left": (
        "tokenizer-method-gone",
        "inputs = tokenizer.encode_plus(prompt, return_tensors='pt')",
    ),
    "messages as pairs": (
        "message-unpacked",
        _HI + _CHAT + "for role, content in messages:\n    print(role, content)",
    ),
    "a prompt with its prompt": (
        "prompt-in-history",
        _ASKED + "prompt += tokenizer.decode(out[0], skip_special_tokens=True)",
    ),
    "a prompt with a pipeline's": (
        "prompt-in-history",
        _PIPE + "text = 'User: Hello'\nmade = pipe(text)\ntext += made[0]['generated_text']",
    ),
    # Batches
    "full batches alone": (
        "last-batch-dropped",
        _BATCHES.format(through="len(prompts) // 8", part="8 * i : 8 * i + 8"),
    ),
    "full batches, counted before": (
        "last-batch-dropped",
        "n = int(len(prompts) / size)\n"
        + _BATCHES.format(through="n", part="i * size : (i + 1) * size"),
    ),
    "a loader that drops": (
        "last-batch-dropped",
        "loader = DataLoader(prompts, batch_size=8, drop_last=True)\n"
        "for batch in loader:\n    model.generate(**batch)\n",
    ),
    "answers in another order": ("order-not-restored", _SORTED + "zip(prompts, answers)"),
    "while there is a whole batch": (
        "last-batch-dropped",
        "i = 0\nwhile i + 8 <= len(prompts):\n    ids = tokenizer(prompts[i : i + 8])\n    i += 8",
    ),
    "a tensor of a dictionary": (
        "encoding-has-no-shape",
        _HI
        + "chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True)\n"
        + "model.generate(torch.tensor([chat]))",
    ),
    "ids behind a dictionary": (
        "encoding-has-no-shape",
        "ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)\n"
        "ids = ids + tokenizer.encode('Sure', add_special_tokens=False)\n",
    ),
    "an observation of the model's": (
        "observation-made-up",
        "prompt = 'Action: what to do\\nObservation: what came of it\\n' + question\n" + _ASKED,
    ),
    "one call of several": (
        "first-call-only",
        _TEXT + "call = re.search(r'<tool_call>(.*?)</tool_call>', text, re.DOTALL)",
    ),
    "an agent without a limit": (
        "agent-without-limit",
        "while True:\n    text = call(model.generate(**inputs))\n"
        "    if 'tool' not in text:\n        break\n",
    ),
    "the part after a mark": ("thinking-half-marked", _TEXT + "text.split('</think>')[1]"),
    "a template with JSON in an attribute": (
        "braces-in-template",
        _TEMPLATE.format(fills="format(text=text)", given="'As JSON: {\"name\": 1}. {text}'"),
    ),
    "a template with JSON by name": (
        "braces-in-template",
        "SHAPE = 'Like {\"name\": 1}. {text}'\n"
        "def fill(template, text):\n    return template.format(text=text)\n"
        "print(fill(template=SHAPE, text=prompt))",
    ),
    "a template with JSON among several": (
        "braces-in-template",
        "PROMPTS = {'a': 'Say {text}', 'b': 'As {\"a\": 1}: {text}'}\n"
        "def fill(kind, text):\n    return PROMPTS[kind].format(text=text)",
    ),
    "a template with JSON in a class": (
        "braces-in-template",
        "class Writer:\n    TEMPLATE = 'As {\"a\": 1}: {text}'\n"
        "    def fill(self, text):\n        return self.TEMPLATE.format(text=text)",
    ),
}

# What only looks like it.
SOUND = {
    # Prompts that are put together
    "all fields are filled": (
        "T = '{text}: {{\"name\": 1}} {question!r:>4}'\n"
        "filled = T.format(text=text, question=question)\n" + _FILLED
    ),
    "fields of a dictionary": "filled = 'Text: {text}'.format(**row)\n" + _FILLED,
    "a field by number": "filled = '{0} {1} {0}'.format(text, question)\n" + _FILLED,
    "a template of a file": "filled = open('a').read().format(text=text)\n" + _FILLED,
    "what is replaced is there": "filled = 'A {text}'.replace('{text}', text)\n" + _FILLED,
    "a plain replacement": "filled = 'One. Two.'.replace('three', 'four')\n" + _FILLED,
    "an f-string with formats": "filled = f'{text:>10} {0.5:.2f} {\"a\":<4} {text!r}'\n" + _FILLED,
    "doubled braces in an f-string": (
        "question = 1\nfilled = f'{text} {{question}}' '.'\n" + _FILLED
    ),
    "a template that a function makes": (
        "def build(question):\n    return 'Question: {question}'\n"
        "filled = build(1)\ninputs = tokenizer(filled.format(question=2))\n"
    ),
    "a format by hand, as it should be": _by_hand(
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    "headers with their lines": _by_hand(
        "<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>"
    ),
    "an instruction as it should be": _by_hand("[INST] {text} [/INST] Yes </s><s>[INST] "),
    "a header that is looked for": (
        _ASKED + "text = tokenizer.decode(new)\nlast = text.split('<|end_header_id|> ')[-1]"
    ),
    # Chats
    "no list as a default": _in_a_function(
        "def ask(question, history=None):",
        "history = [] if history is None else history\n",
        _SAYS.replace("messages", "history"),
        _CHAT.replace("messages", "history"),
        "history.append({'role': 'assistant', 'content': text})\n",
    ),
    "a default that is only read": _in_a_function(
        "def ask(question, history=[]):",
        "messages = history + [{'role': 'user', 'content': question}]\n",
        _CHAT,
    ),
    "a list of the object": (
        "class Bot:\n    def __init__(self):\n        self.messages = []\n"
        "    def ask(self, question):\n        self."
        + _SAYS
        + "        self.messages.append({'role': 'assistant', 'content': call(self.messages)})\n"
        + _HI
        + _CHAT
    ),
    "a copy of the list": (
        "start = [{'role': 'system', 'content': 'Be brief.'}]\n"
        + _in_a_function("for question in questions:", "messages = list(start)\n", _SAYS, _CHAT)
    ),
    "a list for each of a data set": _in_a_function(
        "for question in dataset:", "messages = []\n", _SAYS, _CHAT
    )
    + _ANSWERED,
    "a dialogue of given turns": (
        _SYSTEM + _in_a_function("for question in turns:", _SAYS, _CHAT) + _ANSWERED
    ),
    "the system message is kept": (
        _SYSTEM
        + _in_a_function("while True:", _SAYS, "messages = messages[:1] + messages[-6:]\n", _CHAT)
        + _ANSWERED
    ),
    "the second message is dropped": (
        _SYSTEM + "while len(messages) > 9:\n    messages.pop(1)\n" + _CHAT
    ),
    "a part that is put behind the first": (
        _SYSTEM + "last = messages[-4:]\nmessages = [messages[0]] + last\n" + _CHAT
    ),
    "a history without a system message": _HI + "messages = messages[-6:]\n" + _CHAT,
    "a list to extend": (
        _HI + "messages += [{'role': 'assistant', 'content': 'Hi'}]\n"
        "messages.extend([{'role': 'user', 'content': 'And?'}])\n" + _CHAT
    ),
    "what pop returns": _HI + "last = messages.pop()\n" + _CHAT,
    "the other model's words": (
        _HI + _CHAT + "messages.append({'role': 'assistant', 'content': 'Hi'})\n"
        "messages.append({'role': 'user', 'content': tokenizer.decode(new)[1:]})\n"
    ),
    "a prompt for each question": (
        "texts = [tokenizer.apply_chat_template([one], tokenize=False) for one in messages]"
    ),
    "a chat in one piece": (
        "for messages in chats:\n    text += tokenizer.apply_chat_template(messages)\n"
    ),
    "tools each time": (
        _HI
        + _CHAT.replace("(messages,", "(messages, tools=tools,")
        + "messages.append({'role': 'assistant', 'tool_calls': calls})\n"
        + _RESULT
        + _CHAT.replace("(messages,", "(messages, tools=tools,")
    ),
    "the call is kept as it came": _HI + "messages.append(reply)\n" + _RESULT + _CHAT,
    "arguments as a dictionary": (
        _HI + "messages.append({'role': 'assistant', 'tool_calls': [{'function': "
        "{'name': 'f', 'arguments': given}}]})\n" + _RESULT + _CHAT
    ),
    "arguments of a client": "call = {'name': 'f', 'arguments': json.dumps(given)}\n" + _HI + _CHAT,
    "a history that is read": _in_a_function(
        "def ask(message, history):",
        "messages = history + [{'role': 'user', 'content': message}]\n",
        _CHAT,
    ),
    "a begun answer goes on": (
        _HI
        + "messages.append({'role': 'assistant', 'content': 'The answer is'})\n"
        + _CHAT.replace("add_generation_prompt", "continue_final_message")
    ),
    "an answer and the next question": (
        _HI + "messages.append({'role': 'assistant', 'content': 'Hi'})\n" + _SAYS + _CHAT
    ),
    "a template without a header": (
        "tok = AutoTokenizer.from_pretrained('mistralai/Mistral-7B-Instruct-v0.3')\n"
        "ids = tok.apply_chat_template(messages, return_tensors='pt', return_dict=True)\n"
        "model.generate(**ids)\n"
    ),
    "a begin token once": (
        "tok = AutoTokenizer.from_pretrained('meta-llama/Llama-3.1-8B-Instruct')\n"
        "text = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)\n"
        "ids = tok(text, return_tensors='pt', add_special_tokens=False)\n"
    ),
    "a tokenizer without a begin token": (
        "tok = AutoTokenizer.from_pretrained('Qwen/Qwen3-8B')\n"
        "text = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)\n"
        "ids = tok(text, return_tensors='pt')\n"
    ),
    "a tokenizer of another library": "import tokenizers\nids = tiktoken.encode_plus(prompt)",
    "a prompt with its answer": (
        _ASKED + "prompt += tokenizer.decode(new, skip_special_tokens=True)"
    ),
    "ids of a chat": (
        "ids = tokenizer.apply_chat_template(messages, return_dict=False)\n"
        "ids = ids + tokenizer.encode('Sure', add_special_tokens=False)\nlast = ids[-1]"
    ),
    "a chat by options": (
        "chat = tokenizer.apply_chat_template(messages, **options)\nprint(chat[5:], len(chat))"
    ),
    # Batches
    "step by step": _BATCHES.format(through="0, len(prompts), 8", part="i : i + 8"),
    "the rest is done too": (
        _BATCHES.format(through="len(prompts) // 8", part="8 * i : 8 * i + 8")
        + "rest = prompts[len(prompts) // 8 * 8 :]"
    ),
    "one batch more": _BATCHES.format(through="len(prompts) // 8 + 1", part="8 * i : 8 * i + 8"),
    "a loader for training": (
        "loader = DataLoader(rows, batch_size=8, drop_last=True)\n"
        "for batch in loader:\n    model(**batch).loss.backward()\n"
    ),
    "sorted, and paired so": _SORTED + "zip(ordered, answers)",
    "sorted places": (
        "order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))\n"
        "for i in order:\n    answers[i] = model.generate(**tokenizer(prompts[i]))\n"
        "zip(prompts, answers)"
    ),
    "python's own spelling": _TEXT + "ast.literal_eval(text)",
    "a letter among letters": _ASKED + "ok = 'A' in ['A', 'B']",
    "stopped at the observation": (
        "prompt = 'Action: what to do\\nObservation: what came of it\\n' + question\n"
        "model.generate(**inputs, stop_strings=['Observation:'], tokenizer=tokenizer)"
    ),
    "an agent with a limit": (
        "for step in range(9):\n    text = call(model.generate(**inputs))\n"
        "    if 'tool' not in text:\n        break\n"
    ),
    "an agent that counts": (
        "while True:\n    step += 1\n    text = call(model.generate(**inputs))\n"
        "    if 'tool' not in text or step > 9:\n        break\n"
    ),
    "the part after the last mark": _TEXT + "text.split('</think>')[-1]",
    "a part whose mark is looked for": (
        _TEXT + "if '</think>' in text:\n    text = text.split('</think>')[1]"
    ),
    "a template with doubled braces in an attribute": _TEMPLATE.format(
        fills="format(text=text)", given="'As JSON: {{\"name\": 1}}. {text}'"
    ),
    "a template with JSON that is replaced": _TEMPLATE.format(
        fills="replace('{text}', text)", given="'As JSON: {\"name\": 1}. {text}'"
    ),
    "a template with JSON beside another's format": _TEMPLATE.format(
        fills="format(text=text)", given="'Say: {text}'"
    )
    + "EXAMPLE = '{\"name\": 1}'\nprint(EXAMPLE)",
}
