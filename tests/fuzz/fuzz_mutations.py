"""Damage of files: of their bytes, and of the JSON, arrays and zips that the bytes mean.

A mutation takes a source of random numbers; hypothesis can shrink what it draws.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Sequence
from random import Random

Mutation = Callable[[bytes, Random], bytes]

NUMBERS = (0, 1, 2, 4, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 33)

RAW_VALUES = (
    *(
        "100000",
        "null",
        "true",
        "{}",
        "[]",
        '""',
        "-1",
        "0",
        "1e999",
        "-1e999",
        "NaN",
        "Infinity",
        "1.5",
    ),
    *("9" * 400, "9" * 5000, "18446744073709551616", "-9223372036854775809", "1e308", "1e-320"),
    *('"\\ud800"', '"\\udce9"', '"a\\u0000b"', '"\\ud83d\\ude00"', '"nan"', '"-inf"'),
    *("[" * 50_000, "[" * 990 + "]" * 990, '{"a":' * 3000 + "1" + "}" * 3000),
    *('"' + "x" * 100_000 + '"', '"../../../etc/passwd"', '"/dev/null"', '"2026\\n\\n# x"'),
)
"""What takes the place of a value in JSON."""

HEADERS = (
    "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (), }",
    "{'descr': '<f4', 'fortran_order': True, 'shape': (-1, 3), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '|S0', 'fortran_order': False, 'shape': (1000000000,), }",
    "{'descr': [('a', '<f4', (100000, 100000))], 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1" + "0" * 5000 + ",), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 4), }",
    "{'descr': '<M8[s]', 'fortran_order': 0, 'shape': (3,), }",
    "(" * 4000,
    "{'descr': '''",
    "[" * 100 + "]" * 100,
    "",
)
"""What takes the place of a header in a ``.npy`` file."""

NAMES = ("../../evil", "/evil", "a\\b", "C:evil", "a" * 300, "\N{SNOWMAN}", "con", "", "a/b/c/")


def mutate(data: bytes, suffix: str, others: Sequence[bytes], random: Random) -> bytes:
    """Damage a file once or a few times.

    Args:
        data: A whole file.
        suffix: The ending of its name, for instance ``.json``.
        others: Other whole files, to splice.
        random: Draws what is damaged.
    """
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if others and random.random() < 0.05:
            data = splice(data, random.choice(others), random)
            continue
        own = _OF_CONTENT.get(suffix, ())
        data = random.choice((*own, *own, *_OF_BYTES))(data, random)
    return data


def splice(one: bytes, other: bytes, random: Random) -> bytes:
    """Join the beginning of one file and the end of another."""
    return one[: random.randint(0, len(one))] + other[random.randint(0, len(other)) :]


def flip(data: bytes, random: Random) -> bytes:
    """Change single bits."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncate(data: bytes, random: Random) -> bytes:
    """Cut the end off."""
    return data[: random.randint(0, len(data))]


def overwrite(data: bytes, random: Random) -> bytes:
    """Put a number, or a run of one byte, over some place."""
    place = random.randint(0, len(data))
    number = random.choice(NUMBERS)
    new = random.choice(
        (
            struct.pack("<I", number & 0xFFFFFFFF),
            struct.pack("<Q", number),
            bytes([number & 0xFF]) * random.randint(1, 64),
        )
    )
    return data[:place] + new + data[place + len(new) :]


def remove(data: bytes, random: Random) -> bytes:
    """Take a run of bytes out."""
    place = random.randint(0, len(data))
    return data[:place] + data[place + random.randint(1, 64) :]


def repeat(data: bytes, random: Random) -> bytes:
    """Put a run of bytes in twice."""
    place = random.randint(0, len(data))
    return data[:place] + data[place : place + random.randint(1, 256)] + data[place:]


def change_json(data: bytes, random: Random) -> bytes:
    """Replace, remove or add one value of a JSON file."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return flip(data, random)
    raw = random.choice(RAW_VALUES)
    spots: list[tuple[dict[str, object] | list[object], str | int]] = []
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            keys: Sequence[str | int] = list(value)
        elif isinstance(value, list):
            keys = range(len(value))
        else:
            continue
        spots += [(value, key) for key in keys]
        waiting += [value[key] for key in keys]
    if not spots:
        return raw.encode()
    owner, key = random.choice(spots)
    kind = random.randrange(6)
    if kind == 0:
        del owner[key]  # type: ignore[arg-type]
    elif kind == 1 and isinstance(owner, dict):
        owner["unknown"] = owner[key]  # type: ignore[index]
    elif kind == 2 and isinstance(owner, list):
        owner += owner[:3]
    else:
        owner[key] = "@@"  # type: ignore[index]
    text = json.dumps(tree).replace('"@@"', raw, 1)
    return text.encode("utf-8", "surrogatepass")


def change_header(data: bytes, random: Random) -> bytes:
    """Replace the header of a ``.npy`` file."""
    if data[:6] != b"\x93NUMPY" or len(data) < 10:
        return flip(data, random)
    length = struct.unpack("<H", data[8:10])[0]
    text = random.choice((*HEADERS, data[10 : 10 + length].decode("latin-1").replace("1", "7")))
    header = text.encode("latin-1", "replace")[:65_000] + b"\n"
    version = random.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x09"))
    size = struct.pack("<H" if version[0] == 1 else "<I", len(header))
    return data[:6] + version + size + header + data[10 + length :]


def change_member(data: bytes, random: Random) -> bytes:
    """Damage one member of a zip and write the zip anew, so that all checksums are right."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:  # it is damaged already
        return flip(data, random)
    if not members:
        return flip(data, random)
    name = random.choice(sorted(members))
    kind = random.randrange(6)
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[random.choice(NAMES) or "x"] = members[name]
    else:
        suffix = "." + name.rpartition(".")[2]
        members[name] = mutate(members[name], suffix, tuple(members.values()), random)
    stream = io.BytesIO()
    method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(stream, "w", method) as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content, compress_type=method)
    return data[: data.find(b"PK\x03\x04")] + stream.getvalue()


def change_directory(data: bytes, random: Random) -> bytes:
    """Change a field in the directory, or in the heads of members, of a zip."""
    signature = random.choice((b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"))
    places = [i for i in range(len(data)) if data.startswith(signature, i)]
    if not places:
        return flip(data, random)
    place = random.choice(places) + random.randrange(4, 46)
    width = random.choice((1, 2, 4))
    new = (random.choice(NUMBERS) & ((1 << (8 * width)) - 1)).to_bytes(width, "little")
    return data[:place] + new + data[place + width :]


def change_text(data: bytes, random: Random) -> bytes:
    """Replace a word of a text by one that is hard to read."""
    words = data.split(b" ")
    hard = (
        b"9" * 5000,
        b"[" * 3000,
        b"\xff\xfe",
        b'"\\ud800"',
        b"1e999",
        b"\x00",
        b"nan",
        b"[[x]]",
    )
    words[random.randrange(len(words))] = random.choice(hard)
    return b" ".join(words)


_OF_BYTES: tuple[Mutation, ...] = (flip, truncate, overwrite, remove, repeat)
_ZIP: tuple[Mutation, ...] = (change_member, change_member, change_directory)
_OF_CONTENT: dict[str, tuple[Mutation, ...]] = {
    ".json": (change_json, change_json),
    ".npy": (change_header, change_header),
    **dict.fromkeys((".zip", ".npz", ".keras", ".pyz"), _ZIP),
    **dict.fromkeys((".toml", ".txt", ".csv"), (change_text,)),
}
"""Mutations of what the bytes mean, by the ending of the file's name."""
