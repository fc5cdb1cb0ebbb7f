import subprocess
import sys

LIGHT = ("content", "tables", "notes", "report_json", "measuring_conditions")
HEAVY = {"matplotlib", "jinja2", "tensorflow", "numpy", "PIL"}


def test_what_every_command_reads_loads_no_library_that_draws():
    program = (
        "import importlib, sys\n"
        f"for name in {LIGHT}: importlib.import_module('resnet_edge.reporting.' + name)\n"
        f"print(*sorted({HEAVY} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == []
