#!/bin/bash
# A sweep as a SLURM job, see docs/clusters.md. Checked for syntax; not run by us on a SLURM cluster.
#
#   SWEEP=first sbatch docs/clusters/slurm.sh --num-samples 40 --data /path/to/ESC-50
#
# in a working copy that all nodes see at the same path. The same line again goes on with results/first: what follows
# the script's name is read the first time only.
#
# For your cluster: how many nodes, what is on each, how long; a partition and an account where it asks for them.
#SBATCH --job-name=esc50tune
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --mem=0
#SBATCH --time=12:00:00
# Whole nodes: Ray's ports are the same in every job.
#SBATCH --exclusive
# The job outlives a node that fails; where the first one does, it may be queued again, and goes on.
#SBATCH --no-kill
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

each_time=()      # flags for the machine, in every job: for instance --gpus-per-trial 0.5
reserve=900       # seconds of the job that are kept for decoding clips, the longest epoch, and the tables
wait_seconds=300  # for nodes that are slow to start

: "${SWEEP:?name the sweep: SWEEP=first sbatch docs/clusters/slurm.sh}"
cd "${SLURM_SUBMIT_DIR:?this script is for sbatch}"
# shellcheck source=/dev/null
source "${VENV:-.venv}/bin/activate"

# Others on this cluster must not run code as you: Ray asks for the token that is in your home.
export RAY_AUTH_MODE=token
(umask 077 && ray get-auth-token --generate > /dev/null)
[ ! -f ~/.ray/auth_token ] || chmod 600 ~/.ray/auth_token

# Ray's head is on this node, the job's first one, and a worker on each other.
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head_ip=${HEAD_IP:-$(hostname -I | tr ' ' '\n' | grep -m 1 -E '^[0-9]+(\.[0-9]+){3}$')}
address=$head_ip:6379
has=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}")

clean_up() {
    ray stop > /dev/null 2>&1 || true
    # shellcheck disable=SC2046
    kill $(jobs -p) 2> /dev/null || true
}
trap clean_up EXIT

ray start --head --node-ip-address="$head_ip" --port=6379 --disable-usage-stats "${has[@]}"
for node in "${nodes[@]}"; do
    if [ "$node" != "${SLURMD_NODENAME:-${nodes[0]}}" ]; then
        srun --nodes=1 --ntasks=1 --nodelist="$node" --cpus-per-task="$SLURM_CPUS_PER_TASK" \
            ray start --address="$address" --block "${has[@]}" < /dev/null &
    fi
done
python - "$address" "${#nodes[@]}" "$wait_seconds" << 'END'
import sys, time
import ray

address, wanted, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
ray.init(address=address, logging_level="ERROR")
end = time.monotonic() + seconds
while (there := sum(node["Alive"] for node in ray.nodes())) < wanted and time.monotonic() < end:
    time.sleep(5)
print(f"{there} of {wanted} nodes", flush=True)
END

results=results/$SWEEP
spent=0
if [ -f "$results/manifest.json" ]; then
    what=(--resume "$results")
    # A budget counts all runs of a sweep together: what they took stands in the last whole line of the log.
    if [ -f "$results/events.jsonl" ]; then
        spent=$(python -c 'import json, sys
*lines, _ = open(sys.argv[1], "rb").read().split(b"\n")
print(int(json.loads(lines[-1])["clock"]) if lines else 0)' "$results/events.jsonl")
    fi
else
    what=(--name "$SWEEP" "$@")
fi

end=${SLURM_JOB_END_TIME:-$(date -d "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e)" +%s 2> /dev/null || true)}
if [ -n "$end" ]; then
    left=$((end - $(date +%s) - reserve))
    if [ "$left" -le 0 ]; then
        echo "the job ends in less than $reserve seconds: ask for more time, or lower 'reserve'" >&2
        exit 1
    fi
    what+=(--time-budget "$((left + spent))s")
fi
python "${SCRIPT:-sweeps/regularization.py}" "${what[@]}" --address "$address" ${each_time[@]+"${each_time[@]}"}
