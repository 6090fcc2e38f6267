"""Loads, trainings, streams and pipelines for test_static.py: faulty lines and sound ones."""

_ASKS = "out = model.generate(**inputs, max_new_tokens=5)\n"
_PIPE = "pipe = transformers.pipeline('text-generation', model='some/model')\n"
_LOAD = "AutoModelForCausalLM.from_pretrained({})\n"
_STREAM = "streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True)\n"
_THREAD = "Thread(target=model.generate, kwargs={**inputs, 'streamer': streamer})"
_PAD = "tokenizer.pad_token = tokenizer.eos_token\n"
_ADAPTER = "model = get_peft_model(model, config)\n"
_METRICS = "def compute_metrics(made):\n    {}\n    return tokenizer.batch_decode(ids)"

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
        _METRICS.format("ids = made.predictions.argmax(-1)"),
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
}

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
    "generated for its metrics": _METRICS.format(
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
    "a thread that is started": _STREAM + f"worker = {_THREAD}\nworker.start()\n"
    "for piece in streamer:\n    print(piece)\nworker.join()",
    "a thread that is started at once": _STREAM + f"{_THREAD}.start()\nprint(''.join(streamer))",
    "a streamer that prints": "streamer = transformers.TextStreamer(tokenizer, skip_prompt=True)\n"
    "model.generate(**inputs, streamer=streamer)",
    "a stream that another reads": _STREAM + "Thread(target=show, args=(streamer,)).start()\n"
    "model.generate(**inputs, streamer=streamer)",
    "a chat's last message": _PIPE
    + "print(pipe(messages)[0]['generated_text'][-1]['content'].strip())",
    "a chat's answer alone": _PIPE
    + "print(pipe(messages, return_full_text=False)[0]['generated_text'].strip())",
    "a text that is stripped": _PIPE + "print(pipe(prompt)[0]['generated_text'].strip())",
    "an answer alone": _PIPE + "answer = pipe(prompt, return_full_text=False)[0]['generated_text']",
    "an answer to settings that are not seen": _PIPE
    + "answer = pipe(prompt, **settings)[0]['generated_text']",
}
