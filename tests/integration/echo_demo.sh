#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# echo_demo.sh <directory of the examples>: runs the echo server under its load, in each form, and
# checks what both say.
set -euo pipefail
cd "$1"
log=$(mktemp)
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true; rm -f "$log"' EXIT
fail() {
  echo "echo_demo: $*" >&2
  cat "$log" >&2
  exit 1
}
for form in "--workers 2" "--current-thread"; do
  : >"$log"  # else the address of the last server is found there
  set -m
  # shellcheck disable=SC2086
  ./echo_tcp --listen 127.0.0.1:0 $form >"$log" 2>&1 &
  server=$!
  set +m
  address=
  for _ in $(seq 100); do
    address=$(sed -n 's/^listening on //p;T;q' "$log")
    [ -n "$address" ] && break
    sleep 0.1
  done
  [ -n "$address" ] || fail "the server did not start ($form)"
  said=$(./echo_load "$address" --connections 8 --bytes 100 --seconds 0.3) || fail "the load failed"
  echo "$said"
  requests=$(sed -n 's/.*: \([0-9]*\) requests$/\1/p' <<<"$said")
  [ "$requests" -gt 0 ] || fail "no requests"
  kill -INT "$server"
  wait "$server" || fail "the server ended with status $?"
  server=
  grep -qx "served 8 connections, $((requests * 100)) bytes" "$log" || fail "the sums differ: $requests"
done
./echo_load 127.0.0.1:1 --connections 1 --seconds 0.1 2>"$log" && fail "a load without a server passed"
grep -q "refused" "$log" || fail "no word about the refused connection"
./echo_tcp --listen nonsense >"$log" 2>&1 && fail "a server without an address passed"
grep -q "nonsense" "$log" || fail "no word about the address"
echo ok
