"""The bundle's command line: run, classify, info. Standard library only, until numpy is found."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path

from resnet_edge.errors import ResnetEdgeError, RuntimeMissingError, UsageError, translate
from resnet_edge.ondevice.command.device_info import failure_of
from resnet_edge.ondevice.formats.names import parse_names
from resnet_edge.ondevice.latency.counts import parse_threads
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.option import declared_option
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.runtimes.kinds import REQUESTABLE
from resnet_edge.ondevice.terminal import accept_any_text, json_text
from resnet_edge.ondevice.versions import installed_version, release
from resnet_edge.ondevice.workers.signals import interrupt_on_termination

OLDEST_NUMPY = (1, 21)
"""The first with the types that annotations name."""

INTERRUPTED = 130


def main(archive: str, arguments: list[str]) -> int:
    """Run a command.

    Args:
        archive: Path of the bundle.
        arguments: Without the program's name.

    Returns:
        0 done and gates hold, 1 something failed, 2 wrong usage, 130 interrupted.
    """
    accept_any_text()
    words = _parser(Path(archive).name).parse_args(arguments)
    interrupt_on_termination()
    try:
        _require_numpy()
        return int(words.command(Path(archive), words))
    except ResnetEdgeError as problem:
        if words.json:
            print(json_text(failure_of(problem)))
        print(f"error: {problem}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("interrupted; what was unpacked is removed, nothing was written", file=sys.stderr)
        return INTERRUPTED
    except MemoryError:
        print("error: memory ran out; pass fewer artifacts or end other programs", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as problem:
        if words.debug:
            raise
        print(f"error: {translate(problem)}", file=sys.stderr)
        return 1


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python3 {program}",
        description="Measure the artifacts of this bundle on this device, or classify a picture.",
    )
    commands = parser.add_subparsers(metavar="COMMAND")
    parser.set_defaults(command=lambda *_: _no_command(parser), json=False, debug=False)
    run = commands.add_parser("run", help="answers, accuracy and latency of every artifact")
    run.set_defaults(command=_run)
    run.add_argument("--artifacts", metavar="A,B", help="only these (default: all in the bundle)")
    run.add_argument("--threads", metavar="N,M", help="thread counts (default: 1 and all cores)")
    _declared(run, LatencySpec, "min_seconds", " Default: as on the host.")
    _declared(run, LatencySpec, "min_queries", " Default: as on the host.")
    _declared(run, Gates, "max_p90_ms")
    _placement_options(run)
    run.add_argument(
        "--allow-inconclusive",
        action="store_true",
        help="exit 0 also where a gate needs more pictures to decide",
    )
    run.add_argument(
        "--emulated",
        action="store_true",
        help="say that this processor is emulated (user-mode emulation is recognised)",
    )
    run.add_argument(
        "--out", type=Path, default=Path("device.json"), help="the result (default: device.json)"
    )
    look = commands.add_parser("classify", help="the five most probable classes of a picture")
    look.set_defaults(command=_classify)
    look.add_argument("picture", type=Path, help="a picture, or a .npy of uint8 pixels")
    look.add_argument(
        "--artifact", metavar="A", help="by which (default: the first that runs here)"
    )
    info = commands.add_parser("info", help="this device, its runtimes, the bundle")
    info.set_defaults(command=_info)
    for command in (run, look, info):
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    for command in (run, info):
        command.add_argument("--json", action="store_true", help="print JSON, errors too")
    return parser


def _placement_options(parser: argparse.ArgumentParser) -> None:
    require = declared_option(Gates, "require_delegate")
    parser.add_argument(require.flag, action="store_true", help=require.option.help)
    allow = declared_option(Gates, "delegate_except")
    parser.add_argument(allow.flag, metavar="A,B", help=allow.option.help)
    parser.add_argument(
        "--also-in", metavar="A,B", help=f"further runtimes: {', '.join(REQUESTABLE)}"
    )


def _declared(parser: argparse.ArgumentParser, record: type, name: str, default: str = "") -> None:
    """Add an option as its record declares it."""
    each = declared_option(record, name)
    parser.add_argument(each.flag, type=each.kind, help=each.option.help + default)


def _no_command(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return 2


def _require_numpy() -> None:
    """Refuse a device without NumPy: every other message comes from code that imports it."""
    oldest = ".".join(map(str, OLDEST_NUMPY))
    wanted = f"expected {oldest} or later; run `pip install numpy`"
    if importlib.util.find_spec("numpy") is None:
        raise RuntimeMissingError(f"numpy is not installed; {wanted}", "numpy")
    version = installed_version("numpy") or ""
    if release(version) < OLDEST_NUMPY:
        raise RuntimeMissingError(f"numpy {version} is here; {wanted}", f"'numpy>={oldest}'")


def _run(archive: Path, words: argparse.Namespace) -> int:
    from resnet_edge.ondevice.command.bundle_file import open_bundle
    from resnet_edge.ondevice.command.emulation import looks_emulated
    from resnet_edge.ondevice.command.measure import measure_device
    from resnet_edge.ondevice.command.session import DeviceOptions
    from resnet_edge.ondevice.command.table import result_lines
    from resnet_edge.ondevice.json_records import write_record
    from resnet_edge.ondevice.measurements import any_refused
    from resnet_edge.ondevice.runtimes.installed import check_asked

    _check_writable(words.out)
    bundle = open_bundle(archive)
    also_in = parse_names(words.also_in or "")
    check_asked(also_in)
    gates = _gates(bundle.manifest.gates, words)
    given = {"min_seconds": words.min_seconds, "min_queries": words.min_queries}
    asked = {name: value for name, value in given.items() if value is not None}
    options = DeviceOptions(
        gates=gates,
        artifacts=_names(words.artifacts),
        threads=None if words.threads is None else parse_threads(words.threads),
        spec=replace(LatencySpec(), **asked),
        emulated=words.emulated or looks_emulated(),
        also_in=also_in,
    )
    result = measure_device(bundle, options, _say)
    write_record(words.out, result)
    if words.json:
        print(json_text({"result": str(words.out)}))
    else:
        print("\n".join(result_lines(result)))
        print(f"result: {words.out}")
    asked_in_vain = words.artifacts and result.left_out
    return 1 if asked_in_vain or any_refused(result.verdicts, words.allow_inconclusive) else 0


def _gates(gates: Gates, words: argparse.Namespace) -> Gates:
    """Return the bundle's gates with those that the command line names."""
    if words.max_p90_ms is not None:
        gates = replace(gates, max_p90_ms=words.max_p90_ms)
    if words.require_delegate:
        gates = replace(gates, require_delegate=True)
    if words.delegate_except is not None:
        gates = replace(gates, delegate_except=parse_names(words.delegate_except))
    return gates


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _check_writable(out: Path) -> None:
    """Refuse at once what would be found out at the end."""
    folder = out.absolute().parent
    if out.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"--out: {out} cannot be written; expected a file in a writable folder")


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = parse_names(text)
    if not names:
        raise UsageError("--artifacts: nothing given; leave it out for all that the bundle carries")
    return names


def _classify(archive: Path, words: argparse.Namespace) -> int:
    from resnet_edge.ondevice.command.bundle_file import open_bundle
    from resnet_edge.ondevice.command.classify import classify

    title, lines = classify(open_bundle(archive), words.picture, words.artifact)
    print(title, file=sys.stderr)
    print("\n".join(lines))
    return 0


def _info(archive: Path, words: argparse.Namespace) -> int:
    from resnet_edge.ondevice.command.bundle_file import open_bundle
    from resnet_edge.ondevice.command.info import describe_device, info_rows

    info = describe_device(open_bundle(archive))
    if words.json:
        print(json_text(info))
        return 0
    for label, text in info_rows(info):
        print(f"{label + ':':14}{text}")
    return 0
