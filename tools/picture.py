"""Draw the README's picture: ten steps of the loop on the course's model.

python tools/picture.py
"""

from pathlib import Path

import llmcourse
from llmcourse import views

PICTURE = Path(__file__).parent.parent / "notebooks" / "images" / "loop.png"
PROMPT = "A list of colors: red, blue"


def main() -> None:
    model, tokenizer = llmcourse.load()
    inputs = tokenizer(PROMPT, return_tensors="pt")
    steps = llmcourse.steps(model, **inputs, do_sample=False, max_new_tokens=10)
    chart = views.trace(tokenizer, steps, title=f"{PROMPT} …")
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(chart.png)
    print(chart)


if __name__ == "__main__":
    main()
