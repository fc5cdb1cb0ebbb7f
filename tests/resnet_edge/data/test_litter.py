import pytest
from PIL import Image

from resnet_edge.data.dataset import load_dataset
from resnet_edge.data.tree import read_tree
from resnet_edge.errors import DataError

FILES = (
    *(".DS_Store", "._1.png", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.ini", "Icon\r"),
    *(".directory", ".nomedia", ".picasa.ini", "Picasa.ini", "1.png@SynoEAStream", ".gitkeep"),
    *("1.png.json", "1.png.supplemental-metadata.json", "1.AAE", "1.xmp", "1.mov", ".1.png.swp"),
    *(".trashed-1700000000-1.png", ".pending-17-1.png", "1.png:Zone.Identifier", ".nfs0001.jpg"),
)
FOLDERS = (
    *("__MACOSX", ".ipynb_checkpoints", "@eaDir", "$RECYCLE.BIN", "System Volume Information"),
    *("lost+found", ".git", ".Trash-1000", ".thumbnails", "#recycle", "@Recycle", ".AppleDouble"),
    *("__pycache__", ".Spotlight-V100", "Network Trash Folder", "found.000", ".@__thumb", "@tmp"),
    *("Photos.photoslibrary", "x.lrdata", ".venv", "$Recycle.Bin", "RECYCLER"),
)


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for number, name in enumerate(("cat/1.png", "cat/2.png", "dog/1.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(root / name)
    return root


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_system_is_no_data_and_no_error(photos, tmp_path, name):
    for folder in (photos, photos / "cat"):
        (folder / name).write_bytes((photos / "cat" / "1.png").read_bytes())
    data = load_dataset(photos, tmp_path / "c")
    assert [p.name for p in data.pictures] == ["cat/1.png", "cat/2.png", "dog/1.png"]
    assert data.skipped == ()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_a_system_is_no_data_and_no_error(photos, tmp_path, name):
    for folder in (photos, photos / "cat", photos / "cat" / "deep"):
        (folder / name / "inner").mkdir(parents=True)
        for file in ("thumb.png", "inner/thumb.png", "x.bin"):
            (folder / name / file).write_bytes((photos / "dog" / "1.png").read_bytes())
    data = load_dataset(photos, tmp_path / "c")
    assert data.labels == ("cat", "dog")
    assert len(data.pictures) == 3


def test_a_json_or_a_video_of_its_own_is_an_error(photos, tmp_path):
    for name in ("3.png.json", "3.mov", "notes.json"):
        (photos / "cat" / name).write_bytes(b"{}")
    with pytest.raises(DataError, match="3 of 6 files cannot be used"):
        load_dataset(photos, tmp_path / "c")


def build_of(root):
    for name in ("cache/unpacked", "artifacts", "results"):
        (root / name).mkdir(parents=True)
    for name in ("model.keras", "dataset.json", "artifacts/fp32.tflite", "report.html", "x.png"):
        (root / name).write_bytes(b"ours")


@pytest.mark.parametrize("place", ["build", "build 2", "cat/out", "cat/deep/out"])
def test_our_own_output_is_no_data(photos, tmp_path, place):
    build_of(photos / place)
    data = load_dataset(photos, tmp_path / "c", exclude=photos / "other")
    assert data.labels == ("cat", "dog")
    assert {p.name for p in data.pictures} == {"cat/1.png", "cat/2.png", "dog/1.png"}


def test_the_output_of_this_run_is_no_data_from_its_first_file_on(photos, tmp_path):
    (photos / "build").mkdir()
    (photos / "build" / "half.part").write_bytes(b"ours")
    data = load_dataset(photos, photos / "build" / "cache", exclude=photos / "build")
    assert data.labels == ("cat", "dog")


def test_photos_in_the_build_folder_itself(photos):
    build_of(photos)
    (photos / "x.png").unlink()
    data = load_dataset(photos, photos / "cache" / "unpacked", exclude=photos)
    assert data.labels == ("cat", "dog")
    assert [f.name for f in read_tree(photos).folders] == ["cat", "dog"]


def test_a_class_named_like_a_folder_of_ours_stays(photos, tmp_path):
    (photos / "cat").rename(photos / "results")
    assert load_dataset(photos, tmp_path / "c").labels == ("dog", "results")
