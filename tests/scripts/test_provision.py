"""scripts/provision.sh creates what is missing, once, and refuses what cannot be."""

import re

import pytest

from tests.scripts.conftest import Checkout
from tests.scripts.shell import run, run_script

WORDS = ("--project", "p1", "--region", "europe-west1", "--name", "webevents-acme", "--cluster", "web")
CHANGES = re.compile(r" (create|deploy) ")


def provision(checkout: Checkout) -> list[str]:
    done = run([str(checkout.root / "scripts/provision.sh"), *WORDS], cwd=checkout.root, env=checkout.env)
    assert done.returncode == 0, done.stderr
    return checkout.log()


def test_the_second_run_changes_nothing(checkout: Checkout) -> None:
    first = [line for line in provision(checkout) if CHANGES.search(line)]
    assert len(first) == 4 + 3 + 1 + 1  # buckets, service accounts, function, cluster
    assert [line for line in provision(checkout) if CHANGES.search(line)] == []


def test_a_cluster_has_the_packages_that_the_image_lacks(checkout: Checkout) -> None:
    cluster = next(line for line in provision(checkout) if "clusters create" in line)
    packages = re.search(r"dataproc:pip\.packages=([^#]*)", cluster)
    assert packages is not None
    assert re.fullmatch(r"google-cloud-storage==[\d.]+,msgspec==[\d.]+", packages[1])


def test_a_changed_function_is_deployed_again(checkout: Checkout) -> None:
    provision(checkout)
    (checkout.root / "cloud_functions/main.py").write_text("# other\n")
    assert [line.split()[1:3] for line in provision(checkout) if CHANGES.search(line)] == [["functions", "deploy"]]


def test_a_right_is_granted_again_while_its_new_account_is_not_known_yet(checkout: Checkout) -> None:
    (checkout.cloud / "fail-once").touch()
    granted = [line for line in provision(checkout) if "dataproc.worker" in line]
    assert len(granted) == 2


def test_the_job_is_given_no_right_to_replace_what_it_published(checkout: Checkout) -> None:
    on_publish = [
        line for line in provision(checkout) if "binding gs://webevents-acme-publish" in line and "-job@" in line
    ]
    roles = {re.search(r"--role=roles/(\S+)", line)[1] for line in on_publish}  # type: ignore[index]
    assert roles == {"storage.objectCreator", "storage.objectViewer", "storage.legacyBucketReader"}


def test_the_role_of_a_cluster_leaves_out_what_is_published(checkout: Checkout) -> None:
    worker = next(line for line in provision(checkout) if "roles/dataproc.worker" in line)
    assert '--condition=expression=resource.type != "storage.googleapis.com/Object" || ' in worker
    assert '!resource.name.startsWith("projects/_/buckets/webevents-acme-publish/"),title=' in worker


def test_no_account_has_other_rights_than_these(checkout: Checkout) -> None:
    pattern = re.compile(r"add-iam-policy-binding (\S+) .*-(\w+)@p1\.iam.*--role=roles/(\S+)")
    found = (pattern.search(line) for line in provision(checkout))
    rights = {(match[2], match[1].rpartition("-")[2], match[3]) for match in found if match}
    assert rights == {
        ("job", "p1", "dataproc.worker"),
        ("job", "publish", "storage.legacyBucketReader"), ("job", "publish", "storage.objectCreator"),
        ("job", "publish", "storage.objectViewer"), ("job", "stage", "storage.legacyBucketReader"),
        ("job", "stage", "storage.objectAdmin"), ("job", "checkpoint", "storage.legacyBucketReader"),
        ("job", "checkpoint", "storage.objectAdmin"),
        ("load", "publish", "storage.objectViewer"), ("load", "letter", "storage.objectCreator"),
        ("load", "letter", "storage.objectViewer"), ("load", "p1", "bigquery.jobUser"),
        ("trigger", "p1", "eventarc.eventReceiver"),
    }  # fmt: skip
    granted = [line for line in provision(checkout) if "GRANT" in line]
    assert len(granted) == 1 and "roles/bigquery.dataEditor" in granted[0] and "webevents-acme-load@" in granted[0]


def test_nobody_but_the_trigger_may_call_the_function(checkout: Checkout) -> None:
    lines = provision(checkout)
    deployed = next(line for line in lines if "functions deploy" in line).split()
    assert {"--ingress-settings=internal-only", "--no-allow-unauthenticated"} <= set(deployed)
    assert "--run-service-account=webevents-acme-load@p1.iam.gserviceaccount.com" in deployed
    (invoker,) = [line for line in lines if "add-invoker-policy-binding" in line]
    assert "--member=serviceAccount:webevents-acme-trigger@p1.iam.gserviceaccount.com" in invoker
    assert not [line for line in lines if "allUsers" in line or "allAuthenticatedUsers" in line]


def test_no_bucket_can_be_made_public(checkout: Checkout) -> None:
    made = [line.split() for line in provision(checkout) if "buckets create" in line]
    assert len(made) == 4
    assert all({"--public-access-prevention", "--uniform-bucket-level-access"} <= set(words) for words in made)


def test_only_the_staging_bucket_deletes_by_age(checkout: Checkout) -> None:
    buckets = {line.split()[4]: line for line in provision(checkout) if "buckets create" in line}
    assert [url for url, line in buckets.items() if "--lifecycle-file" in line] == ["gs://webevents-acme-stage"]
    undeleted = {url for url, line in buckets.items() if "--soft-delete-duration=0s" in line}
    assert undeleted == {"gs://webevents-acme-stage", "gs://webevents-acme-checkpoint"}
    assert "--enable-hierarchical-namespace" in buckets["gs://webevents-acme-checkpoint"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(["--dryrun"], "--dryrun: no such flag; did you mean --dry-run?", id="a misspelt flag"),
        pytest.param(["--project"], "--project: wants a value", id="a flag without its value"),
        pytest.param(["--project", "--name"], "--project: wants a value", id="a flag in a value's place"),
        pytest.param(["x"], "x: no word is expected here; --help lists the flags", id="a word that is no flag"),
        pytest.param(
            ["--region=r"],
            "--project, --name: required, not given; --help lists the flags",
            id="required flags missing",
        ),
        pytest.param(
            [*WORDS, "--name", "Acme"],
            "--name: want 3 to 22 lower-case letters, digits and -, from a letter on, got Acme",
            id="a name that no bucket can have",
        ),
        pytest.param(
            [*WORDS, "--image", "2.2"],
            "--image: 2.2 is not one of 3.0, 2.3; did you mean 2.3?",
            id="an image without jars",
        ),
        pytest.param([*WORDS, "--workers", "0"], "--workers: want a number from 1, got 0", id="no workers"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(words: list[str], sentence: str) -> None:
    done = run_script("provision.sh", *words)
    assert (done.returncode, done.stderr) == (78, f"provision.sh: {sentence}\n")
