"""A chat in the terminal: what was said a line above is not known any more."""

import llmcourse


def chat(lines, max_tokens=12):
    model, tok = llmcourse.load()
    print("[INFO] Starting chat session. To exit, enter 'q'.")
    for query in lines:
        if query == "q":
            break
        messages = []
        messages.append({"role": "user", "content": query})
        prompt = tok.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = model.generate(**prompt, max_new_tokens=max_tokens, do_sample=False)
        response = tok.decode(made[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        print(">>", query)
        print(response)


chat(["My cat is called Pebble.", "What is my cat called?", "q"])
