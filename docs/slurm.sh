#!/bin/bash
# A batch on a Slurm cluster: sbatch docs/slurm.sh CLIPS RUNS
# A Ray of four nodes for as long as the job lasts; CLIPS and RUNS lie on the shared disk, as do this
# checkout and its .venv with requirements-cluster.txt.
#SBATCH --job-name=ds4d-batch
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --mem=64G
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
set -euo pipefail
clips=$1 runs=$2 port=6379
nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
head=${nodes[0]}
start() {  # NODE OPTIONS...: Ray on a node, with what Slurm gave us there
    node=$1; shift
    srun --nodes=1 --ntasks=1 --nodelist="$node" .venv/bin/ray start "$@" \
        --num-cpus="$SLURM_CPUS_PER_TASK" --disable-usage-stats --block &
}
start "$head" --head --port=$port
sleep 15
for node in "${nodes[@]:1}"; do start "$node" --address="$head:$port"; done
sleep 15
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    .venv/bin/python -m ds4d batch "$clips" --out "$runs" --address "$head:$port" &
batch=$!
trap 'kill -TERM $batch' TERM  # two minutes before the end: the same command goes on next time
wait $batch
