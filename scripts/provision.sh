#!/usr/bin/env bash
#:
#: usage: scripts/provision.sh --project PROJECT --region REGION --name NAME [--cluster CLUSTER] [--FLAG VALUE ...]
#:
#: Creates what webevents needs on Google Cloud, and leaves alone what is there: buckets, service accounts with their
#: rights, the BigQuery dataset with its tables and view, the function that loads each batch, and on request a
#: Dataproc cluster. A second run changes nothing.
#:
#:   --project PROJECT   Google Cloud project
#:   --region REGION     region of everything, e.g. europe-west1: buckets, trigger and function must lie together
#:   --name NAME         what all names begin with: 3 to 22 lower-case letters, digits and -. Bucket names are the
#:                       world's, so take one that nobody else has, e.g. webevents-acme
#:   --dataset DATASET   BigQuery dataset (default: webevents)
#:   --location PLACE    where the dataset lies (default: the region; EU or US are possible too)
#:   --max-instances N   instances of the function at most (default: 3)
#:   --managed-kafka     let the job read Google's Managed Service for Apache Kafka
#:   --cluster CLUSTER   also create this Dataproc cluster
#:   --image LINE        its image: 3.0 (default) or 2.3
#:   --machine MACHINE   its machine type (default: n2-standard-4)
#:   --workers N         its primary workers (default: 2)
#:   --subnet SUBNET     its subnet (default: the region's of the network `default`)
#:   --dry-run           print the commands, ready to paste, and run none; needs neither account nor network
#:   -h, --help          this text
#:
#: Made: gs://NAME-publish, NAME-stage, NAME-checkpoint, NAME-dead-letter; service accounts NAME-job, NAME-load,
#: NAME-trigger; function NAME-load.
#:
set -euo pipefail
PROGRAM=provision.sh
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

FLAGS=(--project --region --name --dataset --location --max-instances --managed-kafka --cluster --image --machine --workers
  --subnet --dry-run --help)
APIS=(artifactregistry bigquery cloudbuild cloudfunctions dataproc eventarc iam logging pubsub run storage)

# Deleted after this many days: attempts that a crash left behind. A batch is published within minutes.
STAGE_DAYS=7

project='' region='' name='' dataset=webevents location='' max_instances=3 managed_kafka='' cluster='' image=3.0
machine=n2-standard-4 workers=2 subnet='' dry_run=''

main() {
  read_flags "$@"
  check_flags
  cd "$ROOT"
  enable_apis
  create_buckets
  create_accounts
  grant_rights
  create_tables
  deploy_function
  if [[ -n $cluster ]]; then create_cluster; fi
}

read_flags() {
  while (($#)); do
    case $1 in
      --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && continue ;;
      --project | --region | --name | --dataset | --location | --max-instances | --cluster | --image | --machine | --workers | --subnet)
        take "$@"
        local variable=${1#--}
        printf -v "${variable//-/_}" '%s' "$VALUE"
        shift
        ;;
      --managed-kafka) managed_kafka=1 ;;
      --dry-run) dry_run=1 ;;
      -h | --help) usage && exit 0 ;;
      *) unknown_flag "$1" "${FLAGS[@]}" ;;
    esac
    shift
  done
}

check_flags() {
  local -a missing=()
  [[ -n $project ]] || missing+=(--project)
  [[ -n $region ]] || missing+=(--region)
  [[ -n $name ]] || missing+=(--name)
  ((${#missing[@]} == 0)) || die "$(joined ', ' "${missing[@]}"): required, not given; --help lists the flags"
  [[ $name =~ ^[a-z][a-z0-9-]{1,20}[a-z0-9]$ ]] || die "--name: want 3 to 22 lower-case letters, digits and -, from a letter on, got $name"
  [[ $dataset =~ ^[A-Za-z0-9_]+$ ]] || die "--dataset: want letters, digits and _, got $dataset"
  [[ $max_instances =~ ^[1-9][0-9]*$ ]] || die "--max-instances: want a number from 1, got $max_instances"
  [[ $workers =~ ^[1-9][0-9]*$ ]] || die "--workers: want a number from 1, got $workers"
  image_suffix >/dev/null
  location=${location:-$region}
  [[ -n $dry_run ]] || command -v gcloud >/dev/null || die 'gcloud is missing; install the Google Cloud SDK, or use --dry-run'
}

image_suffix() {
  case $image in
    3.0) echo debian13 ;;
    2.3) echo debian12 ;;
    *) die "--image: $image is not one of 3.0, 2.3; did you mean $(nearest "$image" 3.0 2.3)?" ;;
  esac
}

