"""Every stage on two nodes of Ray, one of which is killed in the middle.

    python benchmarks/scale_kills.py --model tiny16.keras --preprocessing NAME --data DIR
        [--stages answers,features] [--pictures 2000] [--after 3]

Each stage runs once in one process and once on two nodes of one core each. As soon as ``--after``
shards are finished, one node and all its processes are killed with SIGKILL. Prints how far the
stage was then, what it said, and the hashes of both results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from ray_nodes import Cluster, cluster_of_two, kill  # noqa: E402  found by the lines above
from scale import STAGES  # noqa: E402


def main() -> None:
    """Kill and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, required=True, help="a .keras classifier")
    parser.add_argument("--preprocessing", default="none", help="what the model expects")
    parser.add_argument("--data", type=Path, required=True, help="pictures, a folder per class")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--after", type=int, default=3, help="finished shards before the kill")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "scale-inputs")
    words = parser.parse_args()
    from scale_stages import prepare

    prepare(words.model, words.preprocessing, words.data, words.work, words.pictures)
    wrong = 0
    for stage in words.stages.split(","):
        alone, _ = run(stage, "here", words, None)
        with cluster_of_two() as cluster:
            os.environ.update(cluster.environment)
            shared, told = run(stage, "ray0", words, cluster)
        same = alone == shared
        wrong += not same
        print(f"{stage:12} {alone[:12]} {shared[:12]} {'equal' if same else 'DIFFERENT'}")
        for line in told:
            print(f"{'':13}{line}", flush=True)
    sys.exit(bool(wrong))


def run(
    stage: str, engine: str, words: argparse.Namespace, cluster: Cluster | None
) -> tuple[str, list[str]]:
    """Run a stage in a process of its own, and kill a node on the way.

    Returns:
        The hash of the result, and what was said.
    """
    command = [sys.executable, str(ROOT / "benchmarks" / "scale.py"), "--one", f"{stage}:{engine}"]
    command += ["--model", str(words.model), "--data", str(words.data)]
    command += ["--work", str(words.work), "--pictures", str(words.pictures)]
    if cluster is not None:
        command += ["--ray-address", cluster.address]
    cache = words.work / f"cache-{stage}-{engine}"
    said: list[str] = []
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        if cluster is not None:
            said.append(kill_in_the_middle(process, cluster, cache, words.after))
        out, _ = process.communicate()
        errors.seek(0)
        lines = errors.read().splitlines()
    if process.returncode:
        raise SystemExit(f"{stage} with {engine} failed:\n" + "\n".join(lines[-20:]))
    said += [line for line in lines if "done again" in line or "computed on" in line]
    return json.loads(out.splitlines()[-1])["sha256"], said


def kill_in_the_middle(
    process: subprocess.Popen[str], cluster: Cluster, cache: Path, after: int
) -> str:
    """Kill the second node as soon as some shards are finished, and say how many were."""
    finished = 0
    while process.poll() is None and finished < after:
        lists = list(cache.rglob("shards.jsonl"))
        finished = sum(path.read_text().count('"number"') for path in lists if path.exists())
        time.sleep(0.01)
    if process.poll() is not None:
        return "it was over before the kill"
    kill(cluster.nodes[-1])
    return f"a node was killed after {finished} shards"


if __name__ == "__main__":
    main()
