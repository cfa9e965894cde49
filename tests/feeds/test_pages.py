"""Which requests are pageviews."""

import pytest

from feeds.combined_log import parse_line
from feeds.pages import Skip, skip_reason
from feeds.robots import is_robot
from tests.feeds.imports import AGENT, log_line


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/", None),
        ("/blog/", None),
        ("/blog/post.html?utm_source=feedburner", None),
        ("/projects/xdotool/xdotool.xhtml", None),
        ("/index.php?format=html", None),
        ("/release/1.2", None),
        ("/?source=rss20", None),
        ("/search?q=a.png", None),
        ("/style.css?v=3", Skip.FILE),
        ("/IMAGE.PNG", Skip.FILE),
        ("/favicon.ico", Skip.FILE),
        ("/paper.pdf", Skip.FILE),
        ("/files/tool-1.0.tar.gz", Skip.FILE),
        ("/resume.xml", Skip.FILE),
        ("/robots.txt", Skip.FEED),
        ("/sitemap.xml", Skip.FEED),
        ("/blog.rss", Skip.FEED),
        ("/feed/", Skip.FEED),
        ("/comments/feed", Skip.FEED),
        ("/?flav=rss20", Skip.FEED),
        ("/blog?page=1&flav=ATOM", Skip.FEED),
    ],
)
def test_the_address_says_what_is_a_page(target: str, reason: Skip | None) -> None:
    assert skip_reason(parse_line(log_line(target=target).encode())) is reason


@pytest.mark.parametrize(
    ("status", "reason"),
    [(199, Skip.STATUS), (200, None), (206, None), (299, None), (300, Skip.STATUS), (304, Skip.STATUS)],
)
def test_only_2xx_is_a_pageview(status: int, reason: Skip | None) -> None:
    assert skip_reason(parse_line(log_line(status=status).encode())) is reason


@pytest.mark.parametrize("method", ["HEAD", "POST", "get", "-"])
def test_only_get_is_a_pageview(method: str) -> None:
    assert skip_reason(parse_line(log_line(method=method).encode())) is Skip.METHOD


@pytest.mark.parametrize(
    ("agent", "robot"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("Mozilla/5.0 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", True),
        ("curl/8.5.0", True),
        (AGENT, False),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1", False),
        ("-", False),
    ],
)
def test_robots_are_known_by_the_list(agent: str, robot: bool) -> None:
    assert is_robot(agent) is robot