account() {
  printf '%s\n' "$name-$1@$project.iam.gserviceaccount.com"
}

# --- what exists is left alone ------------------------------------------------------------------------------

# unless_there WHY PROBE... -- COMMAND...: the command, unless the probe finds what it would make.
unless_there() {
  local why=$1
  local -a probe=()
  shift
  while [[ $1 != -- ]]; do
    probe+=("$1")
    shift
  done
  shift
  if [[ -n $dry_run ]]; then
    printf '\n# %s\n%s >/dev/null 2>&1 ||\n  %s\n' "$why" "$(shown "${probe[@]}")" "$(shown "$@")"
  elif "${probe[@]}" >/dev/null 2>&1; then
    say "$why: there"
  else
    say "$why"
    "$@"
  fi
}

enable_apis() {
  local -a all=("${APIS[@]/%/.googleapis.com}")
  if [[ -n $managed_kafka ]]; then all+=(managedkafka.googleapis.com); fi
  run 'the APIs in use' gcloud services enable "${all[@]}" "--project=$project"
}

create_buckets() {
  local lifecycle=build/stage-lifecycle.json
  mkdir -p build
  printf '{"rule": [{"action": {"type": "Delete"}, "condition": {"age": %d}}]}\n' "$STAGE_DAYS" >"$lifecycle"
  create_bucket publish 'published batches; their events start the loads'
  create_bucket stage "batches being written; deleted after $STAGE_DAYS days, and then really" \
    --soft-delete-duration=0s "--lifecycle-file=$lifecycle"
  create_bucket checkpoint 'checkpoint and code; nothing here is ever deleted by a rule; renames of folders are atomic' \
    --soft-delete-duration=0s --enable-hierarchical-namespace
  create_bucket dead-letter 'records of loads that cannot succeed; no trigger looks here'
}

create_bucket() {
  local url=gs://$name-$1 why=$2
  shift 2
  unless_there "bucket $url: $why" gcloud storage buckets describe "$url" "--project=$project" -- \
    gcloud storage buckets create "$url" "--project=$project" "--location=$region" --uniform-bucket-level-access \
    --public-access-prevention "$@"
}

create_accounts() {
  create_account job 'webevents: the Spark job'
  create_account load 'webevents: the function that loads batches'
  create_account trigger 'webevents: calls the function'
}

create_account() {
  unless_there "service account $name-$1" gcloud iam service-accounts describe "$(account "$1")" "--project=$project" -- \
    gcloud iam service-accounts create "$name-$1" "--project=$project" "--display-name=$2"
}

# --- rights: granting one again changes nothing -------------------------------------------------------------

grant_rights() {
  grant_worker
  if [[ -n $managed_kafka ]]; then grant_project job roles/managedkafka.client; fi
  local bucket
  for bucket in stage checkpoint publish; do
    grant_bucket "$bucket" job roles/storage.legacyBucketReader
  done
  grant_bucket stage job roles/storage.objectAdmin
  grant_bucket checkpoint job roles/storage.objectAdmin
  grant_bucket publish job roles/storage.objectCreator
  grant_bucket publish job roles/storage.objectViewer
  grant_bucket publish load roles/storage.objectViewer
  grant_bucket dead-letter load roles/storage.objectCreator
  grant_bucket dead-letter load roles/storage.objectViewer
  grant_project load roles/bigquery.jobUser
  grant_project trigger roles/eventarc.eventReceiver
  grant_storage_agent
}

# A cluster's account needs this role, and the role can delete objects anywhere in the project: not what is published.
grant_worker() {
  local objects='resource.type != "storage.googleapis.com/Object"'
  local published="resource.name.startsWith(\"projects/_/buckets/$name-publish/\")"
  grant_project job roles/dataproc.worker "expression=$objects || !$published,title=$name: not what is published"
}

# grant_project ACCOUNT ROLE [CONDITION]
grant_project() {
  run_patiently "$name-$1: $2" gcloud projects add-iam-policy-binding "$project" \
    "--member=serviceAccount:$(account "$1")" "--role=$2" "--condition=${3:-None}" '--format=value(etag)'
}

grant_bucket() {
  run_patiently "$name-$2 on gs://$name-$1: $3" gcloud storage buckets add-iam-policy-binding "gs://$name-$1" \
    "--member=serviceAccount:$(account "$2")" "--role=$3" "--project=$project" '--format=value(etag)'
}

