"""Draw the README's pictures: ten steps of the loop, and the stepper in JupyterLab.

python -m tools.picture            both; the second needs what `make test-browser` installs
"""

import tempfile
from pathlib import Path

import llmcourse
from llmcourse import views
from tests.support.lab import FLAGS, Lab, chromium

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "notebooks" / "images"
PROMPT = "A list of colors: red, blue"


def loop() -> None:
    """Draw the loop at work."""
    model, tokenizer = llmcourse.load()
    inputs = tokenizer(PROMPT, return_tensors="pt")
    steps = llmcourse.steps(model, **inputs, do_sample=False, max_new_tokens=10)
    chart = views.trace(tokenizer, steps, title=f"{PROMPT} …")
    (IMAGES / "loop.png").write_bytes(chart.png)
    print(chart)


def stepper() -> None:
    """Take a picture of the stepper after somebody used it."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder))
        cells = (
            "import llmcourse\nfrom llmcourse import views\nmodel, tokenizer = llmcourse.load()",
            f"views.stepper(model, tokenizer, {PROMPT!r}, max_new_tokens=10)",
        )
        name = lab.write("stepper.ipynb", *cells)
        server = lab.start()
        try:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            page = browser.new_page(viewport={"width": 1000, "height": 1400})
            lab.open(page, name)
            lab.run_all(page)
            output = page.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")
            use(page, output)
            page.wait_for_timeout(1000)
            box = output.locator(".widget-vbox").first
            box.screenshot(path=IMAGES / "stepper.png")
            print(box.locator(".widget-html-content").inner_text())
            browser.close()
        finally:
            server.kill()


def use(page, output) -> None:
    """Go three tokens on, two back, and force another one."""

    def press(name: str) -> None:
        output.get_by_role("button", name=name, exact=True).click()
        page.wait_for_timeout(700)

    for name in ["Next token"] * 4 + ["Back"] * 3:
        press(name)
    output.get_by_label("Draw at random").check()
    page.wait_for_timeout(700)
    output.get_by_label("Temperature").fill("0.7")
    output.get_by_label("Temperature").press("Tab")
    page.wait_for_timeout(700)
    output.get_by_label("Or type").fill(" pink")
    press("Force what is typed")
    press("Next token")


if __name__ == "__main__":
    loop()
    stepper()
