# Sourced by the benches that need a bucket, with $here set: a directory $work with the binary, and an S3 server on loopback
# whose bucket is $work/objects/bucket. What the server knows of objects lies in $work/side. All of it goes at the end.
server=$("$here/scripts/s3server.sh")
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid"; rm -rf "$work"' EXIT
# $SYNSHARD is a binary built elsewhere, for a machine without Go.
if [ -n "${SYNSHARD:-}" ]; then cp "$SYNSHARD" "$work/synshard"; else (cd "$here" && go build -o "$work/synshard" ./cmd/synshard); fi
ln -s "$here/lib" "$work/lib" # what was set up for this checkout
mkdir -p "$work/objects/bucket" "$work/side"
port=$((20000 + RANDOM % 20000))
"$server" --quiet --keep-alive --port "127.0.0.1:$port" --access bench --secret not-a-secret posix --sidecar "$work/side" "$work/objects" >"$work/log" 2>&1 &
pid=$!
export AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=not-a-secret AWS_REGION=us-east-1 AWS_ENDPOINT_URL_S3=http://127.0.0.1:$port
for _ in $(seq 100); do
	if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
	sleep 0.1
done