# Cloud Storage sends its events through Pub/Sub, as an account of its own.
grant_storage_agent() {
  local why='Cloud Storage may publish its events' agent
  local -a lookup=(gcloud storage service-agent "--project=$project")
  local -a grant=(gcloud projects add-iam-policy-binding "$project" --role=roles/pubsub.publisher --condition=None
    '--format=value(etag)')
  if [[ -n $dry_run ]]; then
    # shellcheck disable=SC2016  # whoever pastes it expands it
    printf '\n# %s\n%s \\\n  "--member=serviceAccount:$(%s)"\n' "$why" "$(shown "${grant[@]}")" "$(quoted "${lookup[@]}")"
    return
  fi
  agent=$("${lookup[@]}")
  run_patiently "$why" "${grant[@]}" "--member=serviceAccount:$agent"
}

# A new account is known everywhere only after a while: granting it a right may fail for a minute.
run_patiently() {
  local try
  if [[ -n $dry_run ]]; then
    run "$@"
    return
  fi
  say "$1"
  for try in 1 2 3 4 5 6; do
    "${@:2}" && return
    say "try $try of 6 failed"
    ((try == 6)) || sleep "${WEBEVENTS_RETRY_SECONDS:-15}"
  done
  die "$1: could not be granted; the message above says why"
}

# --- tables, function, cluster ------------------------------------------------------------------------------

create_tables() {
  if [[ -z $dry_run && ! -x .venv/bin/webevents ]]; then scripts/setup.sh; fi
  run "dataset $dataset, its tables and its view" \
    .venv/bin/webevents warehouse apply "--project=$project" "--dataset=$dataset" "--location=$location"
  local statement
  statement="GRANT \`roles/bigquery.dataEditor\` ON SCHEMA \`$project\`.$dataset TO \"serviceAccount:$(account load)\""
  run_patiently "$name-load on the dataset: roles/bigquery.dataEditor" \
    bq query "--project_id=$project" "--location=$location" --use_legacy_sql=false --format=none "$statement"
}

# The label says which sources and settings run, so an unchanged function is not built again.
deploy_function() {
  local function=$name-load source digest
  source=$(scripts/build.sh function)
  local -a settings=("--env-vars-file=build/load-env.yaml" "--max-instances=$max_instances" --timeout=540 --concurrency=8 --cpu=1
    --memory=512Mi --ingress-settings=internal-only --no-allow-unauthenticated
    "--run-service-account=$(account load)" "--trigger-service-account=$(account trigger)")
  function_environment >build/load-env.yaml
  digest=$({ find "$source" -type f -print0 | sort -z | xargs -0 cat && cat build/load-env.yaml && printf '%s\n' "${settings[@]}"; } |
    cksum | cut -d ' ' -f 1)
  local -a describe=(gcloud functions describe "$function" --gen2 "--project=$project" "--region=$region"
    '--format=value(labels.webevents-source)')
  if [[ -z $dry_run && $("${describe[@]}" 2>/dev/null) == "$digest" ]]; then
    say "function $function: there, with these sources and settings"
  else
    run "function $function: loads each published batch; an event comes again until its load is done" \
      gcloud functions deploy "$function" --gen2 "--project=$project" "--region=$region" --runtime=python312 \
      "--source=$source" --entry-point=on_object_finalized --retry \
      --trigger-event-filters=type=google.cloud.storage.object.v1.finalized "--trigger-event-filters=bucket=$name-publish" \
      "--trigger-location=$region" "${settings[@]}" "--update-labels=app=webevents,webevents-source=$digest" --quiet
  fi
  run_patiently "$name-trigger may call it" gcloud functions add-invoker-policy-binding "$function" \
    "--project=$project" "--region=$region" "--member=serviceAccount:$(account trigger)"
}

function_environment() {
  printf 'WEBEVENTS_%s: "%s"\n' PROJECT "$project" DATASET "$dataset" LOCATION "$location" DEAD_LETTER "gs://$name-dead-letter"
}

create_cluster() {
  local packages
  packages=$(pinned google-cloud-storage msgspec)
  local -a properties=("dataproc:pip.packages=$packages" dataproc:dataproc.logging.stackdriver.job.driver.enable=true)
  local -a network=()
  if [[ -n $subnet ]]; then network=("--subnet=$subnet"); fi
  unless_there "cluster $cluster, image $image" \
    gcloud dataproc clusters describe "$cluster" "--project=$project" "--region=$region" -- \
    gcloud dataproc clusters create "$cluster" "--project=$project" "--region=$region" \
    "--image-version=$image-$(image_suffix)" "--service-account=$(account job)" --scopes=cloud-platform \
    "--master-machine-type=$machine" "--worker-machine-type=$machine" "--num-workers=$workers" \
    "--properties=$(as_map "${properties[@]}")" --labels=app=webevents ${network[@]+"${network[@]}"}
}

main "$@"
