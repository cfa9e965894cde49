"""Which requests of a log are pageviews: those on which the tag in the page would have fired. Pure."""

import re
from enum import Enum
from urllib.parse import parse_qsl

from feeds.combined_log import Request


class Skip(str, Enum):
    """Why a readable line is no pageview. The value stands in --json and on the screen."""

    BLANK = "blank line"
    METHOD = "not GET"
    STATUS = "not 2xx"
    OTHER_SITE = "address of another site"
    FILE = "static file"
    FEED = "feed or robots.txt"
    ROBOT = "robot"
    REPEATED = "same line in another file"


PAGE_PARTS = (
    "css js mjs map json wasm png jpg jpeg jpe gif svg ico webp avif bmp tif tiff cur "
    "woff woff2 ttf otf eot swf xsl xslt xml dtd"
)
SOUND_AND_FILM = "mp3 mp4 m4a m4v ogg oga ogv opus wav flac webm avi mov mpg mpeg wmv mkv flv"
DOCUMENTS = "pdf ps eps djvu doc docx xls xlsx ppt pptx odt ods odp rtf txt csv tsv log epub mobi"
DOWNLOADS = (
    "zip gz tgz bz2 xz 7z rar tar zst jar war deb rpm apk dmg pkg msi exe dll bin iso img "
    "whl gem egg torrent sql bak pcap"
)
SOURCE_TEXT = (
    "c h cc cpp hpp cs java go rs rb py pyc lua sh bash bat ps1 diff patch conf cfg ini yaml yml toml tex bib mk m4"
)
FILES = frozenset(" ".join((PAGE_PARTS, SOUND_AND_FILM, DOCUMENTS, DOWNLOADS, SOURCE_TEXT)).split())
"""Extensions of files in which no tag runs. A path with any other extension, or none, is a page."""

FEED_EXTENSIONS = frozenset(("rss", "atom", "rdf"))
FEED_NAMES = frozenset(("robots.txt", "sitemap.xml", "feed.xml", "index.xml", "feed", "rss", "rss2", "atom"))
FEED_PARAMETERS = frozenset(("feed", "flav", "format", "output"))
FEED_FORMAT = re.compile(r"rss|atom|rdf")


def skip_reason(request: Request) -> Skip | None:
    """Why the request is no pageview; None for a pageview: GET, 2xx, a page.

    A feed is read by a program, whatever its address looks like: /feed/, /blog.rss and /blog?flav=rss20 are feeds.
    """
    if request.method != "GET":
        return Skip.METHOD
    if not 200 <= request.status < 300:
        return Skip.STATUS
    path, _, query = request.target.partition("?")
    return _skip_path(path) or (Skip.FEED if "=" in query and _is_feed(query) else None)


def _skip_path(path: str) -> Skip | None:
    name = path.rstrip("/").rpartition("/")[2].lower()
    extension = name.rpartition(".")[2] if "." in name else ""
    if name in FEED_NAMES or extension in FEED_EXTENSIONS:
        return Skip.FEED
    return Skip.FILE if extension in FILES else None


def _is_feed(query: str) -> bool:
    return any(name in FEED_PARAMETERS and FEED_FORMAT.match(value.lower()) for name, value in parse_qsl(query))
