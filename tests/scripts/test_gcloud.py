"""Every gcloud command that the dry runs print is one that the installed gcloud understands."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.scripts.shell import ROOT, printed_commands, run, run_script

SUBMIT = ("--project", "p1", "--region", "europe-west1", "--cluster", "web", "--name", "acme", "--dry-run")
JOB = ("--", "--kafka-servers", "broker:9092", "--kafka-option", "sasl.jaas.config=org.apache.Login required;")
PROVISION = ("--project", "p1", "--region", "europe-west1", "--name", "webevents-acme", "--cluster", "web", "--dry-run")

RUNS = {
    "the job goes to image 3.0": ("submit.sh", *SUBMIT, *JOB),
    "the job goes to image 2.3": ("submit.sh", *SUBMIT, "--image", "2.3", *JOB),
    "the job takes jars, labels and properties with commas": (
        "submit.sh", *SUBMIT, "--jar", "gs://b/auth.jar", "--label", "team=web", "--property", "spark.x=a,b#c", *JOB,
    ),
    "the job is followed": ("submit.sh", *SUBMIT, "--follow", *JOB),
    "the cloud is provisioned with all there is": ("provision.sh", *PROVISION, "--managed-kafka", "--subnet", "s1"),
}  # fmt: skip

MUST_BE_THERE = {
    "dataproc clusters create", "dataproc jobs list", "dataproc jobs submit", "iam service-accounts create",
    "storage buckets create", "storage buckets add-iam-policy-binding", "storage service-agent --project=p1",
    "projects add-iam-policy-binding p1", "functions deploy webevents-acme-load",
    "functions add-invoker-policy-binding webevents-acme-load",
}  # fmt: skip

NO_ACCOUNT = "You do not currently have an active account selected"

needs_gcloud = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")


@pytest.fixture
def signed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No account, whatever this machine has: so gcloud ends where it would first ask for one."""
    for name in os.environ:
        if name.startswith("CLOUDSDK_AUTH") or name in ("CLOUDSDK_CORE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
    monkeypatch.setenv("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "1")
    monkeypatch.setenv("CLOUDSDK_CORE_CHECK_GCE_METADATA", "0")


def shape(command: list[str]) -> tuple[str, ...]:
    """What tells gcloud's parser one command from another: its words and flags, without names and values."""
    end = command.index("--") if "--" in command else len(command)
    words = [word.split("=")[0] if word.startswith("--") else word for word in command[:end]]
    return tuple(word for word in words if "//" not in word and "acme" not in word)


def gcloud_commands() -> dict[tuple[str, ...], list[str]]:
    outputs = []
    for script, *words in RUNS.values():
        done = run_script(script, *words)
        assert done.returncode == 0, done.stderr
        outputs += printed_commands(done.stdout)
    return {shape(command): command for command in outputs if command[0] == "gcloud"}


def last_words(command: list[str]) -> str:
    """gcloud's answer to a command."""
    return run(command, cwd=ROOT).stderr


@needs_gcloud
@pytest.mark.usefixtures("signed_out")
def test_gcloud_stops_at_the_missing_account_and_not_at_a_flag() -> None:
    commands = list(gcloud_commands().values())
    assert {" ".join(command[1:4]) for command in commands} >= MUST_BE_THERE
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = list(pool.map(last_words, commands))
    assert {" ".join(c): a for c, a in zip(commands, answers, strict=True) if NO_ACCOUNT not in a} == {}


@needs_gcloud
@pytest.mark.usefixtures("signed_out")
def test_a_flag_that_gcloud_does_not_know_would_be_seen() -> None:
    answer = last_words(
        ["gcloud", "dataproc", "jobs", "submit", "pyspark", "gs://b/m.py", "--cluster=c", "--pyfiles=x"]
    )
    assert NO_ACCOUNT not in answer
    assert "unrecognized arguments" in answer
