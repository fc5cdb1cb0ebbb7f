"""Pictures in stores: fsspec's own in memory, and a real server of S3's protocol, started here."""

import http.server
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from typing import ClassVar

import pytest

from resnet_edge.data import stores
from resnet_edge.data.address import Address, parse_source
from resnet_edge.data.dataset import load_dataset, read_verified
from resnet_edge.data.manifest import read_manifest, write_manifest
from resnet_edge.data.places import ObjectPlace, RangePlace, find_place
from resnet_edge.data.sides import Side
from resnet_edge.data.split import Split
from resnet_edge.errors import DataError, PictureError, RuntimeMissingError, UsageError
from resnet_edge.ondevice.fit import Fit

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")


@pytest.fixture
def memory():
    """An empty store in memory, and a function that puts files there."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield lambda name, data: store.pipe_file(f"/{name}", data)
    store.store.clear()


@pytest.fixture
def photos(memory, picture):
    for side, first in (("train", 0), ("test", 10)):
        for number in range(4):
            name = f"photos/{side}/{'cat' if number % 2 else 'dog'}/{number}.png"
            memory(name, picture(first + number))
    memory("photos/train/cat/.DS_Store", b"junk")
    return Address("memory://photos")


def save(path, data):
    split = Split(data.pictures[:2], data.pictures[2:3], data.pictures[3:])
    write_manifest(path, data, split, (8, 8), Fit.CROP)
    return split


def test_folders(photos, tmp_path, picture):
    data = load_dataset(photos, tmp_path / "c")
    assert data.root == photos
    assert data.labels == ("cat", "dog")
    assert len(data.pictures) == 8
    assert set(data.sides) == {Side.TRAIN, Side.TEST}
    first = next(p for p in data.pictures if p.name == "train/cat/1.png")
    assert first.place == ObjectPlace(Address("memory://photos/train/cat/1.png"))
    assert read_verified(first) == picture(1)


def test_manifest_of_objects(photos, tmp_path, monkeypatch):
    data = load_dataset(photos, tmp_path / "c")
    split = save(tmp_path / "dataset.json", data)
    assert '"root": "memory://photos"' in (tmp_path / "dataset.json").read_text()
    asked = []
    whole = stores.describe
    monkeypatch.setattr(stores, "describe", lambda a: asked.append(a) or whole(a))
    assert read_manifest(tmp_path / "dataset.json").split == split
    assert len(asked) == 1  # not each picture
    fsspec.filesystem("memory").store.clear()
    with pytest.raises(
        DataError, match=r"8 of its 8 pictures are gone, the first is memory://phot"
    ):
        read_manifest(tmp_path / "dataset.json")


def test_an_object_that_vanished(photos, tmp_path):
    picture = load_dataset(photos, tmp_path / "c").pictures[0]
    fsspec.filesystem("memory").rm(str(picture.place).removeprefix("memory:/"))
    with pytest.raises(DataError) as caught:
        read_verified(picture)
    assert str(caught.value) == (
        f"{picture.place}: gone since the data were split; put it back, or run finetune again"
    )
    assert isinstance(caught.value.__cause__, PictureError)


def test_what_did_not_change_is_not_read_again(photos, tmp_path, monkeypatch):
    first = load_dataset(photos, tmp_path / "c")
    monkeypatch.setattr(stores, "read_object", lambda address: pytest.fail(str(address)))
    assert load_dataset(photos, tmp_path / "c") == first


def test_shards(memory, tmp_path, picture, tar):
    for number in range(2):
        members = {f"s{n}.png": picture(10 * number + n) for n in range(2)}
        members |= {f"s{n}.cls": str(n).encode() for n in range(2)}
        path = tar(tmp_path / "t.tar", members)
        memory(f"wds/shard-{number:02d}.tar", path.read_bytes())
    memory("wds/classnames.txt", b"cat\ndog\n")
    for source in ("memory://wds", "memory://wds/shard-{00..01}.tar", "memory://wds/*.tar"):
        data = load_dataset(parse_source(source), tmp_path / "c")
        assert [(p.name, p.label) for p in data.pictures] == [
            ("shard-00.tar/s0.png", 0),
            ("shard-00.tar/s1.png", 1),
            ("shard-01.tar/s0.png", 0),
            ("shard-01.tar/s1.png", 1),
        ]
        assert data.labels == ("cat", "dog")
        last = data.pictures[3]
        assert isinstance(last.place, RangePlace)
        assert read_verified(last) == picture(11)
        split = save(tmp_path / "dataset.json", data)
        assert read_manifest(tmp_path / "dataset.json").split == split
    with pytest.raises(UsageError, match=r"no file memory://wds/shard-02\.tar; expected archives"):
        load_dataset(parse_source("memory://wds/shard-{00..02}.tar"), tmp_path / "c")
    memory("wds/shard-01.tar", b"x" * 700)
    with pytest.raises(DataError, match=r"shard-01\.tar: not a tar file, or a damaged one \("):
        load_dataset(parse_source("memory://wds"), tmp_path / "c")


def test_parquet_in_a_store(memory, tmp_path, picture):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({"image": [picture(0), picture(1)], "label": ["a", "b"]}), tmp_path / "p"
    )
    memory("hf/data/train-0.parquet", (tmp_path / "p").read_bytes())
    data = load_dataset(Address("memory://hf"), tmp_path / "c")
    assert data.labels == ("a", "b")
    assert read_verified(data.pictures[1]) == picture(1)
    data = load_dataset(Address("memory://hf/data/train-0.parquet"), tmp_path / "c")
    assert data.root == Address("memory://hf/data/train-0.parquet")
    split = save(tmp_path / "dataset.json", data)
    assert '"#row=0.1"' in (tmp_path / "dataset.json").read_text()
    assert read_manifest(tmp_path / "dataset.json").split == split


def test_tables_of_addresses(memory, tmp_path, picture):
    memory("photos/a.png", picture(0))
    memory("photos/deep/b.png", picture(1))
    memory("photos/labels.csv", b"path,label\na.png,cat\n./deep/b.png,dog\n")
    stored = load_dataset(Address("memory://photos/labels.csv"), tmp_path / "c")
    assert [(p.name, p.label) for p in stored.pictures] == [("a.png", 0), ("deep/b.png", 1)]
    here = tmp_path / "here.csv"
    (tmp_path / "c.png").write_bytes(picture(2))
    here.write_text("c.png,cat\nmemory://photos/deep/b.png,dog\n")
    mixed = load_dataset(here, tmp_path / "c")
    assert [p.name for p in mixed.pictures] == ["c.png", "memory://photos/deep/b.png"]
    split = save(tmp_path / "dataset.json", mixed)
    assert read_manifest(tmp_path / "dataset.json").split == split


def test_imagenet_in_a_store(memory, tmp_path, picture):
    for number, synset in enumerate(("n01440764", "n02012849")):
        memory(f"in/data/train/{synset}/1.JPEG", picture(number, "JPEG"))
        memory(f"in/data/val/ILSVRC2012_val_0000000{number}.JPEG", picture(9 + number, "JPEG"))
    lines = "ILSVRC2012_val_00000000,n02012849 1\nILSVRC2012_val_00000001,n01440764 1\n"
    memory("in/LOC_val_solution.csv", f"ImageId,PredictionString\n{lines}".encode())
    memory("in/LOC_synset_mapping.txt", b"n01440764 tench, x\nn02012849 crane\n")
    for source in ("memory://in", "memory://in/data"):
        data = load_dataset(Address(source), tmp_path / "c")
        assert data.labels == ("tench", "crane")
        assert {p.name[-13:]: p.label for p in data.pictures if "val" in p.name} == {
            "00000000.JPEG": 1,
            "00000001.JPEG": 0,
        }


def test_addresses_that_lead_nowhere(memory, tmp_path):
    for source in ("memory://nothing", "memory://nothing.tar", "memory://no/labels.csv"):
        with pytest.raises((UsageError, DataError)) as caught:
            load_dataset(Address(source), tmp_path / "c")
        assert str(caught.value).startswith(f"{source}: ")
    memory("photos.zip", b"PK")
    with pytest.raises(DataError, match=r"photos\.zip: a single file; expected a folder, a \.csv"):
        load_dataset(Address("memory://photos.zip"), tmp_path / "c")
    memory("photos.tar.gz", b"\x1f\x8b")
    with pytest.raises(DataError, match=r"photos\.tar\.gz: compressed as a whole, so no picture"):
        load_dataset(Address("memory://photos.tar.gz"), tmp_path / "c")
    with pytest.raises(DataError) as caught:
        load_dataset(Address("sth://bucket/x"), tmp_path / "c")
    assert str(caught.value) == (
        "sth://bucket/x: addresses that begin with sth:// are not known; expected for instance "
        "s3://, gs:// or https://; check the address"
    )


def test_a_package_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(RuntimeMissingError) as caught:
        load_dataset(Address("gs://bucket/photos"), tmp_path / "c")
    assert str(caught.value) == (
        "gs://bucket/photos: gcsfs, which reads such addresses, is not installed; run `pip install "
        "gcsfs`"
    )
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(
        RuntimeMissingError, match=r"fsspec, which reads such .* `pip install fsspec`"
    ):
        load_dataset(Address("s3://bucket/photos"), tmp_path / "c")


def test_secrets_are_neither_taken_nor_shown():
    with pytest.raises(UsageError) as caught:
        parse_source("https://me:secret@host/photos")
    assert "secret" not in str(caught.value)
    signed = Address("https://host/a%20b.jpg?X-Signature=secret")
    assert str(signed) == "https://host/a%20b.jpg"
    assert signed.name == "a b.jpg"
    assert "secret" not in str(ObjectPlace(signed))
    assert find_place(signed.url, Address("https://host"), "a") == ObjectPlace(signed)
    with pytest.raises(DataError) as caught, stores.asking(signed):
        raise OSError(f"failed: {signed.url}")
    assert "secret" not in str(caught.value)


def test_file_addresses_are_paths(tmp_path):
    assert parse_source((tmp_path / "a b").as_uri()) == tmp_path / "a b"


# A real server: `moto_server`, from any environment, beside s3fs in this one.

MOTO = shutil.which("moto_server", path=os.environ.get("MOTO_BIN", os.environ.get("PATH")))
needs_s3 = pytest.mark.skipif(
    MOTO is None or importlib.util.find_spec("s3fs") is None,
    reason="needs s3fs, and moto_server in PATH or in the folder MOTO_BIN",
)


@pytest.fixture(scope="module")
def server():
    """A server of S3's protocol; returns its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    words = [str(MOTO), "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(address, timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def bucket(server, monkeypatch):
    """A bucket, and what a user's environment says of it."""
    import s3fs

    urllib.request.urlopen(
        urllib.request.Request(f"{server}/moto-api/reset", method="POST")
    ).close()
    for name, value in (
        ("AWS_ENDPOINT_URL", server),
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    files.mkdir("photos")
    yield files
    s3fs.S3FileSystem.clear_instance_cache()


@needs_s3
def test_s3(bucket, tmp_path, picture, tar, monkeypatch):
    for number in range(4):
        bucket.pipe_file(f"photos/set/{'ab'[number % 2]}/{number}.png", picture(number))
    data = load_dataset(Address("s3://photos/set"), tmp_path / "c")
    assert [(p.name, p.label) for p in data.pictures] == [
        *(("a/0.png", 0), ("a/2.png", 0), ("b/1.png", 1), ("b/3.png", 1)),
    ]
    assert read_verified(data.pictures[1]) == picture(2)
    split = save(tmp_path / "dataset.json", data)
    assert read_manifest(tmp_path / "dataset.json").split == split
    path = tar(
        tmp_path / "t.tar", {"1.png": picture(7), "1.cls": b"x", "2.png": picture(8), "2.cls": b"y"}
    )
    bucket.put_file(str(path), "photos/wds/s-0.tar")
    shards = load_dataset(Address("s3://photos/wds/s-{0..0}.tar"), tmp_path / "c")
    assert read_verified(shards.pictures[1]) == picture(8)
    bucket.rm("photos/set/a/2.png")
    with pytest.raises(
        DataError, match=r"^s3://photos/set/a/2\.png: gone since the data were split"
    ):
        read_verified(data.pictures[1])
    monkeypatch.setattr(stores, "read_object", lambda address: pytest.fail(str(address)))
    assert len(load_dataset(Address("s3://photos/set"), tmp_path / "c").pictures) == 3


@needs_s3
def test_a_bucket_that_is_not_there_or_not_ours(bucket, server, tmp_path, monkeypatch):
    with pytest.raises(
        UsageError, match=r"^s3://nobody/x: nothing is there; expected a folder per"
    ):
        load_dataset(Address("s3://nobody/x"), tmp_path / "c")
    with pytest.raises(UsageError, match=r"^s3://photos: nothing is there"):
        load_dataset(Address("s3://photos"), tmp_path / "c")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    type(bucket).clear_instance_cache()
    with pytest.raises(DataError) as caught:
        load_dataset(Address("s3://photos/set"), tmp_path / "c")
    assert str(caught.value) == (
        "s3://photos/set: access refused (Unable to locate credentials); check the address, and "
        "the credentials, which are found by the store's own means (environment, files, the "
        "machine's role)"
    )


@needs_s3
def test_a_bucket_without_permission(bucket, server, tmp_path):
    """The server checks keys from now on, and knows none."""
    request = urllib.request.Request(
        f"{server}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(request).close()
    try:
        with pytest.raises(DataError) as caught:
            load_dataset(Address("s3://photos/set"), tmp_path / "c")
    finally:
        request.data = b"inf"
        urllib.request.urlopen(request).close()
    assert str(caught.value).startswith("s3://photos/set: access refused (")
    assert "; check the address, and the credentials, which are found by" in str(caught.value)


@needs_s3
def test_a_store_that_does_not_answer(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    type(bucket).clear_instance_cache()
    with pytest.raises(DataError, match=r"^s3://photos/set: cannot be read \(.*\); check the addr"):
        load_dataset(Address("s3://photos/set"), tmp_path / "c")


class _Site(http.server.BaseHTTPRequestHandler):
    """A plain server that knows no ranges; what is named ``private`` it refuses."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        data = self.files.get(path, b"")
        self.send_response(403 if "private" in path else 200 if data else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()
        _Site.files.clear()


def test_a_table_of_web_addresses(site, tmp_path, picture):
    _Site.files |= {f"/{n}.png": picture(n) for n in range(3)}
    table = tmp_path / "labels.csv"
    table.write_text(f"{site}/0.png?token=secret,cat\n{site}/1.png,dog\n{site}/2.png,dog\n")
    data = load_dataset(table, tmp_path / "c")
    assert [p.name for p in data.pictures] == [f"{site}/{n}.png" for n in range(3)]
    split = save(tmp_path / "dataset.json", data)
    assert read_manifest(tmp_path / "dataset.json").split == split
    del _Site.files["/0.png"]
    with pytest.raises(DataError) as caught:
        read_verified(data.pictures[0])
    assert str(caught.value).startswith(f"{site}/0.png: gone since the data were split")
    table.write_text(f"{site}/private/1.png?token=secret,cat\n{site}/1.png,dog\n")
    with pytest.raises(DataError) as caught:
        load_dataset(table, tmp_path / "c")
    assert f"\n  {site}/private/1.png: access refused (403" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_shard_on_a_server_that_knows_no_ranges(site, tmp_path, picture, tar):
    members = {"1.png": picture(1), "1.cls": b"x", "2.png": picture(2), "2.cls": b"y"}
    _Site.files["/s.tar"] = tar(tmp_path / "s.tar", members).read_bytes()
    with pytest.raises(DataError) as caught:
        load_dataset(Address(f"{site}/s.tar"), tmp_path / "c")
    assert f"{site}/s.tar" in str(caught.value)
    assert len(str(caught.value)) < 900
