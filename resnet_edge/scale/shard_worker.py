"""A process of this machine that computes shards, one after the other."""

from __future__ import annotations

import json
import pickle
import sys

from resnet_edge.ondevice.json_records import to_json
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.workers.serving import Reporter, serve
from resnet_edge.scale.finished import write_shard
from resnet_edge.scale.jobs import Served, Start, read_job_line, unpack_work


def main() -> int:
    """Compute the shards that standard input asks for, until an empty line."""
    return serve(Start, serve_shards)


def serve_shards(start: Start, reporter: Reporter) -> Served:
    """Compute shards.

    Raises:
        ResnetEdgeError: The work cannot be opened, or a shard cannot be computed or written.
    """
    make = unpack_work(start.work).open()
    machine, count = describe_machine({}).processor, 0
    reporter.ready(places=1)
    while line := reporter.next_line():
        number, job = read_job_line(line)
        shard = write_shard(start.folder, number, make(pickle.loads(job)), machine)
        reporter.made(json.dumps(to_json(shard)))
        count += 1
    return Served(count)


if __name__ == "__main__":
    sys.exit(main())
