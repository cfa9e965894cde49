# shellcheck shell=bash
# What the scripts share. Sourced, never run; the script that sources it sets PROGRAM, its name in messages.

EX_CONFIG=78
# shellcheck disable=SC2034  # for the scripts that source this
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What Spark 4.1 and 3.5 and Kafka 4.1 all run on.
JAVA_MIN=17
JAVA_MAX=21

say() {
  printf '%s\n' "== $*" >&2
}

# One sentence for the operator, and the exit code that says: retrying cannot help.
die() {
  printf '%s: %s\n' "$PROGRAM" "$*" >&2
  exit "$EX_CONFIG"
}

# The text between the first two lines that are only `#:` in the calling script.
usage() {
  sed -n '/^#:$/,/^#:$/{/^#:$/d;s/^#: \{0,1\}//p;}' "$0"
}

# distance A B: how many letters to add, drop or change to make A into B.
distance() {
  local a=$1 b=$2 i j cost above
  local -a row
  for ((j = 0; j <= ${#b}; j++)); do row[j]=$j; done
  for ((i = 1; i <= ${#a}; i++)); do
    local diagonal=${row[0]}
    row[0]=$i
    for ((j = 1; j <= ${#b}; j++)); do
      above=${row[j]}
      [[ ${a:i-1:1} == "${b:j-1:1}" ]] && cost=0 || cost=1
      row[j]=$((diagonal + cost))
      if ((above + 1 < row[j])); then row[j]=$((above + 1)); fi
      if ((row[j - 1] + 1 < row[j])); then row[j]=$((row[j - 1] + 1)); fi
      diagonal=$above
    done
  done
  printf '%s\n' "${row[${#b}]}"
}

# nearest WORD KNOWN...: the known word with the least distance.
nearest() {
  local word=$1 best='' least=1000 known far
  shift
  for known in "$@"; do
    far=$(distance "$word" "$known")
    if ((far < least)); then
      least=$far
      best=$known
    fi
  done
  printf '%s\n' "$best"
}

unknown_flag() {
  local given=$1
  shift
  [[ $given == -* ]] || die "$given: no word is expected here; --help lists the flags"
  die "$given: no such flag; did you mean $(nearest "$given" "$@")?"
}

# take FLAG [VALUE ...]: puts the flag's value into VALUE, or says that it lacks one.
take() {
  [[ $# -ge 2 && -n $2 && $2 != --* ]] || die "$1: wants a value"
  # shellcheck disable=SC2034  # the caller's
  VALUE=$2
}

# java_major PATH: 17 for "17.0.15", 8 for "1.8.0_402"; nothing when it does not run.
java_major() {
  "$1" -version 2>&1 | sed -n 's/.* version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p' | head -n 1
}

fits_java() {
  local major
  [[ -x $1 ]] || return 1
  major=$(java_major "$1")
  [[ -n $major ]] && ((major >= JAVA_MIN && major <= JAVA_MAX))
}

# The Java to use, as a path: JAVA_HOME's, the PATH's, then any that is installed. Nothing when none fits.
find_java() {
  local java
  for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
    if [[ -n $java ]] && fits_java "$java"; then
      printf '%s\n' "$java"
      return
    fi
  done
}

# Makes spark-submit and the broker take the Java that fits, where it is not the one they would find themselves.
use_java() {
  local java
  java=$(find_java)
  [[ -n $java ]] || die "Java $JAVA_MIN to $JAVA_MAX is missing; scripts/setup.sh installs it"
  if [[ -n ${JAVA_HOME:-} || $java != "$(command -v java || true)" ]]; then
    JAVA_HOME=$(dirname "$(dirname "$(readlink -f "$java")")")
    export JAVA_HOME
  fi
}

# quoted WORD...: the command as one line that a shell reads back unchanged.
quoted() {
  local word line=''
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]]; then line+=" $word"; else line+=" $(single_quoted "$word")"; fi
  done
  printf '%s\n' "${line# }"
}

single_quoted() {
  local escaped=${1//\'/\'\\\'\'}
  printf "'%s'\n" "$escaped"
}

# The checkout's own Python, else the system's.
any_python() {
  if [[ -x $ROOT/.venv/bin/python ]]; then
    printf '%s\n' "$ROOT/.venv/bin/python"
  else
    command -v python3 || die 'Python 3 is missing; scripts/setup.sh installs it'
  fi
}

product_version() {
  sed -n 's/^__version__ = "\(.*\)"/\1/p' "$ROOT/contract/__init__.py"
}

# pinned PACKAGE...: name==version as scripts/constraints.txt has them, with commas between.
pinned() {
  local name line=''
  for name in "$@"; do
    line+=",$(grep -E "^$name==[^;]*(;.*>=.*)?$" "$ROOT/scripts/constraints.txt" | sed 's/;.*//')"
  done
  printf '%s\n' "${line#,}"
}

# shown WORD...: the same, over several lines where it is long: a flag a line.
shown() {
  local line word
  line=$(quoted "$@")
  if ((${#line} > 110)); then
    line=''
    for word in "$@"; do
      if [[ $word == --?* ]]; then line+=" \\"$'\n   '; fi
      line+=" $(quoted "$word")"
    done
  fi
  printf '%s\n' "${line# }"
}

# joined SEPARATOR WORD...
joined() {
  local separator=$1 line=$2 word
  shift 2
  for word in "$@"; do line+=$separator$word; done
  printf '%s\n' "$line"
}

# as_map KEY=VALUE...: one argument for gcloud; another delimiter, announced as ^#^, where a comma stands in a value.
as_map() {
  local delimiter all
  all=$(joined '' "$@")
  for delimiter in ',' '#' '|' ';' '~'; do
    [[ $all == *"$delimiter"* ]] || break
  done
  if [[ $delimiter == , ]]; then joined , "$@"; else printf '^%s^%s\n' "$delimiter" "$(joined "$delimiter" "$@")"; fi
}

# run WHY COMMAND...: shows the command and runs it; with dry_run set, only prints it, ready to paste.
run() {
  local why=$1
  shift
  if [[ -n ${dry_run:-} ]]; then
    printf '\n# %s\n%s\n' "$why" "$(shown "$@")"
  else
    say "$why"
    "$@"
  fi
}
