"""The catalogue of faults: what is injected into the real part, the invariants that must hold, and the tests of it.

docs/faults.md shows it with the results of a run; tests/faults/report.py writes them there.
"""

from typing import NamedTuple

INVARIANTS = {
    "I1": "no loss: every event answered with 200 is in sessions, bad_events or a correction",
    "I2": "no duplicate: no eventId is twice in sessions, however often it was sent",
    "I3": "no phantom: no refused event and no stranger is in a table",
    "I4": "accounting: accepted = in sessions + rejected + late + still open",
    "I5": "grouping: one row a visitor, session and window; its arrays ordered and within the window",
    "I6": "equality: sessions are what an oracle, written apart from the job, makes of the same messages",
    "I7": "liveness: it heals with no step by hand",
    "I8": "bounded: memory, files and retries do not grow without end",
    "I9": "loud: the fault shows in an answer, a log line, a record or an exit code",
}

HTTP, WIRE, COLLECTOR = "tests/collector/test_http.py", "tests/collector/test_wire.py", "tests/collector/test_faults.py"
SPOOL, NETWORK = "tests/collector/test_spool.py", "tests/collector/test_network.py"
STREAM, TRANSFORM = "tests/streaming/test_stream.py", "tests/streaming/test_transform.py"
CHECKPOINT, PREFLIGHT = "tests/streaming/test_checkpoint.py", "tests/streaming/test_preflight.py"
STORAGE, SUBMIT = "tests/streaming/test_storage.py", "tests/streaming/test_submit.py"
LOAD, STACK, JOBS = "tests/cloud_functions/test_load.py", "tests/local/test_stack.py", "tests/conformance/test_jobs.py"
REPAIR, SPINE = "tests/warehouse/test_repair.py", "tests/e2e/test_spine.py"
BATCHES, LOADS, LATE = "tests/faults/test_batches.py", "tests/faults/test_loads.py", "tests/faults/test_late.py"
PROVE, JOB, BROKEN = "tests/faults/test_prove.py", "tests/faults/test_job.py", "tests/faults/test_broken_builds.py"


class Row(NamedTuple):
    """One fault. `tests` are pytest's node ids; one without a parameter stands for all of its parameters."""

    id: str
    fault: str
    how: str
    invariants: tuple[str, ...]
    tests: tuple[str, ...]


def hostile(*names: str) -> tuple[str, ...]:
    """Rows of the table of hostile requests that go to a running collector."""
    return tuple(f"{HTTP}::test_hostile_requests_get_their_verdict[{name}]" for name in names)


def refused(*names: str) -> tuple[str, ...]:
    """Rows of the table of refused bodies."""
    return tuple(f"{WIRE}::test_refused[{name}]" for name in names)


CLOCK = f"{WIRE}::test_a_clock_that_cannot_be_right_becomes_the_time_of_receipt"
AWAY = f"{COLLECTOR}::test_a_broker_away_under_load"
POINTS = f"{BATCHES}::test_a_driver_that_dies_at_each_point_of_a_batch_leaves_the_oracles_rows_once"
PROVED = f"{PROVE}::test_every_part_killed_once_under_load_loses_nothing_and_doubles_nothing"
WALK = f"{PROVE}::test_a_walk_of_100_rounds_of_killing_loses_nothing_and_doubles_nothing"
STRAGGLERS = f"{LATE}::test_each_straggler_is_in_sessions_or_after_repair_in_a_correction_exactly_once"
STEPS = "in a stream of files; `long`: end to end, windows of 30 min, watermark of 200 s"
LAST = f"{STREAM}::test_the_last_second_of_a_window_is_late_from_201_s_behind_the_newest_event"
REPAIRED = f"{REPAIR}::test_late_turns_into_in_sessions_and_the_line_balances_before_and_after"
ALL = ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9")

