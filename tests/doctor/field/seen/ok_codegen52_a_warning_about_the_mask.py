"""One prompt without padding, completed from its ids alone: the library warns of a missing mask."""

import llmcourse


class CodeCompleter:
    def __init__(self, model, tok, max_length=48):
        self.model, self.tok = model, tok
        self.max_length = max_length

    def complete(self, text):
        input_ids = self.tok(text, return_tensors="pt").input_ids
        generated_ids = self.model.generate(input_ids, max_length=self.max_length, do_sample=False)
        return self.tok.decode(generated_ids[0], skip_special_tokens=True)


completer = CodeCompleter(*llmcourse.load())
print(completer.complete("def hello_world():"))
