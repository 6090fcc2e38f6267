"""A small benchmark of chat questions, with the tokenizer's own start token."""

from tokenizers.processors import TemplateProcessing

import llmcourse

model, tok = llmcourse.load()
# a tokenizer that puts its start token before each text, and a template that writes it
tok.bos_token = "<|endoftext|>"
tok.backend_tokenizer.post_processor = TemplateProcessing(
    single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
)
tok.chat_template = "{{ bos_token }}" + tok.chat_template
DOCS = [{"q": "What is 2 + 2?", "gold": "4"}, {"q": "What is 10 - 3?", "gold": "7"}]


class Evaluator:
    def __init__(self, use_chat_template=True):
        self.use_chat_template = use_chat_template

    def context(self, doc):
        if not self.use_chat_template:
            return f"Question: {doc['q']}\nAnswer:"
        messages = [{"role": "user", "content": doc["q"]}]
        return tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def greedy_until(self, contexts):
        inputs = tok(contexts, padding=True, return_tensors="pt")
        print("first tokens:", tok.convert_ids_to_tokens(inputs["input_ids"][0, :3]))
        made = model.generate(**inputs, max_new_tokens=16, do_sample=False)
        return tok.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


for doc, answer in zip(DOCS, Evaluator().greedy_until([Evaluator().context(d) for d in DOCS])):
    print(doc["gold"], "|", answer, "|", doc["gold"] in answer)
