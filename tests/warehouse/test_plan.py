"""The cost model: tables of cases with the limits' boundaries in them, and the command around it."""

import json
import re
from typing import Any

import pytest

from cli import run
from contract.failures import ConfigError
from streaming.settings import Settings as JobSettings
from warehouse import costs
from warehouse.plan import main, to_size
from warehouse.sizing import PlanSettings, make_plan

MEASURED = dict(
    JOB_CPU_S=24.0, BATCH_CPU_S=5.0, COLLECTOR_CPU_S=63.0, TOPIC_BYTES=330, EVENTS_OBJECT_BYTES=200,
    OBJECTS_PER_BATCH=3, CALLS_PER_LOAD=2, FUNCTION_S=5.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is tested on these numbers; the real ones change with every measurement."""
    for name, value in MEASURED.items():
        monkeypatch.setattr(costs, name, value)


def plan(pageviews_per_day: int, **settings: Any) -> Any:
    return make_plan(PlanSettings(pageviews_per_day=pageviews_per_day, **settings))


LOADS = {
    "the default": (180, 480, True, ""),
    "the shortest that leaves a third": (87, 994, True, ""),
    "one that leaves less": (86, 1005, True, "leaves 495 for those that fail. --trigger 87 leaves a third"),
    "the shortest that BigQuery bears": (58, 1490, True, "leaves 10 for those that fail"),
    "one second less": (57, 1516, False, "Choose --trigger 87; below 58 it cannot work"),
    "a batch a second": (1, 86_400, False, "makes 86,400 load jobs a table a day; BigQuery takes 1,500"),
}


@pytest.mark.parametrize(("trigger", "loads", "fits", "says"), LOADS.values(), ids=LOADS)
def test_load_jobs_a_day_against_the_limit(trigger: int, loads: int, fits: bool, says: str) -> None:
    found = plan(1_000_000, trigger=trigger)
    assert (found.needs.loads_per_table, found.fits) == (loads, fits)
    assert says in "".join(found.advice) and bool(found.advice) == bool(says)


SITES = {
    "one pageview a day": (1, dict(batches=1, job_cores=1, collector_cores=1, workers=2, files_per_batch=1)),
    "a small site": (1_000, dict(batches=480, job_cores=1, workers=2, bigquery_calls=1920, invocations=1440)),
    "as many as one batch reads": (960_000_000, dict(pageviews_per_peak_batch=10_000_000, files_per_batch=8)),
    "a hot site": (
        5_000_000_000,
        dict(job_cores=14, collector_cores=37, workers=4, cluster_vcpus=20, files_per_batch=41, peak_per_s=289351.852),
    ),
}


@pytest.mark.parametrize(("pageviews", "expected"), SITES.values(), ids=SITES)
def test_what_a_site_needs(pageviews: int, expected: dict[str, float]) -> None:
    needs = vars(plan(pageviews).needs)
    assert {name: needs[name] for name in expected} == expected


ADVICE = {
    "an object as large as two files": (245_760_000, []),
    "one more pageview a batch": (245_760_100, ["--files-per-batch 3"]),
    "as many as one batch reads": (960_000_000, ["--files-per-batch 8"]),
    "one more": (960_000_100, ["--max-offsets-per-trigger 20100000", "--files-per-batch 8"]),
    "more cores than two workers have": (
        3_000_000_000,
        ["--max-offsets-per-trigger 62500000", "--files-per-batch 25", "--workers 3; --shuffle-partitions 12"],
    ),
}


@pytest.mark.parametrize(("pageviews", "says"), ADVICE.values(), ids=ADVICE)
def test_what_to_set_for_a_site_of_a_size(pageviews: int, says: list[str]) -> None:
    advice = plan(pageviews).advice
    assert len(advice) == len(says)
    assert all(words in line for words, line in zip(says, advice, strict=True))


def test_a_month_of_the_smallest_cluster_is_its_vcpus_times_its_hours() -> None:
    month = plan(1_000, vcpu_hour_price=0.05, dataproc_vcpu_hour_price=0.01, kafka_month_price=100.0).month
    assert month["cluster"] == pytest.approx(12 * 730 * 0.05)
    assert (month["Dataproc"], month["collector"]) == (pytest.approx(12 * 730 * 0.01), pytest.approx(730 * 0.05))
    assert (month["BigQuery loads"], month["BigQuery storage"], month["function"], month["Kafka"]) == (0, 0, 0, 100)


def test_storage_is_half_as_dear_after_90_days() -> None:
    young, old = (plan(100_000_000, keep_days=days).month["BigQuery storage"] for days in (90, 180))
    a_pageview = costs.EVENTS_TABLE_BYTES + costs.SESSIONS_ROW_BYTES / 2.8 + costs.SESSIONS_HIT_BYTES
    table_gib = 100_000_000 * a_pageview * 90 / 2**30
    assert young == pytest.approx((table_gib - 10) * 0.02)
    assert old - young == pytest.approx(table_gib * 0.01)


def test_a_row_of_a_session_is_shared_by_its_pageviews() -> None:
    one, ten = (plan(1_000_000, pageviews_per_session=each).needs.table_bytes for each in (1.0, 10.0))
    assert one - ten == 900_000 * costs.SESSIONS_ROW_BYTES


def test_the_state_holds_what_comes_in_a_window_and_the_watermarks_delay() -> None:
    assert plan(86_400, peak=3.0).needs.peak_state_bytes == 3 * 2_000 * costs.STATE_BYTES


def test_kafkas_disk_holds_all_copies_for_the_retention() -> None:
    needs = plan(1_000_000, retention_days=2, replicas=3).needs
    assert (needs.topic_bytes, needs.kafka_disk_bytes) == (330_000_000, 6 * 330_000_000)


def test_a_larger_site_pays_less_a_million_and_more_a_month() -> None:
    plans = [plan(10**power) for power in range(3, 10)]
    assert sorted((p.per_million for p in plans), reverse=True) == [p.per_million for p in plans]
    assert sorted(p.sum for p in plans) == [p.sum for p in plans]


def test_it_reckons_with_the_jobs_own_defaults() -> None:
    job = {field.name: field.default for field in vars(JobSettings)["__dataclass_fields__"].values()}
    theirs = (job["max_offsets_per_trigger"], job["window_seconds"], job["watermark_seconds"], job["trigger"])
    assert theirs == (costs.MAX_OFFSETS, costs.WINDOW_S, costs.WATERMARK_S, "180")


def test_every_number_says_where_it_is_from() -> None:
    """A measured one names its page, an estimate is listed as one, a price calls itself a list price."""
    text = vars(costs)["__spec__"].loader.get_source("warehouse.costs")
    measured, rest = text.split("# Limits.")
    names = [line.split(" = ")[0] for line in measured.splitlines() if " = " in line and line[0].isupper()]
    estimated = re.findall(r'^([A-Z_]+) = .*\n"""[^"]*An estimate\."""', measured, re.MULTILINE)
    assert set(estimated) == costs.ESTIMATES
    sources = r"docs/(performance|deploy)\.md|SESSIONS_CPU_S \+"
    cited = [name for name in names if re.search(rf'^{name} = (.*\n"""[^"]*)?({sources})', measured, re.MULTILINE)]
    assert sorted([*cited, *estimated, "ESTIMATES"]) == sorted(names)
    prices = rest.split("# Prices.")[1]
    assert prices.count("ist price, check it") == prices.count('\n"""')


def test_the_command_prints_needs_assumptions_and_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pageviews-per-day", "1000000", "--trigger", "60"]) == 0
    said = capsys.readouterr().out
    assert "1,440 a table a day" in said and "--trigger 87" in said
    assert "job_cpu_s" in said and "a million pageviews" in said


def test_the_command_ends_with_1_where_bigquery_does_not_bear_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pageviews-per-day", "1000000", "--trigger", "50", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["fits"] is False


def test_as_json_it_has_what_it_reckoned_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pageviews-per-day", "1000000", "--vcpu-hour-price", "0.1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["assumptions"]["vcpu_hour"] == 0.1 and found["assumptions"]["job_cpu_s"] == costs.JOB_CPU_S
    assert found["month"]["sum"] == pytest.approx(sum(found["month"].values()) - found["month"]["sum"], abs=0.1)
    assert found["per_million_pageviews"] == pytest.approx(found["month"]["sum"] / (365 / 12), abs=0.01)


INVALID = {
    "no pageviews": ([], "--pageviews-per-day: required"),
    "none a day": (["--pageviews-per-day", "0"], "--pageviews-per-day: want a whole number from 1, got '0'"),
    "a trigger of nothing": (["--trigger", "0"], "--trigger: want a whole number from 1, got '0'"),
    "a peak below the average": (["--peak", "0.9"], "--peak: want a number from 1, also with decimals, got '0.9'"),
    "a price below nothing": (["--vcpu-hour-price", "-1"], "--vcpu-hour-price"),
    "a price in words": (["--vcpu-hour-price", "nan"], "want a number from 0, also with decimals, got 'nan'"),
    "an unknown one": (["--pageviews", "5"], "--pageviews: unknown; did you mean --pageviews-per-day?"),
}


@pytest.mark.parametrize(("flags", "says"), INVALID.values(), ids=INVALID)
def test_a_setting_at_fault_is_told_in_one_sentence(flags: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        main(flags)
    assert says in str(raised.value)


def test_the_webevents_command_knows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", ["--pageviews-per-day", "10"]) == 0
    assert "10 pageviews a day" in capsys.readouterr().out


SIZES = {0: "0 B", 999: "999 B", 1000: "1.0 kB", 1.5e6: "1.5 MB", 3.3e15: "3.3 PB", 5e18: "5,000.0 PB"}


@pytest.mark.parametrize(("size", "text"), SIZES.items(), ids=SIZES.values())
def test_a_size_in_words(size: float, text: str) -> None:
    assert to_size(size) == text
