"""The chat, used with a mouse and with a keyboard, while it writes."""

import pytest

pytest.importorskip("playwright", reason="no playwright: run `make test-browser`")

from playwright.sync_api import expect

from tests.support.lab import settle

COURSE = "import llmcourse\nfrom llmcourse import views\nmodel, tokenizer = llmcourse.load()"
CHAT = "chat = views.conversation(model, tokenizer, do_sample=False, max_new_tokens=400)\nchat"


def opened(page, lab, name: str, *cells: str):
    """Run a notebook whose second cell is a chat; returns its output, and what changes in it."""
    lab.open(page, lab.write(name, *cells))
    lab.run_all(page)
    output = page.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    live = output.locator(".widget-html-content")
    expect(live.locator("caption")).to_contain_text("Nothing said yet", timeout=30_000)
    return output, live


def test_an_answer_streams_and_is_stopped_with_the_keyboard_alone(page, lab):
    output, live = opened(page, lab, "conversation.ipynb", COURSE, CHAT)
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


TOYS = """from llmcourse import views
from tests.support.toy_chats import add, call_of, chatting, has_written
model, tokenizer = chatting()
model.generation_config.do_sample = True
call = call_of("add", '{"a": 17, "b": 25}')
has_written(model, tokenizer, "<think>Two numbers.</think>" + call, "It is 42.", "42.", "Bye!")"""
TALK = "chat = views.conversation(model, tokenizer, tools=[add])\nchat"


def test_enter_sends_and_thinking_calls_and_results_have_rows_of_their_own(page, lab):
    output, live = opened(page, lab, "tools.ipynb", TOYS, TALK)
    rows = live.locator("tbody tr")

    message = output.get_by_label("Your message")
    message.focus()
    page.keyboard.type("What is 17 plus 25?")
    page.keyboard.press("Tab")  # leaves the box, and sends nothing
    settle(page)
    expect(live.locator("caption")).to_contain_text("Nothing said yet")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("End")
    page.keyboard.type("?")
    page.keyboard.press("Enter")
    expect(rows.last).to_contain_text("It is 42.", timeout=30_000)
    expect(message).to_have_value("")
    assert rows.locator("th").all_inner_texts() == [
        "user",
        "assistant, thinking",
        "assistant, calls",
        "tool add",
        "assistant",
    ]
    expect(rows.first).to_contain_text("What is 17 plus 25??")
    thinking = rows.nth(1).locator("details")
    expect(thinking.get_by_text("Two numbers.")).not_to_be_visible()
    thinking.locator("summary").click()
    expect(thinking.get_by_text("Two numbers.")).to_be_visible()
    expect(rows.nth(2).locator("td")).to_have_text("add(a=17, b=25)")
    expect(rows.nth(3).locator("td")).to_have_text("42")
    expect(live.locator("caption")).to_contain_text("from the cache")

    output.get_by_role("button", name="Regenerate").click()
    expect(rows).to_have_count(2, timeout=30_000)
    expect(rows.last.locator("td")).to_have_text("42.")
    message.focus()
    page.keyboard.type("Bye")
    page.keyboard.press("Tab")
    settle(page)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")  # the kernel knows the text already
    expect(rows.last.locator("td")).to_have_text("Bye!", timeout=30_000)
    expect(rows).to_have_count(4)
