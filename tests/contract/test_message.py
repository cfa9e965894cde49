import json

import pytest

from contract.message import FIELDS, derive_event_id, heartbeat, to_event_time, to_value


@pytest.mark.parametrize(
    ("epoch_ms", "spelled"),
    [
        pytest.param(0, "1970-01-01 00:00:00.000", id="the epoch"),
        pytest.param(1431857103007, "2015-05-17 10:05:03.007", id="milliseconds keep their zeros"),
        pytest.param(-1, "1969-12-31 23:59:59.999", id="before the epoch"),
        pytest.param(253402300799999, "9999-12-31 23:59:59.999", id="the last millisecond of the calendar"),
    ],
)
def test_event_time_is_spelled(epoch_ms, spelled):
    assert to_event_time(epoch_ms) == spelled


def test_a_year_beyond_the_calendar_is_no_event_time():
    with pytest.raises(OverflowError):
        to_event_time(253402300800000)


def test_the_value_has_the_contracts_order_and_no_nulls():
    value = to_value({"uiud": "u", "timestamp": "2015-05-17 10:05:03.007", "robot": None, "pageTitle": "Überblick"})
    assert value == '{"timestamp":"2015-05-17 10:05:03.007","uiud":"u","pageTitle":"Überblick"}'.encode()


def test_a_field_of_no_contract_is_refused():
    with pytest.raises(KeyError, match="pageURL"):
        to_value({"pageURL": "/"})


def test_a_lone_surrogate_does_not_stop_the_message():
    assert json.loads(to_value({"uiud": "\ud800"}))["uiud"] == "?"


def test_a_derived_event_id_stands_for_the_content():
    pageview = {"uiud": "u", "sessionId": "1", "timestamp": "2015-05-17 10:05:03.000", "pageUrl": "/"}
    assert derive_event_id(pageview) == "content-c74cf57d77369a092632ad7682bbf48f"
    assert derive_event_id(pageview) == derive_event_id(dict(reversed(pageview.items())) | {"pageTitle": "x"})
    assert derive_event_id(pageview) != derive_event_id(pageview | {"pageUrl": "/a"})


def test_a_heartbeat_has_no_visitor():
    assert json.loads(heartbeat(0)) == {"timestamp": "1970-01-01 00:00:00.000", "eventType": "Heartbeat"}
    assert set(json.loads(heartbeat(0))) <= set(FIELDS)
