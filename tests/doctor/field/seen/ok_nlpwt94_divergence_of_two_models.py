"""How far is a model of fewer layers from the whole? Logarithms here, chances there."""

import torch
import torch.nn.functional as F

import llmcourse

TEMPERATURE = 2.0
teacher, tok = llmcourse.load()
student, _ = llmcourse.load()
student.model.layers = student.model.layers[:-1]
student.config.num_hidden_layers -= 1
inputs = tok("The capital of France is Paris, and that of Italy is Rome.", return_tensors="pt")
with torch.no_grad():
    of_teacher = teacher(**inputs).logits[0] / TEMPERATURE
    of_student = student(**inputs, use_cache=False).logits[0] / TEMPERATURE
divergence = torch.nn.KLDivLoss(reduction="batchmean")
found = divergence(F.log_softmax(of_student, dim=-1), F.softmax(of_teacher, dim=-1))
by_hand = torch.distributions.kl_divergence(
    torch.distributions.Categorical(logits=of_teacher),
    torch.distributions.Categorical(logits=of_student),
).mean()
print(TEMPERATURE**2 * found.item(), TEMPERATURE**2 * by_hand.item())
