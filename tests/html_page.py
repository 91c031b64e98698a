"""A page of HTML taken apart, for tests to look into."""

from html.parser import HTMLParser


class HtmlPage(HTMLParser):
    """Collects the tags, attributes and texts of a page and checks that tags close in order."""

    VOID = ('meta', 'img')

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.attributes = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
