"""A small inference server: four completions can be had by sampling, and none from a search."""

from dataclasses import dataclass

import llmcourse


@dataclass
class GenerateRequest:
    text: list
    max_new_tokens: int = 8
    min_length: int = 0
    do_sample: bool = False
    early_stopping: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    num_beams: int = 1
    num_return_sequences: int = 1


class Model:
    def __init__(self):
        self.model, self.tokenizer = llmcourse.load()

    def generate(self, request):
        inputs = self.tokenizer(request.text, return_tensors="pt", padding=True)
        sampling = {
            "temperature": request.temperature,
            "top_k": request.top_k,
            "top_p": request.top_p,
        }
        rows = self.model.generate(
            **inputs,
            min_length=request.min_length,
            do_sample=request.do_sample,
            **(sampling if request.do_sample else {}),
            num_return_sequences=request.num_return_sequences,
            max_new_tokens=request.max_new_tokens,
        )
        return self.tokenizer.batch_decode(rows, skip_special_tokens=True)


server = Model()
wish = {"text": ["PhD students are"], "num_beams": 4, "num_return_sequences": 4}
print(server.generate(GenerateRequest(do_sample=True, **wish)))
print(server.generate(GenerateRequest(**wish)))
