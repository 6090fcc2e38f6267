"""Turns that a script keeps beside the messages of a chat template."""

import pytest

from llmcourse.doctor.followed.kept_turns import KeptTurns
from llmcourse.doctor.watch import Watch

QUESTIONS = ("My cat is called Pebble.", "Is he old, do you think?", "And how old is that?")


@pytest.fixture
def ask(course_model):
    """Answer messages with the course's model, and a few tokens."""
    model, tokenizer = course_model

    def answer(inputs) -> str:
        ids = model.generate(**inputs, max_new_tokens=5, do_sample=False)
        return tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    return answer


def render(tokenizer, messages):
    """Put messages through the template, as `generate` takes them."""
    options = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True}
    return tokenizer.apply_chat_template(messages, **options)


def of_the_history(watched) -> list:
    return [one for one in watched.findings if one.code == "history-not-passed"]


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def in_a_loop(tokenizer, ask, passed):
    history = []
    for question in QUESTIONS:
        messages = [*(history if passed else []), user(question)]
        text = ask(render(tokenizer, messages))
        history += [user(question), assistant(text)]


def in_a_while(tokenizer, ask, passed):
    log, questions = [], list(QUESTIONS)
    while questions:
        log.append(user(questions.pop(0)))
        log.append(assistant(ask(render(tokenizer, log if passed else log[-1:]))))


class Bot:
    """Keeps the conversation in an attribute."""

    def __init__(self, tokenizer, ask, passed):
        self.tokenizer, self.ask, self.passed, self.turns = tokenizer, ask, passed, []

    def reply(self, question):
        self.turns.append(user(question))
        messages = self.turns if self.passed else [user(question)]
        self.turns.append(assistant(self.ask(render(self.tokenizer, messages))))


def in_an_object(tokenizer, ask, passed):
    bot = Bot(tokenizer, ask, passed)
    for question in QUESTIONS:
        bot.reply(question)


def in_a_handler_of_pairs(tokenizer, ask, passed):
    def respond(message, history):
        earlier = [turn for q, a in history for turn in (user(q), assistant(a))]
        return ask(render(tokenizer, [*(earlier if passed else []), user(message)]))

    pairs = []
    for question in QUESTIONS:
        pairs.append((question, respond(question, pairs)))


def in_a_server(tokenizer, ask, passed):
    def complete(request):
        messages = request["messages"]
        return ask(render(tokenizer, messages if passed else [user(messages[-1]["content"])]))

    sent = []
    for question in QUESTIONS:
        sent.append(user(question))
        sent.append(assistant(complete({"messages": sent})))


SPELLINGS = (in_a_loop, in_a_while, in_an_object, in_a_handler_of_pairs, in_a_server)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_history_that_no_message_has_is_named_once_for_its_line(course_model, ask, spelling):
    with Watch(*course_model, turns=KeptTurns()) as watched:
        spelling(course_model[1], ask, passed=False)
    (found,) = of_the_history(watched)
    assert found.severity == "warning"
    assert "The conversation so far is in" in found.what
    assert not watched.failures


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_history_that_is_passed_is_none(course_model, ask, spelling):
    with Watch(*course_model, turns=KeptTurns()) as watched:
        spelling(course_model[1], ask, passed=True)
    assert not of_the_history(watched)
    assert not watched.failures


def test_variables_are_left_alone_outside_of_a_script(course_model, ask):
    with Watch(*course_model) as watched:
        in_a_while(course_model[1], ask, passed=False)
    assert all("so far is in" not in one.what for one in of_the_history(watched))


def a_window(tokenizer, ask):
    history = []
    for question in QUESTIONS:
        history.append(user(question))
        history.append(assistant(ask(render(tokenizer, history[-3:]))))


def several_chats(tokenizer, ask):
    def reply(chat):
        return assistant(ask(render(tokenizer, chat)))

    for question in QUESTIONS[:2]:
        chat = [user(question)]
        chat.append(reply(chat))
        other = [user("Name three rivers.")]
        other.append(reply(other))


def a_table_of_results(tokenizer, ask):
    results = []
    for question in ("Name three rivers.", "Name three towns.", "Name three lakes."):
        results.append({"question": question, "answer": ask(render(tokenizer, [user(question)]))})


def examples_of_another_function(tokenizer, ask):
    def judge(conversation):
        last = f"Is this polite? {conversation[-1]['content']}"
        return ask(render(tokenizer, [user(last)]))

    judge([user("Hello there."), assistant("Good day!"), user("Who are you?")])


