#!/usr/bin/env bash
# A real Slurm of two nodes on this machine, and on it what examples/slurm says: an array that ingests and a join that
# waits for it; training over two tasks on two nodes that is warned, queues itself again and ends in the weights of one that
# never stopped; an array that predicts, of which one task dies and runs again, then merge and eval; a meeting that cannot
# happen. Slurm and munge run from a directory of this script's own, on loopback, and end with it.
#
# It skips, naming what is missing, where there is no Slurm: on Debian, apt-get install slurm-wlm munge, which it does itself
# where CI is set and it may. SYNSHARD_TEST_SLURM=1 makes a skip a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
repo=$PWD

export PATH=$PATH:/usr/sbin:/sbin
if [ -n "${CI:-}" ] && [ "$(id -u)" = 0 ] && ! command -v slurmctld >/dev/null && command -v apt-get >/dev/null; then
	apt-get update -qq >/dev/null 2>&1 || true
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null 2>&1 || true
fi
missing=()
for program in slurmctld slurmd munged sbatch srun scontrol squeue scancel; do
	command -v "$program" >/dev/null || missing+=("$program")
done
[ -e "${SYNSHARD_TORCH_LIB:-lib/libsynshard_torch.so}" ] || missing+=("the engine's library (make setup)")
if [ ${#missing[@]} -gt 0 ]; then
	echo "test-slurm: skipped: not here: ${missing[*]}; Debian's packages are slurm-wlm and munge" >&2
	[ -z "${SYNSHARD_TEST_SLURM:-}" ] || exit 1
	exit 0
fi

dir=$(mktemp -d)
me=$(id -un)
started=$SECONDS
say() { printf 'test-slurm: %3d s  %s\n' "$((SECONDS - started))" "$*"; }
fail() {
	echo "test-slurm: $*" >&2
	tail -n 5 "$dir"/*.log "$dir"/out/* >&2 2>/dev/null || true
	exit 1
}

# The processes of this cluster, by the configuration that they alone were started with: jobs and their keepers are no
# children of this script.
ours() { grep -lsz "^SLURM_CONF=$dir/slurm.conf$" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 | grep -vx "$$" || true; }
idle() { [ -z "$(squeue -h 2>/dev/null)" ]; }
pids=()
finish() {
	if [ -e "$dir/up" ]; then
		scancel --signal=KILL --full --user="$me" >/dev/null 2>&1 || true
		scancel --user="$me" >/dev/null 2>&1 || true
		for _ in $(seq 25); do idle && break; sleep 0.2; done
	fi
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
	for _ in $(seq 25); do [ -z "$(jobs -pr)" ] && break; sleep 0.2; done
	for pid in $(ours); do [ "$pid" = "$BASHPID" ] || kill -9 "$pid" 2>/dev/null || true; done
	[ ${#pids[@]} = 0 ] || kill -9 "${pids[@]}" 2>/dev/null || true
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# Ports that nobody listens at.
ports=($(python3 -c '
import socket
held = [socket.socket() for _ in range(3)]
for s in held: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held))'))

export SLURM_CONF=$dir/slurm.conf
# A cluster of two nodes of two processors each. Their names are in no hosts file, as an unknown machine's would be.
start_cluster() {
	umask 022
	mkdir -p "$dir/munge" "$dir/state" "$dir/spool-0" "$dir/spool-1" "$dir/out" "$dir/bin"
	chmod 755 "$dir"
	head -c 1024 /dev/urandom >"$dir/munge/key"
	chmod 400 "$dir/munge/key"
	munged --foreground --socket "$dir/munge/socket" --key-file "$dir/munge/key" --pid-file "$dir/munge/pid" \
		--seed-file "$dir/munge/seed" --log-file "$dir/munge.log" --num-threads 2 2>>"$dir/munge.log" &
	pids+=($!)
	cat >"$dir/slurm.conf" <<CONF
ClusterName=synshard-test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1,sched_interval=1
ReturnToService=2
KillWait=5
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=synshard-node0 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=${ports[1]} CPUs=2
NodeName=synshard-node1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=${ports[2]} CPUs=2
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
	slurmctld -D -f "$SLURM_CONF" >"$dir/slurmctld.log" 2>&1 &
	pids+=($!)
	for i in 0 1; do
		slurmd -D -f "$SLURM_CONF" -N "synshard-node$i" >"$dir/slurmd$i.log" 2>&1 &
		pids+=($!)
	done
	within 20 'two nodes' eval '[ "$(sinfo -h -o "%D %t" 2>/dev/null)" = "2 idle" ]'
	touch "$dir/up"
}

# within SECONDS WHAT COMMAND...: waits until the command succeeds.
within() {
	local limit=$((SECONDS + 3 * $1)) what=$2 # a busy machine takes longer than one that is not
	shift 2
	until "$@"; do
		[ $SECONDS -lt $limit ] || fail "no $what in time: $(squeue -h -o '%i %T %r' 2>&1 | tr '\n' ';')"
		sleep 0.2
	done
}

# state ID: of a job, all tasks of an array in one word each.
state() { scontrol --oneliner show job "$1" | sed 's/.*JobState=\([A-Z]*\).*/\1/' | sort -u | tr '\n' ' '; }
ended() { [ "$(state "$1")" = "$2 " ]; }
submit() { sbatch --parsable --output="$dir/out/%x-%A_%a.txt" --cpus-per-task=1 "$@"; }

go build -o "$dir/synshard" ./cmd/synshard
start_cluster
say "two nodes are up"
# What the jobs call synshard, with the libraries and WordNet that were set up for this checkout.
cp "$dir/synshard" "$dir/bin/synshard"
ln -s "$repo/lib" "$dir/lib"
export PATH=$dir/bin:$PATH
cd "$dir"

# Each task takes the processors it was given, where nothing binds it to them.
got=$(srun -n1 -c1 synshard doctor 2>/dev/null | grep -o '[0-9]* CPUs to use' || true)
[ "$got" = "1 CPUs to use" ] || fail "a task of one processor takes '$got'"

# An array ingests, a join waits for it.
synshard --progress off sample --out archives --train-per-synset 8 --val-per-synset 2 --test-images 2 >/dev/null
synshard --progress off ingest archives --out one >/dev/null
array=$(submit --array=0-2 "$repo/examples/slurm/ingest.sh" dataset archives)
join=$(submit --dependency="afterok:$array" "$repo/examples/slurm/join.sh" dataset)
within 40 'joined dataset' ended "$join" COMPLETED
diff -r -x .lock one dataset || fail "the array's dataset is not one machine's"
say "an array of three and a join: one machine's bytes"

# Training over two nodes: once to the end, once warned in the middle. Both sum gradients over two processes in one
# order, in fp32, so that the weights are equal in every bit; batch norm's means are in the state that is saved.
export MASTER_ADDR=127.0.0.1 # the nodes' names do not resolve
train() {
	submit --nodes=2 --ntasks-per-node=1 --time=5 "$repo/examples/slurm/train.sh" dataset "$1" --recipe demo --width 0.125 \
		--epochs 8 --batch 4 --limit-per-synset 2 --precision fp32 --device cpu
}
whole=$(train whole)
within 60 'end of training' ended "$whole" COMPLETED
say "trained over two nodes"
stopped=$(train stopped)
within 30 'first steps' grep -qs '"step":' stopped/log.ndjson
scancel --signal=USR1 "$stopped"
within 20 'requeue' eval '[ "$(scontrol --oneliner show job '"$stopped"' | grep -o "Restarts=[0-9]*")" != Restarts=0 ]'
[ ! -e stopped/model.onnx ] || fail "the run was done before it was warned: this proves nothing"
say "warned, saved and queued again"
within 60 'end of the requeued training' ended "$stopped" COMPLETED
cmp whole/model.safetensors stopped/model.safetensors || fail "the weights are not those of a run that never stopped"
say "the weights of a run that never stopped"
unset MASTER_ADDR

# A meeting that cannot happen is told in seconds, with host and port.
began=$SECONDS
if srun --nodes=2 --ntasks=2 -c1 synshard train dataset --out nowhere --recipe demo --device cpu >"$dir/out/unknown" 2>&1; then
	fail "a group whose first node has no address trains"
fi
[ $((SECONDS - began)) -le 25 ] || fail "an unknown name took $((SECONDS - began)) s"
grep -q 'synshard-node0:[0-9]*.*no such host' "$dir/out/unknown" || fail "an unknown name is not told: $(cat "$dir/out/unknown")"
[ "$(grep -c . "$dir/out/unknown")" -le 8 ] || fail "an unknown name is told in $(grep -c . "$dir/out/unknown") lines"
say "a name that does not resolve"

# An array predicts; a task dies and is queued again.
synshard --progress off infer whole/model.onnx dataset --split train --out one.arrow >/dev/null
array=$(submit --array=0-2 "$repo/examples/slurm/infer.sh" whole/model.onnx dataset train predictions)
within 20 'task at work' ended "${array}_1" RUNNING
scontrol requeue "${array}_1"
merge=$(submit --dependency="afterok:$array" "$repo/examples/slurm/merge.sh" predictions train)
within 60 'merged predictions' ended "$merge" COMPLETED
[ "$(scontrol --oneliner show job "${array}_1" | grep -o 'Restarts=[0-9]*')" = Restarts=1 ] || fail "no task was killed: this proves nothing"
cmp one.arrow predictions/train.arrow || fail "the array's predictions are not one machine's"
grep -q 'top-1\|top1' "$dir"/out/synshard-merge-* || fail "eval says nothing: $(cat "$dir"/out/synshard-merge-*)"
say "an array of three, one of them killed, and a merge: one machine's bytes"