COLLECTOR_ROWS = (
    Row(
        "collector-kill", "collector: kill -9 under load", "SIGKILL twenty times while it answers, and with the broker "
        "away", ("I1", "I7"),
        (
            f"{COLLECTOR}::test_kill_9_twenty_times_under_load_loses_nothing_that_was_accepted",
            f"{COLLECTOR}::test_kill_9_while_the_broker_is_away_loses_nothing_that_was_accepted",
            f"{SPOOL}::test_kill_9_loses_nothing_that_was_confirmed",
        ),
    ),
    Row(
        "collector-sigterm", "collector: SIGTERM", "SIGTERM with requests under way", ("I1",),
        (f"{COLLECTOR}::test_sigterm_answers_what_has_begun",),
    ),
    Row(
        "broker-killed", "collector: broker killed", "SIGKILL of the broker under load, away for 15 s; `long`: 60 s",
        ("I1", "I7", "I8"), (f"{AWAY}[killed for 15 s]", f"{AWAY}[killed for 60 s]"),
    ),
    Row(
        "broker-stopped", "collector: broker stopped", "SIGSTOP of the broker under load for 15 s; `long`: 30 s",
        ("I1", "I7", "I8"), (f"{AWAY}[stopped for 15 s]", f"{AWAY}[stopped for 30 s]"),
    ),
    Row(
        "broker-line", "collector: bad line to the broker", "a proxy that is slow, narrow, cut, or sends slices",
        ("I1", "I8"), (f"{NETWORK}::test_a_bad_line_to_the_broker",),
    ),
    Row(
        "broker-full", "collector: broker's disk full", "a limit on the size of the broker's files", ("I1", "I7"),
        (f"{COLLECTOR}::test_a_broker_whose_disk_takes_nothing_more",),
    ),
    Row(
        "broker-absent", "collector: no broker at its start", "started before the broker", ("I1", "I7"),
        (f"{COLLECTOR}::test_a_collector_starts_without_a_broker_and_delivers_when_one_comes",),
    ),
    Row(
        "spool-full", "collector: spool full", "the broker away, the spool's bound reached: 507", ("I1", "I8", "I9"),
        (
            f"{COLLECTOR}::test_a_full_spool_is_507_and_what_was_accepted_arrives",
            f"{SPOOL}::test_a_full_spool_refuses_and_takes_again_when_drained",
        ),
    ),
    Row(
        "spool-torn", "collector: spool torn or damaged", "the last record cut at each byte; bytes changed; the disk "
        "fails", ("I1", "I9"),
        (
            f"{SPOOL}::test_a_torn_tail_is_passed_and_all_before_it_comes_back",
            f"{SPOOL}::test_a_damaged_record_is_kept_for_the_operator",
            f"{SPOOL}::test_a_disk_that_fails_leaves_the_spool_usable",
        ),
    ),
    Row(
        "collector-files", "collector: more connections than files", "a limit on its open files", ("I1", "I7"),
        (f"{COLLECTOR}::test_more_connections_than_the_process_may_have_files",),
    ),
    Row("body-empty", "body of 0 B", "over a socket, to a running collector", ("I3", "I9"), hostile("no body")),
    Row(
        "body-limit", "body at the limit", "one byte below it, and the limit itself", ("I1",),
        hostile("one byte below the limit", "at the limit"),
    ),
    Row(
        "body-above", "body of the limit and a byte", "413, and the connection goes on", ("I3", "I9"),
        (*hostile("one byte above the limit"), f"{HTTP}::test_a_connection_goes_on_after_413"),
    ),
    Row(
        "body-10mb", "body of 10 MB", "announced, or in chunks without an end", ("I3", "I8"),
        hostile("10 MB announced", "1 MB in one chunk", "a chunk that is not yet at its end"),
    ),
    Row(
        "body-dripped", "body dripped", "a request that never ends; 200 of them at once", ("I8", "I7"),
        (
            f"{HTTP}::test_a_client_that_never_ends_its_request_is_sent_away",
            f"{HTTP}::test_200_slow_clients_do_not_stop_the_service",
        ),
    ),
    Row("gzip-bomb", "gzip bomb", "10 MB of zeros, compressed", ("I3", "I8"), hostile("a gzip bomb")),
    Row(
        "json-deep", "JSON of depth 1000", "brackets without end, and deep within an unknown field", ("I3", "I9"),
        (*hostile("a depth of 1000", "a depth past the parser's"), *refused("a depth of 1000", "a depth of 100,000")),
    ),
    Row("json-nan", "NaN", "as a number of the event", ("I3", "I9"),
        (*hostile("NaN"), *refused("NaN", "Infinity", "1e400"))),
    Row(
        "json-surrogates", "lone surrogates", "each half of a pair in a title", ("I1", "I6"),
        (
            *hostile("half of a surrogate pair"), f"{WIRE}::test_accepted[half of a surrogate pair becomes U+FFFD]",
            f"{WIRE}::test_accepted[the other half too]",
            f"{TRANSFORM}::test_oddities_that_are_no_fault_are_accepted",
        ),
    ),
    Row(
        "json-bom", "byte order mark", "before the JSON", ("I1",),
        (*hostile("a byte order mark"), f"{WIRE}::test_accepted[a byte order mark]"),
    ),
    Row(
        "json-keys", "duplicate keys", "one name twice in an object: the last counts", ("I1",),
        (f"{WIRE}::test_accepted[the last of two equal keys]",),
    ),
    Row(
        "id-4kb", "ids of 4 kB", "as visitor and as eventId", ("I3", "I8"),
        (*hostile("a visitor of 4 kB"), *refused("a visitor of 4 kB", "an eventId of 4 kB")),
    ),
    Row(
        "id-null", "null ids", "as visitor and as session", ("I3", "I9"),
        (*hostile("a visitor of null"), *refused("a visitor of null", "a visitor of nothing", "a session of null")),
    ),
    Row("clock-9999", "clock of the year 9999", "as an event's time", ("I1", "I5"),
        (*hostile("year 9999"), f"{CLOCK}[year 9999]", f"{CLOCK}[past year 9999]")),
    Row("clock-1970", "clock of 1970", "as an event's time", ("I1", "I5"),
        (*hostile("1970"), f"{CLOCK}[1970]", f"{CLOCK}[before 1970]")),
)  # fmt: skip

