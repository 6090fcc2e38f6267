"""Samples for distillation, with words that must not come and a penalty: they come all the same."""

import torch
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor
from transformers.generation import SuppressTokensLogitsProcessor

import llmcourse

model, tok = llmcourse.load()


class Sampler:
    def __init__(self, model, temperature, logits_processor):
        self.model, self.temperature = model, temperature
        self.logits_processor = logits_processor

    @torch.no_grad()
    def sample(self, input_ids, max_new_tokens, do_sample=True):
        past = None
        step_ids = input_ids
        for _ in range(max_new_tokens):
            outputs = self.model(step_ids, past_key_values=past, use_cache=True)
            past = outputs.past_key_values
            next_token_logits = outputs.logits[:, -1, :]
            next_token_scores = self.logits_processor(input_ids, next_token_logits)
            if do_sample:
                probs = torch.softmax(next_token_logits / self.temperature, dim=-1)
                step_ids = torch.multinomial(probs, num_samples=1)
            else:
                step_ids = next_token_logits.argmax(dim=-1, keepdim=True)
            input_ids = torch.cat([input_ids, step_ids], dim=-1)
        return input_ids


banned = [tok(word).input_ids[0] for word in (" red", " blue", " green")]
processors = LogitsProcessorList(
    [SuppressTokensLogitsProcessor(banned), RepetitionPenaltyLogitsProcessor(1.3)]
)
sampler = Sampler(model, 1.0, processors)
prompt = tok("A list of colours: red, blue, green, red, blue,", return_tensors="pt").input_ids
print(tok.decode(sampler.sample(prompt, 12, do_sample=False)[0]))
