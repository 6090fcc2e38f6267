"""The stepper's controls, used with a mouse, with a keyboard alone, and by a screen reader."""

import pytest

pytest.importorskip("playwright", reason="no playwright: run `make test-browser`")

from playwright.sync_api import expect

from llmcourse.show import quoted
from tests.support.lab import serious, settle

STEPPER = (
    "import torch, llmcourse\nfrom llmcourse import views\nmodel, tokenizer = llmcourse.load()",
    "views.stepper(model, tokenizer, 'A list of colors: red, blue', max_new_tokens=8)",
)


@pytest.fixture
def stepper(page, lab):
    """The output of a cell that shows a stepper on the course's model."""
    lab.open(page, lab.write("stepper.ipynb", *STEPPER))
    lab.run_all(page)
    output = page.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    expect(output.get_by_role("button", name="Next token")).to_be_visible(timeout=30_000)
    return output


def live(stepper):
    """The part that the controls change."""
    return stepper.locator(".widget-html-content")


def press(stepper, name: str) -> None:
    stepper.get_by_role("button", name=name, exact=True).click()


def test_next_back_and_run_to_the_end(stepper):
    press(stepper, "Next token")
    expect(live(stepper)).to_contain_text("1 new token (1 likeliest)")
    press(stepper, "Next token")
    expect(live(stepper)).to_contain_text("Added ·and (the likeliest;")
    press(stepper, "Back")
    expect(live(stepper)).to_contain_text("Took back ·and")
    press(stepper, "Run to the end")
    expect(live(stepper)).to_contain_text("8 new tokens (8 likeliest)")
    expect(live(stepper)).to_contain_text("Ended: The text reached max_length=16 tokens")
    press(stepper, "Next token")
    expect(live(stepper)).to_contain_text("That did not work. ValueError: The text has ended")
    press(stepper, "Start over")
    expect(live(stepper)).to_contain_text("no new tokens yet")


def test_another_token_opens_a_branch_and_the_first_one_is_kept(stepper):
    press(stepper, "Next token")
    press(stepper, "Next token")
    expect(live(stepper)).to_contain_text("2 new tokens")
    press(stepper, "Back")
    expect(live(stepper)).to_contain_text("Took back ·and")
    stepper.get_by_label("Candidates").select_option(index=1)
    press(stepper, "Take this one")
    expect(live(stepper)).to_contain_text("(forced;")
    expect(live(stepper).locator("caption", has_text="2 branches tried")).to_be_visible()
    settle(stepper.page)
    stepper.get_by_label("Or type").fill(" purple cow")
    stepper.get_by_label("Or type").press("Tab")
    settle(stepper.page)
    press(stepper, "Force what is typed")
    expect(live(stepper)).to_contain_text("·purple (forced;")
    expect(live(stepper)).to_contain_text("·cow (forced;")
    settle(stepper.page)
    stepper.get_by_label("Branch", exact=True).fill("0")
    stepper.get_by_label("Branch", exact=True).press("Tab")
    settle(stepper.page)
    press(stepper, "Go to this branch")
    expect(live(stepper)).to_contain_text("At the end of branch 0.")
    expect(live(stepper)).to_contain_text("2 new tokens (2 likeliest)")


def test_a_setting_changes_the_distribution_before_anything_is_drawn(stepper):
    before = live(stepper).locator("caption").inner_text()
    stepper.get_by_label("Draw at random").check()
    expect(live(stepper)).to_contain_text("drawn with top-k 50, seed 0")
    stepper.get_by_label("Temperature").fill("3")
    stepper.get_by_label("Temperature").press("Tab")
    expect(live(stepper)).to_contain_text("drawn with temperature 3, top-k 50, seed 0")
    stepper.get_by_label("Top-k (0: off)").fill("2")
    stepper.get_by_label("Top-k (0: off)").press("Tab")
    expect(live(stepper).locator("td", has_text="dropped")).not_to_have_count(0)
    assert live(stepper).locator("caption").inner_text() != before
    expect(live(stepper)).to_contain_text("no new tokens yet")


def focused(page) -> str:
    """The accessible name of what has the focus."""
    return page.evaluate(
        "document.activeElement.labels?.[0]?.innerText || document.activeElement.innerText"
    ).strip()


def test_the_keyboard_alone_is_enough(stepper, page):
    stepper.get_by_role("button", name="Next token").focus()
    page.keyboard.press("Space")
    expect(live(stepper)).to_contain_text("1 new token")
    seen = [focused(page)]
    for _ in range(16):
        page.keyboard.press("Tab")
        seen.append(focused(page))
    assert seen == [
        "Next token", "Back", "Run to the end", "Start over", "Candidates", "or its number",
        "Take this one", "Or type", "Force what is typed", "Draw at random", "Temperature",
        "Top-k (0: off)", "Top-p (1: off)", "Min-p (0: off)", "Seed", "Branch", "Go to this branch",
    ]  # fmt: skip

    def go(name: str, key: str = "Shift+Tab") -> None:
        for _ in range(17):
            if focused(page) == name:
                return
            page.keyboard.press(key)
        raise AssertionError(f"{name} cannot be reached")

    go("Or type")
    page.keyboard.type(" cow")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(live(stepper)).to_contain_text("·cow (forced;")
    go("or its number")
    second = stepper.get_by_label("Candidates").locator("option").nth(1).text_content()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(live(stepper)).to_contain_text(f"Added {quoted(second.split()[0])} (forced;")
    go("Draw at random", "Tab")
    page.keyboard.press("Space")
    expect(live(stepper)).to_contain_text("drawn with top-k 50, seed 0")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    expect(live(stepper)).to_contain_text("drawn with temperature 1.1, top-k 50, seed 0")


def test_axe_finds_nothing_serious(stepper, page):
    press(stepper, "Next token")
    expect(live(stepper)).to_contain_text("1 new token")
    assert serious(page, stepper.element_handle()) == []


def test_a_saved_stepper_says_something_when_a_stranger_opens_it(stepper, page, lab, browser):
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    again = browser.new_context().new_page()
    again.goto(f"{lab.url}/lab/tree/stepper.ipynb?reset")
    output = again.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    still = output.locator("details", has_text="Without a kernel")
    expect(still).to_contain_text("A·list·of·colors:·red,·blue", timeout=60_000)
    expect(still.locator("caption")).to_contain_text("Next token; the likeliest token is taken")
    again.context.close()
