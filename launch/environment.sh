# Sourced by the batch scripts, after their modules: the Python environment that the job runs in.
#
# MPIDL_VENV names it; .venv of the checkout unless told. Above a thousand nodes, where imports from a shared
# file system would take minutes and may take the file system down, or with MPIDL_STAGE=1, it is packed into one
# archive and unpacked on a disk of every node: under MPIDL_LOCAL, /tmp unless told. What stands on top of a
# module's Python needs no more than that; mpidl itself must be installed in it, without pip's -e.

# How many nodes the job has.
count_nodes() {
  if [ -n "${PBS_NODEFILE:-}" ]; then
    sort -u "$PBS_NODEFILE" | wc -l
  else
    echo "${SLURM_JOB_NUM_NODES:-1}"
  fi
}

# Runs a command once on each node of the job.
on_each_node() {
  if [ -n "${SLURM_JOB_ID:-}" ]; then
    srun --overlap --nodes "$(count_nodes)" --ntasks "$(count_nodes)" --ntasks-per-node 1 "$@"
  else
    mpiexec -n "$(count_nodes)" --ppn 1 "$@"
  fi
}

# Packs an environment, once as long as nothing in it changes, and unpacks it on every node; prints where.
stage() {
  local venv=$1 archive=$1.tar place
  if [ ! -e "$archive" ] || [ -n "$(find "$venv" -newer "$archive" -print -quit)" ]; then
    tar -C "$venv" -cf "$archive.$$" . && mv "$archive.$$" "$archive" || return
  fi
  place=${MPIDL_LOCAL:-/tmp}/mpidl-$(id -u)-$(stat -c '%n %y' "$archive" | cksum | cut -d ' ' -f 1)
  # shellcheck disable=SC2016  # the words are for the shell on each node
  on_each_node sh -c '
    [ -e "$2" ] && exit
    mkdir -p "$2.$$" && tar -C "$2.$$" -xf "$1" || exit
    # The first lines of programs, such as those of Parsl, name the Python that they are for.
    grep -lIF "$3/bin/" "$2.$$"/bin/* | xargs -r -d "\n" sed -i "1,3s|$3/bin/|$2/bin/|g"
    mv -T "$2.$$" "$2" 2>/dev/null || rm -r "$2.$$"
    [ -e "$2" ]' sh "$archive" "$place" "$venv" >&2 || return
  echo "$place"
}

VIRTUAL_ENV=$(realpath -m "${MPIDL_VENV:-.venv}")
if [ ! -x "$VIRTUAL_ENV/bin/python" ]; then
  echo "mpidl: no Python in $VIRTUAL_ENV; set MPIDL_VENV, see launch/README.md" >&2
  return 2
fi
if [ "${MPIDL_STAGE:-0}" = 1 ] || [ "$(count_nodes)" -gt 1000 ]; then
  VIRTUAL_ENV=$(stage "$VIRTUAL_ENV") || return
fi
export VIRTUAL_ENV PATH="$VIRTUAL_ENV/bin:$PATH"
# The mpidl of the environment, never one that lies in the folder of submission.
export PYTHONSAFEPATH=1
