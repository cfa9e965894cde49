#!/usr/bin/env bash
#:
#: usage: scripts/submit.sh --region REGION --cluster CLUSTER --name NAME [--FLAG VALUE ...] -- --kafka-servers HOST:PORT [JOB FLAG ...]
#:
#: Sends the streaming job to a Dataproc cluster: packs contract and streaming as one .zip, fetches the Kafka jars of
#: the cluster's image, uploads both with main.py, and submits with Dataproc's restart settings.
#:
#:   --project PROJECT   Google Cloud project (default: gcloud's own)
#:   --region REGION     region of the cluster
#:   --cluster CLUSTER   the cluster; scripts/provision.sh --cluster creates one
#:   --name NAME         the name given to scripts/provision.sh: the job publishes to gs://NAME-publish, stages in
#:                       gs://NAME-stage/batches, has its checkpoint in gs://NAME-checkpoint/sessions and its code in
#:                       gs://NAME-checkpoint/code. Job flags after -- stand above these.
#:   --code GS_FOLDER    folder for code and jars, instead of NAME's; nothing there may be deleted while the job lives
#:   --image LINE        the cluster's image: 3.0 (default; Spark 4.1, Scala 2.13) or 2.3 (Spark 3.5, Scala 2.12)
#:   --jar URI           another jar, e.g. one for Kafka's authentication; may be repeated
#:   --property K=V      a Spark property, e.g. spark.executor.instances=4; may be repeated, and stands above those that
#:                       this script sets: memory for two cores an executor, as on machines like n2-standard-4
#:   --label K=V         a label of the job; may be repeated
#:   --follow            stay and show the driver's output; the job goes on when you leave
#:   --dry-run           print the commands, ready to paste, and run none; needs neither account nor network
#:   -h, --help          this text
#:
#: All after -- goes to the job: --kafka-servers, --topic, --trigger, --watermark-seconds, --window-seconds,
#: --max-offsets-per-trigger, --shuffle-partitions, --kafka-option KEY=VALUE ... They are checked here first.
#: A job that runs already on the same checkpoint is not joined by a second one.
#:
set -euo pipefail
PROGRAM=submit.sh
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

FLAGS=(--project --region --cluster --name --code --image --jar --property --label --follow --dry-run --help)
IMAGES=(3.0 2.3)

# On both images, beside the class path: it has to be named.
SPARK_AVRO=file:///usr/lib/spark/connector/spark-avro.jar

# As local/job.py has them.
MALLOC=glibc.malloc.hugetlb=1
JVM='-XX:+UseParallelGC -XX:+UseTransparentHugePages -XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=6000 -XX:Tier4CompileThreshold=150000'

# Dataproc's highest. A job fails for good after more than 4 failures in 10 minutes; the job's own back-off keeps below.
FAILURES_PER_HOUR=10
FAILURES_TOTAL=240

project='' region='' cluster='' name='' code='' image=3.0 follow='' dry_run=''
jars=() properties=() labels=() job_flags=()

main() {
  read_flags "$@"
  check_flags
  cd "$ROOT"
  local checkpoint
  checkpoint=$(check_job_flags)
  local line=dataproc-$image archive folder
  archive=$(scripts/build.sh job)
  fetch_jars "$line"
  folder=$code/$(product_version)-$(digest "$archive" streaming/main.py "jars/$line.txt")
  upload "$line" "$archive" "$folder"
  refuse_second_job "$checkpoint"
  submit "$line" "$archive" "$folder" "$checkpoint"
}

read_flags() {
  while (($#)); do
    case $1 in
      --) shift && job_flags=("$@") && return ;;
      --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && continue ;;
      --project | --region | --cluster | --name | --code | --image)
        take "$@"
        printf -v "${1#--}" '%s' "$VALUE"
        shift
        ;;
      --jar) take "$@" && jars+=("$VALUE") && shift ;;
      --property) take "$@" && properties+=("$VALUE") && shift ;;
      --label) take "$@" && labels+=("$VALUE") && shift ;;
      --follow) follow=1 ;;
      --dry-run) dry_run=1 ;;
      -h | --help) usage && exit 0 ;;
      *) unknown_flag "$1" "${FLAGS[@]}" ;;
    esac
    shift
  done
}

