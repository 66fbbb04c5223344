"""Reads HTML as far as tests look at it."""

import html.parser


class Page(html.parser.HTMLParser):
    """The elements of a page, and the text of its table cells and options."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.options, self.links, self.ids = [], [], [], [], []
        self.open = []
        self.systems = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        for name in ("src", "href"):
            self.links += [attributes[name]] if name in attributes else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "option":
            self.options.append("")
        if tag not in ("meta", "link", "input", "img", "path"):
            self.open.append((tag, attributes))

    def handle_endtag(self, tag):
        if tag != "path":
            assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tags = [tag for tag, _ in self.open]
        if "td" in tags or "th" in tags:
            self.rows[-1][-1] += data
        if tags[-1:] == ["option"]:
            self.options[-1] += data
        if self.open and self.open[-1][1].get("id") == "systems":
            self.systems += data