def a_summary(tokenizer, ask):
    history, summary = [], "nothing was said yet"
    for question in ("Name three rivers.", "Name three towns."):
        system = {"role": "system", "content": f"So far: {summary}"}
        text = ask(render(tokenizer, [system, user(question)]))
        history += [user(question), assistant(text)]
        summary = f"they asked: {question} and were told: {text}"


SOUND = (a_window, several_chats, a_table_of_results, examples_of_another_function, a_summary)


@pytest.mark.parametrize("sound", SOUND)
def test_what_is_kept_on_purpose_is_no_lost_history(course_model, ask, sound):
    with Watch(*course_model, turns=KeptTurns()) as watched:
        sound(course_model[1], ask)
    assert not of_the_history(watched)
    assert not watched.failures


def test_a_question_in_the_words_of_an_earlier_statement_asks_for_it(course_model, ask):
    with Watch(*course_model) as watched:
        for said in ("My cat is called Pebble.", "What is my cat called?"):
            ask(render(course_model[1], [user(said)]))
    (found,) = of_the_history(watched)
    assert "Pebble" in found.what


@pytest.mark.parametrize(
    "said",
    [
        ("Explain what a mutex is.", "What is a mutex?"),
        ("Tell me the capital of France.", "What is the capital of France?"),
        ("What is the capital of France?", "What is the capital of Italy?"),
        ("Name three rivers.", "Which rivers flow through Paris?"),
    ],
)
def test_questions_that_share_words_are_independent(course_model, ask, said):
    with Watch(*course_model) as watched:
        for each in said:
            ask(render(course_model[1], [user(each)]))
    assert not of_the_history(watched)


def test_an_answer_that_comes_back_as_the_users_is_named(course_model, ask):
    with Watch(*course_model) as watched:
        messages = [user("Name three rivers of Europe.")]
        messages.append(user(ask(render(course_model[1], messages))))
        messages.append(user("Which of them is the longest?"))
        ask(render(course_model[1], messages))
    assert "answer-as-user" in watched.codes
    assert "answers-not-kept" not in {
        one.code for one in watched.findings if "The answer to" in one.what
    }


def test_an_answer_for_another_model_is_no_users_message_of_this_chat(course_model, ask):
    with Watch(*course_model) as watched:
        text = ask(render(course_model[1], [user("Name three rivers of Europe.")]))
        ask(render(course_model[1], [user("Translate."), assistant("What?"), user(text)]))
    assert "answer-as-user" not in watched.codes


def with_a_variable(tokenizer, ask, said, town="Oslo"):
    return ask(render(tokenizer, [user(said)]))


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("Name three sights of {town}.", True),
        ("Name three sights of Oslo, as {town}: {sight}.", False),
        ("Name three sights of {place}.", False),
    ],
)
def test_braces_around_a_variable_of_the_script_are_a_value_left_out(
    course_model, ask, said, named
):
    with Watch(*course_model, turns=KeptTurns()) as watched:
        with_a_variable(course_model[1], ask, said)
    assert ("placeholder-left" in watched.codes) is named
    assert not watched.failures


TEMPLATE = """{% for m in messages %}{% if m.role == 'tool' and loop.index0 < 2 %}
{{- raise_exception('a tool role, but no assistant message with a call') }}
{%- endif %}{{ m.role + ': ' + m.content }}{% endfor %}"""


def test_a_result_whose_call_was_left_out_is_behind_the_refusal(course_model):
    tokenizer = course_model[1]
    result = {"role": "tool", "tool_call_id": "c1", "content": "10:24"}
    with pytest.raises(Exception, match="no assistant message"), Watch(*course_model) as watched:
        tokenizer.apply_chat_template(
            [user("What time is it?"), result], chat_template=TEMPLATE, tokenize=False
        )
    assert "tool-result-without-call" in watched.codes
    assert "tokenizer-refused" not in watched.codes


class Odd:
    """Cannot be looked at."""

    @property
    def __dict__(self):
        raise RuntimeError("not for you")


def test_an_object_that_cannot_be_looked_at_changes_nothing(course_model, ask):
    odd = Odd()
    with Watch(*course_model, turns=KeptTurns()) as watched:
        in_a_while(course_model[1], ask, passed=True)
        ask(render(course_model[1], [user("Name three rivers.")]))
    assert odd is not None
    assert len(watched.calls) == len(QUESTIONS) + 1