check_flags() {
  local -a missing=()
  [[ -n $region ]] || missing+=(--region)
  [[ -n $cluster ]] || missing+=(--cluster)
  [[ -n $name || -n $code ]] || missing+=('--name (or --code)')
  ((${#missing[@]} == 0)) || die "$(joined ', ' "${missing[@]}"): required, not given; --help lists the flags"
  [[ " ${IMAGES[*]} " == *" $image "* ]] || die "--image: $image is not one of $(joined ', ' "${IMAGES[@]}"); did you mean $(nearest "$image" "${IMAGES[@]}")?"
  [[ -z $code || $code == gs://?* ]] || die "--code: want gs://bucket/folder, got $code"
  local pair
  for pair in ${properties[@]+"${properties[@]}"} ${labels[@]+"${labels[@]}"}; do
    [[ $pair == ?*=* ]] || die "want key=value, got $pair"
  done
  code=${code:-gs://$name-checkpoint/code}
  code=${code%/}
  if [[ -n $name ]]; then
    job_flags=(--target "gs://$name-publish" --stage "gs://$name-stage/batches" --checkpoint "gs://$name-checkpoint/sessions"
      ${job_flags[@]+"${job_flags[@]}"})
  fi
  [[ -n $dry_run ]] || command -v gcloud >/dev/null || die 'gcloud is missing; install the Google Cloud SDK, or use --dry-run'
}

# Prints the job's checkpoint; a flag that the job would refuse is refused here, before anything is uploaded.
check_job_flags() {
  PYTHONPATH=$ROOT "$(any_python)" - ${job_flags[@]+"${job_flags[@]}"} <<'PY'
import sys

from contract.failures import WebeventsError
from contract.settings import read_flags
from streaming.settings import Settings

try:
    settings = read_flags(Settings, sys.argv[1:], prog="scripts/submit.sh ... --", description="Flags of the job.")
except WebeventsError as error:
    sys.stderr.write(f"submit.sh: after --: {error}\n")
    raise SystemExit(error.exit_code)
sys.stdout.write(settings.checkpoint)
PY
}

fetch_jars() {
  if [[ -z $dry_run && ! -x .venv/bin/python ]]; then scripts/setup.sh; fi
  run 'the Kafka jars of the image; spark-avro is there already' "$(relative_python)" jars/fetch.py "$1"
}

upload() {
  local line=$1 archive=$2 folder=$3 jar
  local -a files=("$archive" streaming/main.py)
  while read -r jar; do files+=("jars/$line/$jar"); done < <(jar_names "$line")
  run 'code and jars, in a folder named by their content' \
    gcloud storage cp "${files[@]}" "$folder/" --no-clobber ${project:+"--project=$project"}
}

# The file names of a line, known without fetching: artifact-version.jar
jar_names() {
  sed -n 's/^[0-9a-f-][0-9a-f]* *[^:# ]*:\([^: ]*\):\([^ ]*\).*/\1-\2.jar/p' "jars/$1.txt"
}

refuse_second_job() {
  local label=webevents-checkpoint running
  label+=$(printf '=%s' "$(label_of "$1")")
  local -a command=(gcloud dataproc jobs list "--region=$region" "--state-filter=active" "--filter=labels.$label"
    "--format=value(reference.jobId)" ${project:+"--project=$project"})
  if [[ -n $dry_run ]]; then
    run 'must print nothing: two jobs on one checkpoint would stop each other' "${command[@]}"
    return
  fi
  running=$("${command[@]}")
  [[ -z $running ]] || die "job $running runs on the checkpoint $1 already; cancel it first: gcloud dataproc jobs kill $running --region=$region"
}

submit() {
  local line=$1 archive=$2 folder=$3 checkpoint=$4 jar
  local -a urls=("$SPARK_AVRO") async=(--async)
  while read -r jar; do urls+=("$folder/$jar"); done < <(jar_names "$line")
  urls+=(${jars[@]+"${jars[@]}"})
  # A lost executor's work moves on, however long the job runs; the number of executors stays: each holds state.
  # Two cores an executor, as the images have it: a heap for Spark, and beside it two Python workers a core.
  local -a all_properties=(spark.dynamicAllocation.enabled=false spark.executor.failuresValidityInterval=1h
    spark.executor.memory=3584m spark.executor.memoryOverhead=2g "spark.executor.extraJavaOptions=$JVM"
    "spark.executorEnv.GLIBC_TUNABLES=$MALLOC"
    ${properties[@]+"${properties[@]}"})
  local -a all_labels=(app=webevents "webevents-version=$(label_text "$(product_version)")"
    "webevents-checkpoint=$(label_of "$checkpoint")" ${labels[@]+"${labels[@]}"})
  if [[ -n $follow ]]; then async=(); fi
  run 'the job; after a failure Dataproc starts it again' \
    gcloud dataproc jobs submit pyspark "$folder/main.py" ${project:+"--project=$project"} "--region=$region" "--cluster=$cluster" \
    "--py-files=$folder/$(basename "$archive")" "--jars=$(joined , "${urls[@]}")" "--properties=$(as_map "${all_properties[@]}")" \
    "--max-failures-per-hour=$FAILURES_PER_HOUR" "--max-failures-total=$FAILURES_TOTAL" "--labels=$(as_map "${all_labels[@]}")" \
    ${async[@]+"${async[@]}"} -- "${job_flags[@]}"
}

# digest FILE...: twelve hex digits of their content.
digest() {
  "$(any_python)" -c 'import hashlib, pathlib, sys
print(hashlib.sha256(b"".join(pathlib.Path(name).read_bytes() for name in sys.argv[1:])).hexdigest()[:12])' "$@"
}

# A label's value has at most 63 lower-case letters, digits, - and _, so an address is told by its checksum.
label_of() {
  printf '%s' "$1" | cksum | cut -d ' ' -f 1
}

label_text() {
  printf '%s\n' "${1//[^a-z0-9_-]/-}"
}

relative_python() {
  if [[ -x .venv/bin/python || -n $dry_run ]]; then echo .venv/bin/python; else any_python; fi
}

main "$@"
