"""The scripts for the device's ``sh``. POSIX only: dash, bash and busybox read them.

Every script is told the bundle's key and the Python to use, and keeps to one folder::

    ~/.cache/resnet-edge/KEY/
        resnet-edge-device.pyz   the bundle
        venv/                    packages, where the system does not let pip install
        run/                     there while something runs, or waits to be collected
            asked                the options of the run
            pid                  process group and the system's start
            log                  progress
            answer.json          its standard output: JSON, also of an error
            result.json, exit    what it left
"""

from __future__ import annotations

from resnet_edge.devices.ssh.connection import BEGIN

HOME = ".cache/resnet-edge"
"""Relative to the remote home; nothing in it needs quotes (see ``Ssh.send``)."""

BUNDLE = "resnet-edge-device.pyz"

ENDED = 98
"""Exit code of ``FOLLOW`` where the run is gone and left nothing."""

_COMMON = f"""
set -u
umask 077
echo '{BEGIN}'
key=$1 python=$2
shift 2
base=$HOME/{HOME} folder=$HOME/{HOME}/$key
bundle=$folder/{BUNDLE} run=$folder/run
now=-
[ -r /proc/sys/kernel/random/boot_id ] && read -r now < /proc/sys/kernel/random/boot_id
[ -x "$folder/venv/bin/python" ] && python=$folder/venv/bin/python
alive() {{  # true while a run goes on; sets pid. After a restart another process has that number
    [ -f "$1/pid" ] || return 1
    read -r pid born < "$1/pid" || return 1
    [ "$born" = "$now" ] && kill -s 0 "$pid" 2>/dev/null
}}
whole() {{  # true if a file has this SHA-256
    [ -f "$1" ] || return 1
    found=$("$python" -c 'import hashlib, sys
digest, file = hashlib.sha256(), open(sys.argv[1], "rb")
for block in iter(lambda: file.read(1 << 20), b""):
    digest.update(block)
print(digest.hexdigest())' "$1") && [ "$found" = "$2" ]
}}
"""


def _script(body: str) -> str:
    """A script that is read to its end before it begins, as its input is the script itself."""
    return "main() {" + _COMMON + body + '\n}\nmain "$@" </dev/null\nexit\n'


LOOK = _script("""
for other in "$base"/*/run; do
    [ "$other" != "$run" ] && [ ! -f "$other/exit" ] && alive "$other" &&
        echo "busy $pid" && return 0
done
if [ -d "$run" ]; then
    if [ -f "$run/exit" ]; then echo done; elif alive "$run"; then echo running; else echo ended; fi
    cat "$run/asked" 2>/dev/null
    return 0
fi
command -v "$python" >/dev/null || { echo no-python; return 0; }
mkdir -p "$folder" || return 1
if whole "$bundle" "$1"; then echo ready; else echo empty; fi
""")
"""Given the bundle's SHA-256: prints how things stand, then the options of a run."""

ACCEPT = _script("""
whole "$bundle.new" "$1" && mv "$bundle.new" "$bundle"
""")
"""Given the bundle's SHA-256: takes what was copied, if all of it has come."""

INFO = _script("""
"$python" "$bundle" info --json 2>/dev/null
""")
"""Prints one line of JSON: a ``DeviceInfo``, or a ``Failure``."""

INSTALL = _script("""
kind=$("$python" -c 'import os, sys, sysconfig
mark = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
own = sys.prefix != sys.base_prefix
print("own" if own else "managed" if os.path.exists(mark) else "user")') || return 1
exec 2>&1
case $kind in
own) "$python" -m pip install "$@" ;;
user) "$python" -m pip install --user "$@" ;;
managed)
    "$python" -m venv --system-site-packages "$folder/venv" || { rm -rf "$folder/venv"; return 1; }
    "$folder/venv/bin/python" -m pip install "$@" ;;
esac
""")
"""Given pip's packages: installs them for the user, or where the system's Python does not take any
(PEP 668) into an environment beside the bundle."""

START = _script("""
asked=$1
shift
mkdir "$run" 2>/dev/null || { [ -d "$run" ]; return; }
printf '%s\\n' "$asked" > "$run/asked"
: > "$run/log"
nohup "$python" -c 'import os, sys
os.setsid()
os.execvp("sh", sys.argv[1:])' sh -c 'run=$1
shift
"$@" >"$run/answer.json" 2>"$run/log"
echo $? >"$run/exit.new"
mv "$run/exit.new" "$run/exit"' sh "$run" \\
    "$python" "$bundle" run --out "$run/result.json" --json "$@" </dev/null >/dev/null 2>&1 &
echo "$! $now" > "$run/pid.new"
mv "$run/pid.new" "$run/pid"
""")
"""Given the options in one line, then one by one: starts a run that outlives the connection."""

FOLLOW = _script(f"""
part=
exec 3< "$run/log" || return {ENDED}
while :; do
    over=
    [ -f "$run/exit" ] || alive "$run" || over=gone
    [ -f "$run/exit" ] && over=done
    while IFS= read -r line <&3; do
        printf '%s\\n' "$part$line"
        part=
    done
    part=$part$line
    [ -n "$over" ] && break
    sleep 1  # the only process that this starts: the device is measuring
done
[ -n "$part" ] && printf '%s\\n' "$part"
[ -f "$run/result.json" ] && [ $over = done ] && return 0
[ $over = done ] || return {ENDED}
read -r code < "$run/exit"
case $code in 0|255) code={ENDED} ;; esac
return "$code"
""")
"""Prints progress until the run's end; 0 where there is a result, else the run's exit code."""

ANSWER = _script("""
cat "$run/answer.json"
""")
"""Prints what a run that has ended says as JSON: a ``Failure`` where it failed."""

_STOP = """
if alive "$run"; then
    kill -s TERM -- "-$pid" 2>/dev/null || kill -s TERM "$pid"
    tries=0
    while kill -s 0 -- "-$pid" 2>/dev/null && [ $tries -lt 10 ]; do
        tries=$((tries + 1))
        sleep 1
    done
    kill -s KILL -- "-$pid" 2>/dev/null
fi
"""

FORGET = _script(_STOP + 'rm -rf "$run"\n')
"""Stops a run and removes what it left; the bundle stays."""

REMOVE = _script(_STOP + 'rm -rf "$folder"\nrc=$?\nrmdir "$base" 2>/dev/null\nreturn $rc\n')
"""Stops a run and removes everything."""
