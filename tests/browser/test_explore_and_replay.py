"""The explorer and the replay, used with a mouse and with a keyboard."""

import pytest

pytest.importorskip("playwright", reason="no playwright: run `make test-browser`")

from playwright.sync_api import expect

COURSE = "import torch, llmcourse\nfrom llmcourse import views\nmodel, tokenizer = llmcourse.load()"
PROMPT = "'A list of colors: red, blue'"
RUN = f"llmcourse.steps(model, **tokenizer({PROMPT}, return_tensors='pt'), max_new_tokens=6)"


def shown(page, lab, name: str, code: str):
    """The output of a cell that shows a live view, and the part that its controls change."""
    lab.open(page, lab.write(name, COURSE, code))
    lab.run_all(page)
    output = page.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    live = output.locator(".widget-html-content")
    expect(live.locator("caption").first).to_be_visible(timeout=30_000)
    expect(output.locator("details", has_text="Without a kernel")).to_have_count(1)
    return output, live


def test_settings_and_their_order_change_the_next_token(page, lab):
    output, live = shown(page, lab, "explore.ipynb", f"views.explore(model, tokenizer, {PROMPT})")
    expect(live).to_contain_text("No rule is on.")
    output.get_by_label("Top-k (0: off)").fill("3")
    output.get_by_label("Top-k (0: off)").press("Tab")
    expect(live).to_contain_text("The model's own distribution, then top-k 3.")
    expect(live.locator("td", has_text="dropped")).not_to_have_count(0)
    output.get_by_label("Temperature (1: off)").fill("0")
    output.get_by_label("Temperature (1: off)").press("Tab")
    expect(live).to_contain_text("That did not work. ValueError: temperature=0.0 does not work")
    output.get_by_label("Temperature (1: off)").press("ArrowUp")
    output.get_by_label("Temperature (1: off)").press("Tab")
    expect(live).to_contain_text("then temperature 0.1, then top-k 3.")
    output.get_by_label("Top-p (1: off)").fill("0.9")
    output.get_by_label("Top-p (1: off)").press("Tab")
    expect(live).to_contain_text("then temperature 0.1, then top-k 3, then top-p 0.9.")
    output.get_by_label("Order").select_option("top-p first")
    expect(live).to_contain_text("then top-p 0.9, then temperature 0.1, then top-k 3.")
    expect(live.locator("th[scope=col]")).to_have_count(5)


def test_a_replay_goes_forwards_and_back_and_to_a_step(page, lab):
    output, live = shown(page, lab, "replay.ipynb", f"views.replay(tokenizer, {RUN})")
    expect(live).to_contain_text("Step 0 of 0 to 5.")
    output.get_by_role("button", name="Next", exact=True).focus()
    page.keyboard.press("Space")
    expect(live).to_contain_text("Step 1 of 0 to 5.")
    expect(live.locator("th", has_text="← chosen")).to_have_text("·and ← chosen")
    output.get_by_label("Step", exact=True).fill("5")
    output.get_by_label("Step", exact=True).press("Tab")
    expect(live).to_contain_text("the last one (length)")
    output.get_by_role("button", name="Next", exact=True).click()
    expect(live).to_contain_text("There is no next step.")
    output.get_by_role("button", name="Previous", exact=True).click()
    expect(live).to_contain_text("Step 4 of 0 to 5.")


def test_a_beam_search_can_be_replayed_step_by_step(page, lab):
    beams = RUN.replace("max_new_tokens", "num_beams=3, max_new_tokens")
    output, live = shown(page, lab, "beams.ipynb", f"views.replay(tokenizer, {beams})")
    expect(live.locator("caption")).to_contain_text("Beam search with 3 beams")
    expect(live).to_contain_text("Step 0 of 0 to 5.")
    press_next = output.get_by_role("button", name="Next", exact=True)
    press_next.focus()
    page.keyboard.press("Space")
    expect(live).to_contain_text("Step 1 of 0 to 5.")
    expect(live.locator("th", has_text="step 1")).to_be_visible()


def test_drafts_can_be_replayed_round_by_round(page, lab):
    again = RUN.replace(PROMPT, "'1, 2, 3, 4, 1, 2, 3, 4, 1, 2,'")
    again = again.replace("max_new_tokens=6", "prompt_lookup_num_tokens=4, max_new_tokens=12")
    output, live = shown(page, lab, "drafts.ipynb", f"views.replay(tokenizer, {again})")
    expect(live.locator("caption").first).to_contain_text("Drafts:")
    expect(live.locator("th[scope=row]", has_text="0")).not_to_have_count(0)
    first = live.locator("caption").first.inner_text()
    output.get_by_role("button", name="Next", exact=True).click()
    expect(live.locator("caption").first).not_to_have_text(first)