JOB_ROWS = (
    Row(
        "everything", "kill -9 of collector, broker, job and function under load", "`webevents prove`, 15 s; `long`: "
        "100 rounds; the job at drawn points of a batch", ALL, (PROVED, WALK),
    ),
    Row("job-offsets", "job dies with the offsets written", "the batch fails before it does anything",
        ("I1", "I2", "I5", "I6"), (POINTS,)),
    Row("job-write", "job dies in the Avro write", "files of an uncommitted write are left", ("I1", "I2", "I6"),
        (POINTS, f"{STREAM}::test_no_attempt_is_left_behind")),
    Row("job-staged", "job dies after the staged file", "the object is not created", ("I1", "I2", "I6"), (POINTS,)),
    Row(
        "job-published", "job dies after the published object", "the batch's record is not written", ("I1", "I2", "I6"),
        (POINTS, f"{STREAM}::test_a_crash_between_object_and_record_is_made_good_by_the_replay"),
    ),
    Row("job-commit", "job dies before the commit", "all is published, Spark's commit is missing", ("I1", "I2", "I6"),
        (POINTS,)),
    Row(
        "commit-deleted", "commits/N deleted", "and the state of the batch with it; end to end: spark-submit on a "
        "checkpoint without its last commit", ("I1", "I2", "I6"),
        (
            f"{STREAM}::test_a_replayed_batch_publishes_nothing_again_and_writes_its_state",
            f"{STREAM}::test_a_replayed_archive_batch_makes_good_only_what_is_missing",
            f"{SPINE}::test_a_batch_that_is_replayed_changes_nothing",
        ),
    ),
    Row(
        "job-sigterm", "job: SIGTERM", "to spark-submit, in a batch", ("I1", "I7"),
        (f"{SUBMIT}::test_sigterm_to_spark_submit_ends_the_job_well_after_its_batch",),
    ),
    Row(
        "two-drivers", "two drivers on one checkpoint", "one wakes up after the other has done its batch; `long`: "
        "two spark-submits, the first stopped by SIGSTOP in a batch", ("I2", "I6", "I9"),
        (
            f"{BATCHES}::test_a_driver_that_wakes_up_after_another_one_has_done_its_batch_publishes_nothing",
            f"{STORAGE}::test_of_many_that_create_one_file_at_once_one_succeeds",
            f"{JOB}::test_a_driver_that_was_stopped_and_wakes_up_behind_another_one_ends_and_doubles_nothing",
        ),
    ),
    Row(
        "checkpoint-damaged", "damaged checkpoint", "metadata, offsets, commits and state cut, emptied, removed, "
        "changed: refused with the file's name", ("I3", "I9"),
        (
            f"{CHECKPOINT}::test_a_damaged_file_is_named", f"{CHECKPOINT}::test_a_wrong_checksum_is_damage_too",
            f"{CHECKPOINT}::test_commits_without_metadata_are_refused",
            f"{BATCHES}::test_damaged_state_ends_the_query_names_the_file_and_publishes_nothing",
        ),
    ),
    Row(
        "checkpoint-older", "older copy of a checkpoint", "a batch has been published that it does not know of: "
        "refused before anything is read", ("I1", "I2", "I9"),
        (
            f"{PREFLIGHT}::test_a_batch_that_the_checkpoint_does_not_know_of_is_told",
            f"{PREFLIGHT}::test_an_older_copy_of_both_queries_checkpoints_is_told",
        ),
    ),
    Row(
        "checkpoint-new", "new checkpoint over old output", "the old one moved away: nothing is overwritten, reconcile "
        "names what is twice, the runbook's step mends it", ("I2", "I4", "I9"),
        (
            f"{STREAM}::test_a_new_checkpoint_takes_other_names",
            f"{LOADS}::test_a_new_checkpoint_over_old_output_overwrites_nothing_and_reconcile_names_what_is_twice",
        ),
    ),
    Row(
        "offsets-empty", "offsets without a message", "a batch of them, as the end of a transaction leaves them",
        ("I1", "I7"),
        (f"{STREAM}::test_an_empty_batch_publishes_no_object_but_its_record[offsets without a message]",),
    ),
    Row(
        "broker-bounced", "broker bounced under the job", "SIGKILL of the broker while the job reads, away for "
        "seconds; `long`: also SIGTERM, in a catch-up", ("I1", "I2", "I6", "I7"),
        (PROVED, f"{JOB}::test_a_skewed_catch_up_over_a_broker_that_bounces_loses_nothing"),
    ),
    Row(
        "poison", "poison messages, 1 %", "no JSON, no UTF-8, tombstones, missing fields, in 1,000 messages",
        ("I1", "I3", "I6"),
        (
            f"{BATCHES}::test_one_message_in_a_hundred_is_poison_one_a_day_ahead_and_all_others_are_there",
            f"{TRANSFORM}::test_every_refused_message_has_its_reason_and_no_event_time",
            f"{TRANSFORM}::test_any_bytes_are_judged",
        ),
    ),
    Row(
        "day-ahead", "one event a day ahead", "among 1,000; also a minute and a millisecond ahead", ("I1", "I3", "I6"),
        (
            f"{BATCHES}::test_one_message_in_a_hundred_is_poison_one_a_day_ahead_and_all_others_are_there",
            f"{STREAM}::test_a_refused_message_moves_no_watermark_and_stops_nothing",
        ),
    ),
    Row("late-199", "late by 199 s", STEPS, ("I1", "I2", "I4", "I5"), (STRAGGLERS, f"{LAST}[199 s behind counts]")),
    Row("late-201", "late by 201 s", f"{STEPS}; reconcile --repair appends it once", ("I1", "I2", "I4", "I5"),
        (STRAGGLERS, f"{LAST}[201 s behind is late]", REPAIRED)),
    Row("late-1h", "late by 1 h", "visitors of `webevents prove` send some so late; `long`: as by 201 s",
        ("I1", "I2", "I4", "I5"), (PROVED, STRAGGLERS)),
    Row("late-1d", "late by 1 day", "`long`: as by 201 s", ("I1", "I2", "I4", "I5"), (STRAGGLERS,)),
    Row(
        "repair-killed", "repair killed, or run twice at once", "an end at each of its steps, and two runs that want "
        "one number", ("I1", "I2"),
        (
            f"{REPAIR}::test_killed_anywhere_and_run_again_each_pageview_is_appended_once",
            f"{REPAIR}::test_of_two_repairs_at_the_same_time_one_hears_that_the_number_is_taken",
        ),
    ),
    Row(
        "catch-up", "skewed catch-up of 8 partitions", "`long`: a backlog of hours, one partition ten times as long, "
        "small batches", ("I1", "I2", "I4"),
        (f"{JOB}::test_a_skewed_catch_up_over_a_broker_that_bounces_loses_nothing",),
    ),
    Row(
        "quiet", "quiet stream", "no message but heartbeats: the last window closes", ("I1", "I7"),
        (
            f"{STREAM}::test_a_heartbeat_closes_the_last_window_and_is_in_no_table",
            f"{COLLECTOR}::test_heartbeats_reach_every_partition_and_have_no_visitor",
        ),
    ),
    Row(
        "hot-visitor", "hot visitor", "100,000 pageviews in one window, each sent twice, within a bound of time",
        ("I2", "I5", "I8"), (f"{TRANSFORM}::test_a_visitor_with_100_000_pageviews_each_sent_twice_takes_seconds",),
    ),
    Row(
        "no-broker", "job without its broker or topic", "a port that nobody listens on, a name that is none", ("I9",),
        (f"{PREFLIGHT}::test_an_unreachable_broker_is_told_within_seconds",
         f"{PREFLIGHT}::test_a_missing_topic_is_told_with_the_nearest_one"),
    ),
)  # fmt: skip

