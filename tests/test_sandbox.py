"""A chat template that fails, runs on or grows is stopped and says so; others stay as they are."""

import threading
import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError
from transformers.utils import chat_template_utils

from llmcourse import chat, sandbox, views
from llmcourse.sandbox import LimitReached, TemplateFailed, apply_chat_template
from tests.support.chat_templates import CHATML, TEMPLATES, letters

HI = [{"role": "user", "content": "Hi 100"}, {"role": "assistant", "content": "Yes"}]
NESTED = "{% set n = namespace(a=[0], b=[0], s='x') %}{% for i in range(90) %}BODY{% endfor %}"

ENDLESS = {
    "a loop in a loop": "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3,
    "a macro that calls itself twice": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}"
    "{% endif %}{% endmacro %}{{ f(60) }}",
    "a recursive loop": "{% for i in range(9) recursive %}{% if loop.depth < 60 %}"
    "{{ loop(range(9)) }}{% endif %}{% endfor %}",
}
HUGE = {
    "a text times a number": "{{ 'x' * 10**9 }}",
    "a number times a text": "{{ 10**9 * 'x' }}",
    "a list times a number": "{{ ([0] * 10**9) | length }}",
    "a power": "{{ 9 ** (9 ** 9) }}",
    "a number squared": "{% set n = namespace(i=9) %}{% for i in range(90) %}"
    "{% set n.i = n.i * n.i %}{% endfor %}",
    "a width": "{{ 'x'.center(10**9) }}",
    "a width for a filter": "{{ 'x' | center(10**9) }}",
    "a width for each": "{{ range(9**5) | map('center', 9**5) | join }}",
    "a width in a format": "{{ '%999999999d' % 1 }}",
    "a width for a format": "{{ '%*d' % (10**9, 1) }}",
    "a width in braces": "{{ '{:999999999}'.format(1) }}",
    "a width for braces": "{{ '{:{}}'.format(1, 10**9) }}",
    "a width in a map": "{{ '{:{w}}'.format_map({'w': 10**9}) }}",
    "bytes": "{{ (1).to_bytes(10**9, 'big') }}",
    "tabs": "{{ ('\t' * 999).expandtabs(10**6) }}",
    "an indent": "{{ messages | tojson(indent=10**9) }}",
    "an indent for lines": "{{ ('\n' * 9999) | indent(10**5) }}",
    "a fill": "{{ [1] | batch(10**9, 0) | list }}",
    "a power of ten": "{{ 3.7 | round(10**9, 'floor') }}",
    "paragraphs": "{{ lipsum(99999) }}",
    "a text replaced by a longer one": "{{ ('x' * 9999).replace('x', 'y' * 9999) }}",
    "the same by a filter": "{{ ('x' * 9999) | replace('x', 'y' * 9999) }}",
    "a long text between many": "{{ ('y' * 9999).join('x' * 9999) }}",
    "the same between items": "{{ range(9999) | join('y' * 9999) }}",
    "lists added up": "{{ ([['x'] * 9999] * 99) | sum(start=[['x'] * 9999]) }}",
    "a list of long lists": "{{ ([['x'] * 9999] * 999) | length }}",
    "a text doubled": NESTED.replace("BODY", "{% set n.s = n.s ~ n.s %}"),
    "a text added to itself": NESTED.replace("BODY", "{% set n.s = n.s + n.s %}"),
    "a block doubled": NESTED.replace("BODY", "{% set n.s %}{{ n.s }}{{ n.s }}{% endset %}"),
    "a list of lists": NESTED.replace("BODY", "{% set n.a = [n.a, n.a] %}"),
    "pairs compared": NESTED.replace("BODY", "{% set n.a = (n.a, n.a) %}{% set n.b = (n.b, n.b) %}")
    + "{{ n.a == n.b }}",
    "dictionaries": NESTED.replace("BODY", "{% set n.a = {1: n.a, 2: n.a} %}"),
    "what a macro is given": "{% macro f(n) %}{% set n.a = varargs %}{% endmacro %}"
    + NESTED.replace("BODY", "{{ f(n, n.a, n.a) }}"),
    "many texts": "{% set n = namespace(l=[]) %}{% for i in range(99999) %}"
    "{% set n.l = n.l + ['x' * 9999 ~ i] %}{% endfor %}",
    "output": "{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
    "a macro's output": "{% macro f() %}{% for i in range(99999) %}" + "x" * 999 + "{% endfor %}"
    "{% endmacro %}{{ f() }}",
    "itself": "{#" + "x" * sandbox.LONGEST + "#}",
}
FAILING = {
    "{{ 1 / 0 }}": "ZeroDivisionError: division by zero",
    "{{ range(10**9) }}": "OverflowError: Range too big",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "RecursionError",
    "{% include 'other' %}": "TypeError: no loader",
    "{{ messages[0].role + 1 }}": "TypeError: can only concatenate str",
    "{% for i in 3 %}{% endfor %}": "TypeError: 'int' object is not iterable",
    "{{ " + "(" * 1000 + "1" + ")" * 1000 + " }}": "RecursionError",
    "{{ 1" + " + 1" * 5000 + " }}": "RecursionError",
    "{% for a in [1] %}" * 30 + "{% endfor %}" * 30: "SyntaxError: too many statically nested",
}


