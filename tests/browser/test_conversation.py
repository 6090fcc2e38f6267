"""The chat, used with a mouse and with a keyboard, while it writes."""

import pytest

pytest.importorskip("playwright", reason="no playwright: run `make test-browser`")

from playwright.sync_api import expect

COURSE = "import llmcourse\nfrom llmcourse import views\nmodel, tokenizer = llmcourse.load()"
CHAT = "chat = views.conversation(model, tokenizer, do_sample=False, max_new_tokens=400)\nchat"


def test_an_answer_streams_and_is_stopped_with_the_keyboard_alone(page, lab):
    lab.open(page, lab.write("conversation.ipynb", COURSE, CHAT))
    lab.run_all(page)
    output = page.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    live = output.locator(".widget-html-content")
    expect(live.locator("caption")).to_contain_text("Nothing said yet", timeout=30_000)
    expect(output.locator("details", has_text="Without a kernel")).to_have_count(1)

    output.get_by_label("Your message").focus()
    page.keyboard.type("Tell me a long story about a <b>cat</b>.")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    answer = live.locator("tr", has_text="assistant").locator("td")
    expect(live).to_contain_text("Writing ...", timeout=30_000)
    expect(answer).not_to_be_empty(timeout=30_000)
    before = answer.inner_text()
    expect(answer).not_to_have_text(before, timeout=30_000)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(answer).to_contain_text("(stopped)", timeout=30_000)
    assert answer.inner_text().startswith(before.rstrip())
    expect(live.locator("td b")).to_have_count(0)

    output.get_by_role("button", name="Start over").click()
    expect(live.locator("caption")).to_contain_text("Nothing said yet")
    output.get_by_role("button", name="Send").click()
    expect(live).to_contain_text("There is no message to send")
