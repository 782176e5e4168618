# Sourced by slurm_cluster and pbs_cluster: what clusters on this machine have in common.

fail() {
  echo "${0##*/}: $*" >&2
  exit 2
}

# Waits for a command to succeed, up to a number of seconds.
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || return
    sleep 0.1
  done
}

# Checks that this is root and that some programs are there; the first word says where they come from.
need() {
  local origin=$1 program
  shift
  for program; do
    command -v "$program" >/dev/null || fail "$program is missing: $origin"
  done
  [ "$(id -u)" = 0 ] || fail "takes root"
}

gone() { ! kill -0 "$1"; }

# Ends processes, each by force where it does not end in time.
end() {
  local pid
  for pid; do
    kill "$pid" 2>/dev/null || true
  done
  for pid; do
    wait_for 10 gone "$pid" || kill -KILL "$pid"
  done
}
