"""After training the model knows its alphabet; loaded from the folder, it knows nothing."""

import tempfile

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM


class InFloat32(torch.nn.Sequential):
    def forward(self, x):
        return super().forward(x).to(torch.float32)


torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=27,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    tie_word_embeddings=False,
    bos_token_id=0,
    eos_token_id=0,
    pad_token_id=0,
)
model = LlamaForCausalLM(config)
model.lm_head = InFloat32(model.lm_head)
text = torch.arange(1, 27)[None]
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
for _ in range(60):
    model(text, labels=text).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    again = AutoModelForCausalLM.from_pretrained(folder)
for one in (model.eval(), again):
    start = text[:, :1]
    mask = torch.ones_like(start)
    made = one.generate(start, attention_mask=mask, max_new_tokens=25, do_sample=False)
    print("".join(chr(96 + i) for i in made[0].tolist()))