def rendered(template: str) -> str:
    return apply_chat_template(letters(template), HI, tokenize=False)


@pytest.mark.slow
@pytest.mark.parametrize("run", [rendered, lambda template: chat.render(template, HI)])
@pytest.mark.parametrize("name", HUGE)
def test_what_would_be_huge_is_refused_before_it_is_made(name, run):
    tracemalloc.start()
    try:
        with pytest.raises(LimitReached):
            run(HUGE[name])
        assert tracemalloc.get_traced_memory()[1] < 300e6
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("run", [rendered, lambda template: chat.render(template, HI)])
@pytest.mark.parametrize("name", ENDLESS)
def test_what_would_never_end_is_stopped(name, run):
    with pytest.raises(LimitReached, match="takes more than"):
        run(ENDLESS[name])


@pytest.mark.parametrize("template", FAILING)
def test_whatever_goes_wrong_in_a_template_is_a_template_error(template):
    for run in (rendered, lambda template: chat.render(template, HI)):
        with pytest.raises(TemplateFailed, match=FAILING[template]):
            run(template)


@pytest.mark.parametrize("template", [*FAILING, HUGE["output"], HUGE["a width"]])
def test_a_view_says_how_a_template_failed(template):
    shown = views.chat(letters(CHATML), HI, chat_template=template)
    assert shown.text == "" and shown.ids is None
    assert repr(shown).splitlines()[-1].startswith("The template failed: ")
    assert FAILING.get(template, "it makes more than") in repr(shown)


def test_a_refusal_is_the_templates_own():
    with pytest.raises(TemplateError, match=r"^No\.$") as caught:
        rendered("{{ raise_exception('No.') }}")
    assert not isinstance(caught.value, TemplateFailed)


FEATURES = """{%- macro shout(text, mark='!') -%}{{ text | upper }}{{ mark }}{%- endmacro -%}
{%- set ns = namespace(seen=[], said='') -%}
{%- for m in messages if m.content -%}
{%- if loop.first %}{{ bos_token }}{{ loop.length }}/{{ loop.revindex }}{% endif -%}
{%- if m.role == 'skip' %}{% continue %}{% endif -%}
{%- set ns.seen = ns.seen + [m.role] -%}{%- set ns.said = ns.said ~ m.content[:2] ~ loop.index -%}
{{ shout(m.role) }}{{ shout(m.content.split('</think>')[-1].strip(), mark='?' * 3) }}
{%- generation %}{{ m | tojson(indent=2) }}{% endgeneration -%}
{{ '%s: %5.1f' | format(m.role, 2 / 3) }}{{ '{:>6}|{}'.format(loop.index0, m.role) }}
{%- else %}nobody{% endfor -%}
{{ ns.seen | join(', ') }}{{ ns.said | replace('1', 'one') }}{{ messages | map(attribute='role')
| list }}{{ {'a': (1, [2])} }}{{ messages[::-1] | length }}{{ 7 // 2 }}{{ 2 ** 10 }}{{ 7 % 4 }}
{%- filter indent(2) %}a
b{% endfilter %}{{ dict(a=1) }}{{ tools is defined and tools }}{% for a, b in {'k': 1}.items() %}
{{ a }}{{ b }}{% endfor %}{{ lipsum is defined }}{{ strftime_now('%Y') | length }}"""


@pytest.mark.parametrize("template", [*TEMPLATES.values(), FEATURES], ids=[*TEMPLATES, "features"])
def test_within_the_limits_the_string_is_the_librarys(template):
    tokenizer = letters(template)
    for messages in (HI, HI[:1], [*HI, *HI, {"role": "skip", "content": "x"}]):
        for more in ({}, {"add_generation_prompt": True}, {"tools": [{"name": "f"}]}):
            more |= {"tokenize": False}
            try:
                theirs = tokenizer.apply_chat_template(messages, **more)
            except TemplateError as error:
                with pytest.raises(TemplateError, match=str(error)):
                    apply_chat_template(tokenizer, messages, **more)
            else:
                assert apply_chat_template(tokenizer, messages, **more) == theirs


def test_long_words_are_no_reason_to_refuse():
    words = "a word, 'quoted'\n" * 20_000
    template = (
        "{% for m in messages %}{{ m.content.replace(\"'\", '`') | indent(1) }}{% endfor %}"
        "{{ '%s: %s' % ('user', messages[0].content) }}"
    )
    messages = [{"role": "user", "content": words}]
    theirs = letters(template).apply_chat_template(messages, tokenize=False)
    assert apply_chat_template(letters(template), messages, tokenize=False) == theirs


