"""Hostile texts, and which tags of a page a browser would act on."""

from html.parser import HTMLParser

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt; $x^2$ \\(y\\)",
    "a\u202eb\u2066c\x00\x1b[31m\ud800",
    "x" * 10_000,
]

# The tags of a view; a page acts on none of them.
INERT = set(
    "div b span small br wbr img details summary table caption thead tbody tr th td".split()  # noqa: SIM905
)


class Tags(HTMLParser):
    """Collects the tags that a page would act on."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.seen |= {name for name, _ in attrs if name.startswith("on")}


def tags(page: str) -> set[str]:
    """Return the tags of a page, and its attributes that run code (`onclick` ...)."""
    parser = Tags()
    parser.feed(page)
    return parser.seen
