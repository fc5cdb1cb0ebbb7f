from __future__ import annotations

from enum import Enum
from pathlib import Path

import pytest

from resnet_edge.cli.app import COMMANDS
from resnet_edge.cli.config import find_config, read_config
from resnet_edge.errors import UsageError
from resnet_edge.ondevice.fit import Fit

KNOWN: dict[str, type] = {
    "epochs": int,
    "image_size": int,
    "confidence": float,
    "augment": bool,
    "formats": str,
    "out": Path,
    "fit": Fit,
}


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return dict(read_config(path, KNOWN))


def test_names_as_on_the_command_line(tmp_path):
    text = 'image-size = 64\nimage_size = 96\nformats = ["a", "b"]\naugment = false\nconfidence = 1'
    assert read(tmp_path, text) == {
        **{"image_size": 96, "formats": "a,b", "augment": False, "confidence": 1}
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epocs = 3", "unknown key 'epocs'; did you mean 'epochs'?"),
        ("image-sise = 3", "unknown key 'image-sise'; did you mean 'image-size'?"),
        ("xyz = 3", "unknown key 'xyz'; expected one of augment, confidence, epochs, fit, formats"),
        ("[training]\nepochs = 3", "unknown key 'training'; expected one of"),
        ("epochs = 'many'", "epochs = 'many'; expected a whole number"),
        ("epochs = 2.5", "epochs = 2.5; expected a whole number"),
        ("epochs = true", "epochs = True; expected a whole number"),
        ("epochs = [1]", "epochs = [1]; expected a whole number"),
        ("confidence = '1'", "confidence = '1'; expected a number"),
        ("confidence = true", "confidence = True; expected a number"),
        ("augment = 'yes'", "augment = 'yes'; expected true or false"),
        ("augment = 1", "augment = 1; expected true or false"),
        ("out = 5", "out = 5; expected a string"),
        ("fit = ['crop']", "fit = ['crop']; expected a string"),
        ("formats = true", "formats = True; expected a string, a number or a list"),
        ("formats = 2020-01-01", "formats = datetime.date(2020, 1, 1); expected a string, a num"),
        ("[epochs]\nx = 1", "epochs = {'x': 1}; expected a whole number"),
        ("epochs =", "not TOML: Invalid value (at end of document)"),
        ("epochs = 1\nepochs = 2", "not TOML: Cannot overwrite a value"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path, text, message):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'c.toml'}: {message}")


def test_no_text(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"\xff\xff")
    with pytest.raises(UsageError, match=r"c.toml: not TOML: 'utf-8' codec"):
        read_config(tmp_path / "c.toml", KNOWN)


def test_where_it_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(None) is None
    Path("resnet-edge.toml").write_text("")
    assert find_config(None) == Path("resnet-edge.toml")
    with pytest.raises(UsageError, match=r"^--config: no such file: gone.toml; expected a TOML f"):
        find_config(Path("gone.toml"))


def test_every_option_has_a_type_that_the_file_can_check():
    for command in COMMANDS:
        for told in command.told:
            known = told.kind in (bool, int, float, str, Path) or issubclass(told.kind, Enum)
            assert known, (command.name, told.name)


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default(cli, tmp_path):
    def reported(*words: str) -> str:
        ran = cli("finetune", *words)
        assert ran.code == 2
        return str(ran.err)

    assert "error: --epochs: got 0;" in reported("--epochs", "0")
    Path("resnet-edge.toml").write_text("epochs = -1\nimage-size = 7\n")
    assert "error: --image-size: got 7;" in reported()
    assert "error: --image-size: got 9;" in reported("--image-size", "9")
    assert "error: --epochs: got -1;" in reported("--image-size", "64")
    assert "error: --epochs: got -2;" in reported("--image-size", "64", "--epochs", "-2")
    other = tmp_path / "other.toml"
    other.write_text("epochs = -3")
    ran = cli("--config", other, "finetune")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: --epochs: got -3; expected at least 1\n"


def test_a_wrong_file_stops_every_command(cli):
    Path("resnet-edge.toml").write_text("epocs = 3\n")
    for command in ("run", "finetune", "export", "reference", "parity", "bench", "report"):
        ran = cli(command)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == ("error: resnet-edge.toml: unknown key 'epocs'; did you mean 'epochs'?\n")
    assert cli("--help").code == 0


def test_flags_of_one_call_are_no_configuration(cli):
    Path("resnet-edge.toml").write_text("json = true\n")
    assert "unknown key 'json'" in cli("report").err
    Path("resnet-edge.toml").write_text("as-json = true\n")
    assert "unknown key 'as-json'" in cli("report").err


def test_a_list_of_formats_and_values_for_other_commands(cli, build, tmp_path):
    Path("resnet-edge.toml").write_text(
        f'out = "{build}"\nformats = ["fp32.tflite", "fp32.onnx"]\nsplit = [0.5, 0.2, 0.3]\n'
        "threads = 1\nallow-inconclusive = true\n"
    )
    ran = cli("parity")
    assert ran.code == 0, ran.err
    assert [line.split()[0] for line in ran.out.splitlines() if ": " in line and "fp" in line] == [
        *("fp32.tflite", "fp32.onnx")
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = " + "[" * 5000, "resnet-edge.toml: not TOML: it is nested too deeply"),
        ("epochs = " + "9" * 5000, "resnet-edge.toml: not TOML: Exceeds the limit (4300 digits)"),
        (
            "epochs = 0x" + "9" * 5000,
            "epochs = a number of more than 4,300 digits; expected a whole",
        ),
        ("learning-rate = " + "9" * 400, "; expected a number"),
        ("epochs = 9223372036854775808", "epochs = 9223372036854775808; expected a whole number"),
        ('data = "a\\u0000b"', r"data = 'a\x00b'; expected a string"),
        ("split = [[0.5]]", "split = [[0.5]]; expected a string, a number or a list"),
        ("epochs = inf", "epochs = inf; expected a whole number"),
    ],
)
def test_values_that_no_option_can_hold(cli, text, words):
    Path("resnet-edge.toml").write_text(text)
    ran = cli("finetune")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: resnet-edge.toml: ")
    assert words in ran.err
    assert len(ran.err) < 400


def test_bytes_that_are_no_text(cli):
    Path("resnet-edge.toml").write_bytes(b"data = '\xff'")
    assert "resnet-edge.toml: not TOML: 'utf-8' codec can't decode byte 0xff" in cli("run").err
