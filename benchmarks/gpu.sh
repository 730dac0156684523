#!/usr/bin/env bash
# Everything that only a GPU can tell, in at most eight minutes, on a machine that has little.
#
#   benchmarks/gpu.sh                  laws, designs, profile and main job, into benchmarks/results/
#   benchmarks/gpu.sh --out DIR        into another folder; OUT=DIR in the environment says the same
#   benchmarks/gpu.sh --wheels DIR     take missing packages from a folder of wheels, not an index
#   benchmarks/gpu.sh --quick          the same steps at tiny size, on a CPU too, to try the script
#
# PYTHON names the interpreter (python3); what it has is used as it is, JAX above all, and what it
# lacks goes into .venv-gpu beside it. Where the history isn't, COMMIT says what is measured. The
# machine's own settings, for its memory and its precision, stay as they are. The exit status is the
# number of steps that didn't end well; the others are run all the same.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD outer=${PYTHON:-python3} python=${PYTHON:-python3} out=${OUT:-} raw=${OUT:-} wheels= quick=
budget=480
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=$2; shift 2 ;;
        --wheels) wheels=$2; shift 2 ;;
        --quick) quick=--quick; shift ;;
        *) echo "gpu.sh: option $1 is not known: use --out, --wheels or --quick." >&2; exit 2 ;;
    esac
done
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1

# What programs import, and what a package index calls it.
missing() {
    "$1" - <<'PYTHON'
from importlib.util import find_spec

names = {"jax": "jax", "flax": "flax", "optax": "optax", "gymnax": "gymnax", "chex": "chex",
         "gymnasium": "gymnasium", "matplotlib": "matplotlib", "PIL": "pillow", "numpy": "numpy",
         "tyro": "tyro", "docstring_parser": "docstring-parser", "typeguard": "typeguard",
         "rich": "rich", "tomli_w": "tomli-w", "six": "six", "filelock": "filelock", "flashbax": "flashbax"}
print(*(package for name, package in names.items() if find_spec(name) is None))
PYTHON
}

# A virtual environment that also sees what the interpreter sees, itself in one or not. What is
# lacking comes with its own requirements; what is there is left alone.
install() {
    local where=$root/.venv-gpu
    "$outer" -m venv --without-pip --clear "$where" || return
    "$outer" -c "import sys; print(*[p for p in sys.path if p.endswith('-packages')], sep='\n')" \
        > "$("$where/bin/python" -c "import site; print(site.getsitepackages()[0])")/outer.pth"
    # Without JAX, the one for this machine's devices.
    if [[ " $* " = *" jax "* ]] && command -v nvidia-smi > /dev/null; then set -- "$@" "jax[cuda13]"; fi
    "$outer" -m pip --python "$where/bin/python" install --quiet --disable-pip-version-check \
        --no-compile --retries 1 --timeout 10 ${wheels:+--no-index --find-links "$wheels"} "$@" || return
    python=$where/bin/python
}

if ! "$outer" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "gpu.sh: $outer is no Python of 3.11 or later: name one by PYTHON=..." >&2
    exit 2
fi
[ ! -x .venv-gpu/bin/python ] || python=$root/.venv-gpu/bin/python
lacking=$(missing "$python")
if [ -n "$lacking" ]; then
    echo "installing $(missing "$outer")"
    # Without flashbax there is no standard design to compare with, and all else can be told.
    # shellcheck disable=SC2046  (lists)
    install $(missing "$outer") || install $(missing "$outer" | sed 's/ *flashbax//')
    lacking=$(missing "$python")
    if [ -n "$lacking" ] && [ "$lacking" != flashbax ]; then
        echo "gpu.sh: $lacking can't be imported or installed: bring wheels by --wheels." >&2
        exit 2
    fi
fi
device=$("$python" -c 'import jax; print(jax.default_backend())') || exit 2
if [ -z "$quick" ] && [ "$device" = cpu ]; then
    echo "gpu.sh: JAX $("$python" -c 'import jax; print(jax.__version__)') sees a CPU only:" \
        "install its CUDA plugin, or try the script by --quick." >&2
    exit 2
fi

if [ -n "$quick" ]; then
    out=${out:-$(mktemp -d)}
    designs="--seeds 2" profile="--seeds 2" job="--seeds 2"
    # Compilation is most of the time.
    XLA_FLAGS="${XLA_FLAGS:-} --xla_backend_optimization_level=0"
    export XLA_FLAGS="$XLA_FLAGS --xla_llvm_disable_expensive_passes=true"
else
    out=${out:-$root/benchmarks/results}
    designs="--seeds 1 64 1024 4096 --env_steps 32000 --repeats 3"
    profile="--seeds 1 4096" job="--seeds 16 1024"
fi
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2

failed=0 report= child=
# timeout gives a step a process group of its own, which Ctrl-C wouldn't reach.
trap 'kill "$child" 2> /dev/null; exit 130' INT TERM
step() {  # name, seconds it may take, script, its options
    local name=$1 limit=$2 began=$SECONDS status=124 said
    shift 2
    [ "$limit" -le $((budget - SECONDS)) ] || limit=$((budget - SECONDS))
    if [ "$limit" -gt 0 ]; then
        echo "== $name, at most $limit s"
        timeout --kill-after=10 "$limit" \
            "$python" "$root/benchmarks/$1" "${@:2}" $quick --out "$out" &
        child=$!
        wait "$child"
        status=$?
    fi
    case $status in
        0) said=done ;;
        124 | 137) said="out of time" ;;
        *) said="failed with status $status" ;;
    esac
    [ $status = 0 ] || failed=$((failed + 1))
    report+=$(printf '%-10s %4d s  %s' "$name" $((SECONDS - began)) "$said")$'\n'
}

# shellcheck disable=SC2086  (options)
{
    step laws 90 laws.py
    step designs 220 compare_designs.py $designs
    step profile 90 kernels.py $profile ${raw:+--raw "$raw/raw"}
    step job 120 main_job.py $job
}
echo
printf '%sall %11d s  on %s, in %s\n' "$report" "$SECONDS" "$device" "$out"
exit "$failed"
