#!/usr/bin/env bash
#:
#: usage: scripts/build_tag.sh [--check]
#:
#: Minifies collector/tag.js into collector/tag.min.js, which is what browsers get and what the wheel carries, and
#: notes in collector/tag.lock which source it was made of and by which version of terser. Needs Node.js.
#:
#:   --check     changes nothing; exit code 1 when a fresh build differs from the files
#:   -h, --help  this text
#:
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VERSION=5.51.2

main() {
  case ${1:-} in
    --check) check ;;
    -h | --help) grep '^#:' "${BASH_SOURCE[0]}" | cut -c 4- ;;
    '') minify >"$ROOT/collector/tag.min.js" && lock >"$ROOT/collector/tag.lock" ;;
    *) echo "build_tag.sh: $1: no such flag; --help lists them" >&2 && exit 78 ;;
  esac
}

minify() {
  terser "$ROOT/collector/tag.js" --ecma 2020 --compress passes=3,unsafe_arrows=true --mangle
}

terser() {
  if [[ -x $ROOT/node_modules/.bin/terser ]]; then
    "$ROOT/node_modules/.bin/terser" "$@"
  else
    npm exec --yes --package="terser@$VERSION" -- terser "$@"
  fi
}

lock() {
  echo "terser $VERSION"
  (cd "$ROOT/collector" && sha256sum tag.js tag.min.js)
}

check() {
  local fresh
  fresh=$(mktemp)
  minify >"$fresh"
  cmp "$fresh" "$ROOT/collector/tag.min.js"
  rm -f "$fresh"
}

main "$@"
