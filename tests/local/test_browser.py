import urllib.error
import urllib.request

import pytest

from contract.failures import ConfigError
from local import shop
from local.browser import WALK, find_chromium, walk


def test_a_machine_without_chromium_is_told_how_to_get_one():
    with pytest.raises(ConfigError, match="there is no Chromium: apt-get install chromium"):
        find_chromium({"PATH": "/nowhere"})
    assert find_chromium({"PATH": "/nowhere", "WEBEVENTS_CHROMIUM": "/opt/mine"}) == "/opt/mine"


def test_a_program_that_is_no_browser_is_one_sentence():
    with pytest.raises(ConfigError, match="Chromium at /bin/false cannot be driven"):
        walk("http://127.0.0.1:9", "/bin/false")


def test_every_page_of_the_walk_is_on_the_sample_site_with_the_tag():
    with shop.serve("http://127.0.0.1:9") as origin:
        for view in WALK:
            with urllib.request.urlopen(origin + view.page) as answer:
                assert b'<script async src="http://127.0.0.1:9/tag.js"></script>' in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(origin + "/nothing")


def test_a_post_is_answered_by_its_body_and_headers_are_on_every_answer():
    def answer(address, body):
        return ("text/plain", body + address.encode()) if body else None

    with shop.serve_answers(answer, {"cache-control": "no-store"}) as origin:
        with urllib.request.urlopen(origin + "/a?b", data=b"posted ") as found:
            assert found.read() == b"posted /a?b"
            assert (found.headers["content-type"], found.headers["cache-control"]) == ("text/plain", "no-store")
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(origin + "/a")
        assert refused.value.headers["cache-control"] == "no-store"