def test_the_library_is_as_before_afterwards_and_in_other_threads():
    before = chat_template_utils._compile_jinja_template
    long = letters("{{ 'x' * 2000000 }}")
    found = []

    def ask_the_library():
        found.append(len(long.apply_chat_template(HI, tokenize=False)))

    other = threading.Thread(target=ask_the_library)
    with sandbox._library_within_limits():
        other.start()
        other.join()
        with pytest.raises(LimitReached):
            long.apply_chat_template(HI, tokenize=False)
    assert found == [2_000_000]
    assert chat_template_utils._compile_jinja_template is before
    with pytest.raises(TemplateError):
        rendered("{{ 1 / 0 }}")
    assert chat_template_utils._compile_jinja_template is before


def test_a_call_within_a_call_does_not_wait_for_itself():
    with sandbox._library_within_limits():
        assert rendered(CHATML) == letters(CHATML).apply_chat_template(HI, tokenize=False)
        with pytest.raises(LimitReached):
            rendered("{{ 'x' * 2000000 }}")


def test_limits_hold_in_another_thread():
    said = []

    def run():
        said.append(repr(views.chat(letters(CHATML), HI, chat_template=HUGE["output"])))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "The template failed: it makes more than 1,000,000 characters" in said[0]


# Small hostile templates, made by a grammar.

NAMES = ["messages", "n.s", "n.a", "messages[0].content", "messages[0].role", "loop", "m", "nobody"]
NUMBERS = ["0", "-1", "3", "97", "10**6", "10**9", "1.5", "true", "none"]
FILTERS = """abs batch(3) batch(10**8,0) capitalize center(10**8) count default('d') dictsort escape
filesizeformat first float forceescape format(1) format(messages) groupby('role') indent(10**6) int
items join join(n.s) last length list lower map('upper') map('center',99999) max min pprint random
reject replace('0','999') replace('a',n.s) reverse round(9999999) safe select slice(3) slice(10**7)
sort string striptags sum sum(start=[]) title tojson tojson(indent=10**7) trim truncate(5) unique
upper urlencode urlize wordcount wordwrap(1) xmlattr""".split()  # noqa: SIM905
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "or"]
METHODS = """.center(10**8) .zfill(10**8) .replace('a','b'*999) .join(messages) .split() .upper()
.format(10**9) .expandtabs(10**7) .encode() .items() .keys() .__class__ .append(1) .x [0] [-1] [::2]
[:1] ['role'] (1) .to_bytes(10**8) .translate({97:'x'*9999}) .splitlines() .count('') .cycle(1,2)
""".split()  # noqa: SIM905
LITERALS = ["'a'", "'%9999d'", "'{:{}}'", "[n.a, n.a]", "{'k': n.a}", "(n.s, n.s)", "range(99)"]


def _larger(inner):
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(OPERATORS), inner),
        st.builds("({} | {})".format, inner, st.sampled_from(FILTERS)),
        st.builds("{}{}".format, inner, st.sampled_from(METHODS)),
        st.builds("f({})".format, inner),
        st.builds("range({})".format, inner),
    )


expressions = st.recursive(st.sampled_from(NAMES + NUMBERS + LITERALS), _larger, max_leaves=6)


def _around(inner):
    return st.one_of(
        st.builds("{{% for m in {} %}}{}{{% endfor %}}".format, expressions, inner),
        st.builds("{{% for m in messages %}}{}{{% endfor %}}".format, inner),
        st.builds("{{% for m in range(9999) recursive %}}{}{{% endfor %}}".format, inner),
        st.builds("{{% if {} %}}{}{{% else %}}x{{% endif %}}".format, expressions, inner),
        st.builds("{{% set n.s %}}{}{{% endset %}}".format, inner),
        st.builds("{{% macro f(a) %}}{}{{% endmacro %}}{{{{ f(1) }}}}".format, inner),
        st.builds("{{% block b %}}{}{{% endblock %}}".format, inner),
        st.builds("{}{}".format, inner, inner),
    )


statements = st.recursive(
    st.one_of(
        st.builds("{{{{ {} }}}}".format, expressions),
        st.builds("{{% set n.s = n.s ~ {} %}}".format, expressions),
        st.builds("{{% set n.a = {} %}}".format, expressions),
        st.sampled_from(["{{ m.content }}", "{{ raise_exception('No') }}", "{{ self.b() }}", "{%"]),
        st.sampled_from(
            ["{% include 'x' %}", "{% break %}", "{% generation %}g{% endgeneration %}"]
        ),
    ),
    _around,
    max_leaves=6,
)


@pytest.mark.slow
@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(template=statements)
def test_a_hostile_template_gives_a_view_and_a_string_or_a_template_error(template):
    template = "{% set n = namespace(s='a', a=[0]) %}" + template
    started = time.monotonic()
    shown = views.chat(letters(CHATML), HI, chat_template=template)
    assert "".join(part.text for part in shown.parts) == shown.text
    assert len(shown.text) <= sandbox.LONGEST and len(repr(shown)) < 300_000
    with suppress(TemplateError):
        assert len(chat.render(template, HI)) <= sandbox.LONGEST
    assert time.monotonic() - started < 40
