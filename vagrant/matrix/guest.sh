#!/bin/bash
# Runs on the kernel in question, and leaves what it found in OUT: exit statuses in OUT/status.
# Usage: guest.sh OUT PYTHON CHECKOUT DISK [PYTEST ARGUMENT...]
# DISK holds the archive of archive.py in an emulated guest; - where files are read fast enough.
# Environment: PROBE_PATIENCE, ONLY=doctor, SOCKPROXY_SCALE, SOCKPROXY_PATIENCE, and REFUSES, which
# wants a mount namespace of its own.
set -u
out=$1 python=$2 checkout=$3 disk=$4
shift 4

stage() {
	echo "$1" >"$out/stage"
}

# Mounts every path of the archive's list over its original, which is on slow 9p.
into_memory() {
	local memory=/run/matrix path modules
	modules=$(readlink -f "/lib/modules/$(uname -r)")
	mkdir -p "$memory/tree" "$memory/out" "$memory/modules"
	# The checkout may hold OUT and the kernel's modules, and is about to be hidden.
	mount --bind "$out" "$memory/out" && out=$memory/out
	mount --bind "$modules" "$memory/modules"
	mount -t tmpfs -o size=80%,mode=755 tmpfs "$memory/tree"
	modprobe virtio_blk
	tar -C "$memory/tree" --blocking-factor=1024 -xf "$disk" || return
	while read -r path; do
		mount --bind "$memory/tree$path" "$path" || return
	done <"$memory/tree/mounts"
	[ -e "$modules" ] || mkdir -p "$modules"
	mount --bind "$memory/modules" "$modules"
}

read -r begun _ </proc/uptime
uname -r >"$out/uname"
if [ "$disk" != - ]; then
	stage unpacks
	begun=0
	into_memory || { echo "unpack $?" >>"$out/status"; exit 1; }
fi
cd "$checkout" || exit 1
export PYTHONPATH=$checkout
if [ -n "${REFUSES:-}" ]; then
	mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/netns || exit 1
	eval "$("$python" -m tests.support.refusing "$REFUSES")" || exit 1
fi

stage doctor
"$python" -m sockproxy doctor --json --patience "${PROBE_PATIENCE:-60}" \
	>"$out/doctor.json" 2>"$out/doctor.log"
echo "doctor $?" >>"$out/status"

if [ "${ONLY:-}" != doctor ]; then
	stage tests
	# With "=", as pytest would take a folder that stands alone for one of tests.
	"$python" -m pytest -q -p no:cacheprovider --durations=20 \
		--conformance="$out" --doctor="$out/doctor.json" "$@" >"$out/tests.log" 2>&1
	echo "tests $?" >>"$out/status"
fi

stage "kernel log"
# Of the machine's own kernel, only what it said meanwhile.
dmesg | awk -v begun="$begun" 'match($0, /[0-9]+\.[0-9]+\]/) { if (substr($0, RSTART) + 0 >= begun + 0) print }' \
	>"$out/dmesg"
read -r now _ </proc/uptime
echo "$now" >"$out/uptime"
echo "end 0" >>"$out/status"
sync