LOAD_ROWS = (
    Row(
        "events-thrice", "every storage event three times, shuffled", "by the bridge, to the function's own process",
        ("I2",),
        (
            f"{STACK}::test_events_that_come_three_times_and_shuffled_fill_the_table_once",
            f"{SPINE}::test_every_event_came_three_times_and_was_loaded_once",
            f"{LOAD}::test_deliveries_at_the_same_time_load_once",
        ),
    ),
    Row(
        "events-late", "every storage event a day late", "three times, shuffled, in three processes", ("I1", "I2"),
        (f"{LOADS}::test_events_three_times_shuffled_and_a_day_late_fill_the_table_once",),
    ),
    Row(
        "answer-lost", "an error before and after the effect", "BigQuery's stand-in answers 500 to insert and get",
        ("I1", "I2", "I7"),
        (
            f"{LOADS}::test_an_answer_that_fails_before_or_after_its_effect_ends_in_one_load",
            f"{LOAD}::test_an_answer_lost_after_the_insert_does_not_load_twice",
            f"{JOBS}::test_a_500_can_be_switched_on_before_and_after_the_effect",
        ),
    ),
    Row(
        "job-error", "load job fails with 500", "the stand-in takes the job and fails it", ("I1", "I2", "I8"),
        (
            f"{LOAD}::test_a_job_that_failed_for_now_is_tried_again_by_the_next_delivery",
            f"{LOAD}::test_a_job_that_goes_on_failing_takes_a_bounded_number_of_ids",
        ),
    ),
    Row("409-running", "409, and the job runs", "a slow job, and a second delivery", ("I2",),
        (f"{LOAD}::test_a_job_that_is_still_running_is_left_to_the_next_delivery",)),
    Row("409-done", "409, and the job is done", "a second delivery to a new process", ("I2",),
        (f"{LOAD}::test_an_event_that_comes_again_loads_nothing_in_any_process",)),
    Row("409-failed", "409, and the job has failed", "a delivery after a failed job takes the next id", ("I1", "I2"),
        (f"{LOAD}::test_a_job_that_failed_for_now_is_tried_again_by_the_next_delivery",)),
    Row("quota", "quota used up", "403 quotaExceeded to an insert", ("I1", "I7"),
        (f"{LOAD}::test_a_used_up_quota_waits",)),
    Row(
        "avro-bad", "truncated or empty Avro", "objects cut, empty, or of other bytes: set aside, others go on",
        ("I3", "I9"),
        (
            f"{LOAD}::test_an_object_that_can_never_load_leaves_one_record_and_takes_one_job",
            f"{LOAD}::test_one_bad_object_does_not_hold_up_the_good_ones",
        ),
    ),
    Row("avro-foreign", "foreign Avro", "whole files of another schema", ("I3", "I9"),
        (f"{LOADS}::test_a_foreign_avro_file_leaves_a_record_and_the_others_go_on",)),
    Row(
        "function-kill", "kill -9 in the load", "SIGKILL of the function's process while its job runs",
        ("I1", "I2", "I7"),
        (f"{STACK}::test_a_function_killed_in_the_middle_of_a_load_leaves_the_rows_once",),
    ),
    Row(
        "give-up", "permanently bad file", "one record and one job however often it comes; after 22 hours a load that "
        "only fails leaves its record", ("I8", "I9"),
        (
            f"{STACK}::test_a_bad_object_leaves_one_record_and_the_good_ones_go_on",
            f"{LOAD}::test_before_eventarc_forgets_an_event_it_leaves_a_record",
        ),
    ),
    Row(
        "bucket-noise", "objects that are no batches", "markers, temporary files, records, parts", ("I3", "I9"),
        (f"{STACK}::test_objects_that_are_no_batches_are_acknowledged",),
    ),
    Row(
        "parts-killed", "storage, warehouse, function or bridge killed", "SIGKILL of each, and a start at its address",
        ("I1", "I2", "I7"), (f"{STACK}::test_a_part_that_was_killed_comes_back_at_its_address_with_its_data",),
    ),
    Row(
        "broken-build", "a build without one of its guarantees", "`long`: edited copies of the product: the proof must "
        "fail, and name the invariant", ("I1", "I2"), (f"{BROKEN}::test_a_broken_build_is_found_out",),
    ),
)  # fmt: skip

ROWS = (*COLLECTOR_ROWS, *JOB_ROWS, *LOAD_ROWS)
