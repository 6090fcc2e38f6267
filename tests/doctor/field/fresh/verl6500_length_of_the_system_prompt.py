"""Finding the system prompt that a chat template writes on its own, to cut it off later turns."""

import llmcourse

model, tokenizer = llmcourse.load()
tokenizer.chat_template = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)


def initialize_system_prompt(tokenizer):
    user = {"role": "user", "content": ""}
    one = tokenizer.apply_chat_template([user], return_dict=False)
    two = tokenizer.apply_chat_template([user, user], return_dict=False)
    return one[: -(len(two) - len(one))]


class AgentLoop:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.system_prompt = initialize_system_prompt(tokenizer)

    def turn(self, message):
        ids = self.tokenizer.apply_chat_template([message], return_dict=False)
        return ids[len(self.system_prompt) :]


loop = AgentLoop(tokenizer)
print(tokenizer.decode(loop.turn({"role": "user", "content": "And the second one?"})))
