"""scripts/submit.sh sends the job once, with all it needs, and refuses what the job would refuse."""

import pytest

from local.job import JVM, MALLOC
from tests.scripts.conftest import Checkout
from tests.scripts.shell import printed_commands, run, run_script

CLOUD = ("--region", "europe-west1", "--cluster", "web", "--name", "acme")
JOB = ("--", "--kafka-servers", "broker:9092")


def submit(checkout: Checkout, **env: str) -> tuple[int, str, list[str]]:
    done = run([str(checkout.root / "scripts/submit.sh"), *CLOUD, *JOB], cwd=checkout.root, env={**checkout.env, **env})
    return done.returncode, done.stderr, checkout.log()


def dry_run(*words: str) -> list[str]:
    """The words of the command that submits."""
    done = run_script("submit.sh", *CLOUD, "--dry-run", *words)
    assert done.returncode == 0, done.stderr
    return printed_commands(done.stdout)[-1]


def flag(command: list[str], name: str) -> str:
    return next(word.partition("=")[2] for word in command if word.startswith(f"{name}="))


def test_the_code_is_uploaded_before_the_job_is_submitted(checkout: Checkout) -> None:
    code, stderr, log = submit(checkout)
    assert code == 0, stderr
    assert [" ".join(line.split()[1:4]) for line in log] == [
        "storage cp dist/webevents-0.1.0.zip", "dataproc jobs list", "dataproc jobs submit",
    ]  # fmt: skip


def test_no_second_job_is_submitted_on_a_checkpoint_that_is_in_use(checkout: Checkout) -> None:
    code, stderr, log = submit(checkout, FAKE_RUNNING="job-7")
    assert code == 78
    assert "job job-7 runs on the checkpoint gs://acme-checkpoint/sessions already" in stderr
    assert not [line for line in log if "jobs submit" in line]


@pytest.mark.parametrize(("image", "scala"), [("3.0", "2.13"), ("2.3", "2.12")])
def test_the_jars_are_those_of_the_image(image: str, scala: str) -> None:
    jars = flag(dry_run("--image", image, *JOB), "--jars").split(",")
    assert len(jars) == 5
    assert jars[0] == "file:///usr/lib/spark/connector/spark-avro.jar"
    assert any(f"spark-sql-kafka-0-10_{scala}-" in jar for jar in jars)


def test_job_flags_given_stand_above_those_that_the_name_implies() -> None:
    command = dry_run("--", "--kafka-servers", "b:9092", "--checkpoint", "gs://mine/c", "--topic", "it's mine")
    job = command[command.index("--") + 1 :]
    assert job[-4:] == ["--checkpoint", "gs://mine/c", "--topic", "it's mine"]
    assert job[:2] == ["--target", "gs://acme-publish"]


def test_executors_have_the_flags_that_the_benchmark_was_run_with() -> None:
    properties = flag(dry_run(*JOB), "--properties").split(",")
    assert f"spark.executor.extraJavaOptions={JVM}" in properties
    assert f"spark.executorEnv.GLIBC_TUNABLES={MALLOC}" in properties


def test_a_comma_in_a_property_does_not_cut_it() -> None:
    assert flag(dry_run("--property", "spark.x=a,b", *JOB), "--properties").startswith("^#^spark.")


def test_restarts_stay_within_what_dataproc_allows() -> None:
    command = dry_run(*JOB)
    assert (flag(command, "--max-failures-per-hour"), flag(command, "--max-failures-total")) == ("10", "240")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(["--regoin", "r"], "--regoin: no such flag; did you mean --region?", id="a misspelt flag"),
        pytest.param(
            ["--region", "r", "--name", "n"], "--cluster: required, not given; --help lists the flags", id="no cluster"
        ),
        pytest.param(["--cluster="], "--cluster: wants a value", id="an empty value"),
        pytest.param(
            [*CLOUD, "--image", "3.1"], "--image: 3.1 is not one of 3.0, 2.3; did you mean 3.0?", id="an unknown image"
        ),
        pytest.param([*CLOUD, "--property", "x"], "want key=value, got x", id="a property without a value"),
        pytest.param(
            [*CLOUD, "--code", "/tmp"], "--code: want gs://bucket/folder, got /tmp", id="code outside the cloud"
        ),
        pytest.param(
            [*CLOUD, "--dry-run", *JOB, "--tpic", "t"],
            "after --: settings at fault:\n  --tpic: unknown; did you mean --topic?",
            id="a misspelt flag of the job",
        ),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(words: list[str], sentence: str) -> None:
    done = run_script("submit.sh", *words)
    assert (done.returncode, done.stderr) == (78, f"submit.sh: {sentence}\n")
