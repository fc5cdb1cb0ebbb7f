"""Folders of pictures as people keep them: a folder per class, a folder per side, or both.

    cat/1.jpg                         classes
    train/cat/1.jpg  test/cat/2.jpg   sides, then classes
    cat/train/1.jpg  cat/test/2.jpg   classes, then sides

Folders around these are looked through. A name like ``train`` alone decides nothing: all folders
beside it must be sides too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath, PurePosixPath

from resnet_edge.data.address import Source
from resnet_edge.data.class_folders import ClassFolder, list_class_folders
from resnet_edge.data.imagenet import KitFiles, is_synset, is_validation, labels_in_words
from resnet_edge.data.listing import Candidate, Listing, candidates_of
from resnet_edge.data.names import is_utf8, label_of, natural_key, shown
from resnet_edge.data.origins import Origin
from resnet_edge.data.sides import Side, SideName, side_name
from resnet_edge.data.tree import Folder
from resnet_edge.errors import DataError

_NAMED = 5
"""Names in a note; of more, the number is given."""
_HOW = "sides, such as train and test, with a folder per class in each, or a folder per class"


@dataclass(frozen=True)
class _Found:
    """What a layout says: the class folders, and what lies outside of them."""

    folders: tuple[ClassFolder, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def list_folders(
    tree: Folder, source: Source, known: tuple[str, ...] | None, origin: Origin
) -> Listing:
    """List the pictures of a folder by class and, where folders say it, by side.

    Args:
        tree: The folder.
        origin: What it was read from.
        source: Its name in messages.
        known: Labels of a model that exists; a folder named like one is a class.

    Raises:
        DataError: There are no class folders, or they contradict each other.
    """
    top, outside = _look_through(tree, known or ())
    kit = _kit_files(tree, top, source, origin)
    if not top.folders and is_validation(top.pictures):
        flat = _flat(top, kit, None)
        return _listing(_Found((flat,)), top, tree, outside, known, kit, origin)
    if not top.folders:
        raise DataError(
            f"{source}: no folders in it; expected a folder per class with its pictures, "
            "for instance cat/1.jpg and dog/1.jpg" + _table_advice(top)
        )
    if bad := [folder.name for folder in top.folders if not is_utf8(folder.name)]:
        raise DataError(f"{source}: folder {bad[0]!r} is not named in UTF-8; rename it")
    found = _sides_then_classes(top, source, known, kit) or _classes_then_sides(top, source)
    if found is None:
        classes = tuple(ClassFolder(f, _label(f, source), None) for f in top.folders)
        _check_copies(top, source)
        found = _Found(classes, _loose(top, top.path), _same_inside(top))
    return _listing(found, top, tree, outside, known, kit, origin)


def _listing(
    found: _Found,
    top: Folder,
    tree: Folder,
    outside: tuple[str, ...],
    known: tuple[str, ...] | None,
    kit: KitFiles,
    origin: Origin,
) -> Listing:
    used = {label for c in found.folders for label in (c.labels.values() or [c.label])}
    synsets, names = {label for label in used if is_synset(label)}, {}
    if synsets == used and (words := kit.words()):
        names = labels_in_words(synsets, words, known)
    candidates, problems = list_class_folders(found.folders, top.path, origin, names)
    return Listing(
        root=origin.root(top.path),
        labels=tuple(names.get(label, label) for label in sorted(used, key=natural_key)),
        candidates=candidates,
        problems=(*outside, *found.problems, *problems),
        notes=(*found.notes, *(f"{shown(str(p))}: hidden, passed over" for p in tree.hidden)),
    )


def _kit_files(tree: Folder, top: Folder, source: Source, origin: Origin) -> KitFiles:
    """The files that ImageNet comes with may lie in the folders of the sides, or around them."""
    above = [path for path in (top.path, *top.path.parents) if path.is_relative_to(tree.path)]
    sides = [folder.path for folder in top.folders if side_name(folder.name) is not None]
    folders = dict.fromkeys((*above, *sides, *origin.around()))
    return KitFiles(tuple(folders), origin.read, source)


def _flat(folder: Folder, kit: KitFiles, side: Side | None) -> ClassFolder:
    """A flat folder of ImageNet's, with the labels of its pictures from a file.

    Raises:
        DataError: There is no such file.
    """
    names = [name for inner in folder.walk() for name in inner.pictures]
    found = kit.validation_labels(names)
    if found is None:
        raise kit.missing(folder.name or "it", len(names))
    return ClassFolder(folder, "", side, *found)


def _look_through(tree: Folder, known: Sequence[str]) -> tuple[Folder, tuple[str, ...]]:
    """Enter the only folder with pictures, as long as it has folders with pictures in it.

    Returns:
        The folder in which the layout begins, and problems of pictures on the way to it.
    """
    problems: tuple[str, ...] = ()
    top = tree
    while True:
        inner = [folder for folder in top.folders if folder.has_pictures]
        if len(inner) != 1 or label_of(inner[0].name) in known:
            return top, problems
        (only,) = inner
        deeper = [folder for folder in only.folders if folder.has_pictures]
        is_class = not deeper or (only.pictures and len(deeper) < 2)
        if is_class or any(folder.empty for folder in top.folders):
            return top, problems
        problems += _loose(top, tree.path)
        top = only


def _sides_then_classes(
    top: Folder, source: Source, known: tuple[str, ...] | None, kit: KitFiles
) -> _Found | None:
    folders = [folder for folder in top.folders if folder.has_pictures]
    names = {folder.name: found for folder in folders if (found := side_name(folder.name))}
    if not _is_split(folders, names, source):
        return None
    classes: list[ClassFolder] = []
    problems: list[str] = list(_loose(top, top.path))
    notes: list[str] = []
    imagenet = any(map(_holds_synsets, folders))
    for folder in folders:
        side = names[folder.name].side
        inner, outside = _look_through(folder, known or ())
        if imagenet and not _holds_synsets(folder):
            if side is Side.VALIDATION:
                classes.append(flat := _flat(folder, kit, side))
                notes.append(f"{folder.name}: labels from {flat.labels_file}")
            else:
                notes.append(f"{folder.name}: pictures without class folders, not used")
            continue
        if side is Side.UNLABELLED or not any(f.has_pictures for f in inner.folders):
            notes.append(f"{folder.name}: pictures without class folders, not used")
            continue
        problems += [*outside, *_loose(inner, top.path)]
        classes += [ClassFolder(f, _label(f, source), side) for f in inner.folders]
    if not classes:
        raise DataError(
            f"{source}: folders {', '.join(names)} look like a split, not like classes; expected "
            "folders per class in them; sort the pictures into classes, or pass a table of paths "
            "and labels (path,label,split) as --data; if these are classes, rename them"
        )
    notes.insert(0, _split_note([(f.name, names[f.name].side) for f in folders]))
    return _Found(tuple(classes), tuple(problems), tuple(notes))


def _holds_synsets(folder: Folder) -> bool:
    """Return True for a side whose classes are named like ImageNet's."""
    inside = [inner.name for inner in folder.folders if inner.has_pictures]
    return bool(inside) and all(map(is_synset, inside))


def _is_split(folders: list[Folder], names: dict[str, SideName], source: Source) -> bool:
    """Decide by all folders that lie side by side; the name of one says nothing.

    Raises:
        DataError: Some hold the same classes and are named like sides, the others are not.
    """
    if len({name.side for name in names.values()}) < 2:
        return False
    rests = {name.rest for name in names.values()}
    others = [folder.name for folder in folders if folder.name not in names]
    if len(rests) > 1 and (others or "" not in rests):
        return False
    if not others and len(rests) == 1:
        return True
    shared = _share_classes(folders, names)
    if others and shared:
        raise DataError(
            f"{source}: folders {', '.join(names)} look like a split, {', '.join(others)} does "
            f"not; expected {_HOW}; move or rename what does not belong to them"
        )
    return shared


def _share_classes(folders: list[Folder], names: dict[str, SideName]) -> bool:
    """Return True if a side holds two classes, or more, that another folder holds as well."""
    inside: dict[Side | None, set[str]] = {}
    for folder in folders:
        inner, _ = _look_through(folder, ())
        side = names[folder.name].side if folder.name in names else None
        inside.setdefault(side, set()).update(_inside(inner))
    sides = list(inside.values())
    return any(len(a & b) >= 2 for i, a in enumerate(sides) for b in sides[:i])


def _inside(folder: Folder) -> set[str]:
    """The labels of the folders with pictures in a folder."""
    return {label_of(inner.name) for inner in folder.folders if inner.has_pictures}


def _classes_then_sides(top: Folder, source: Source) -> _Found | None:
    """Read ``cat/train/1.jpg``: every class must be divided, and into nothing but sides."""
    divided: dict[str, list[tuple[Folder, Side]]] = {}
    whole: list[str] = []
    for folder in top.folders:
        parts = [(inner, side_name(inner.name)) for inner in folder.folders if inner.has_pictures]
        sides = [(inner, name.side) for inner, name in parts if name is not None]
        if not sides or len(sides) < len(parts) or folder.pictures:
            whole.append(folder.name)
        else:
            divided[folder.name] = sides
    several = [name for name, sides in divided.items() if len({side for _, side in sides}) > 1]
    if not several:
        return None
    if whole:
        raise DataError(
            f"{source}: folder {several[0]} is divided into "
            f"{', '.join(inner.name for inner, _ in divided[several[0]])}, {whole[0]} is not; "
            f"expected all classes to be divided alike; expected {_HOW}"
        )
    classes = [
        ClassFolder(inner, _label(folder, source), side)
        for folder in top.folders
        for inner, side in divided[folder.name]
    ]
    names = {inner.name: side for sides in divided.values() for inner, side in sides}
    loose = [problem for folder in top.folders for problem in _loose(folder, top.path)]
    note = _split_note(sorted(names.items(), key=lambda item: natural_key(item[0])))
    return _Found(tuple(classes), (*_loose(top, top.path), *loose), (note,))


def _split_note(names: list[tuple[str, Side]]) -> str:
    sides = [
        f"{', '.join(listed[:_NAMED])}{' …' if len(listed) > _NAMED else ''} for {side.value}"
        for side in Side
        if (listed := [name for name, of in names if of is side]) and side is not Side.UNLABELLED
    ]
    return f"the folders are a split: {'; '.join(sides)}"


def _check_copies(top: Folder, source: Source) -> None:
    """Refuse a folder among the classes that holds all of them once more, as some archives do.

    Raises:
        DataError: There is one.
    """
    labels = {label_of(folder.name) for folder in top.folders}
    for folder in top.folders:
        inside = _inside(folder)
        others = labels - {label_of(folder.name)}
        if len(inside & others) >= 2 and not folder.pictures:
            raise DataError(
                f"{source}: folder {folder.name} lies among the classes and holds folders of the "
                f"same names ({', '.join(sorted(inside & others)[:_NAMED])}), as a copy of all "
                "does; expected a class; remove it, or pass it alone as --data"
            )


def _same_inside(top: Folder) -> tuple[str, ...]:
    """A note where all classes are divided into folders of the same names, two at least."""
    inside = [
        {label_of(f.name) for f in folder.folders if f.has_pictures} for folder in top.folders
    ]
    common = sorted(set.intersection(*inside)) if len(inside) > 1 else []
    if len(common) < 2:
        return ()
    return (
        f"each of the classes {', '.join([f.name for f in top.folders][:_NAMED])} has folders "
        f"{', '.join(common[:_NAMED])}: taken as parts of a class; if those are the classes, put "
        "them at the top",
    )


def _label(folder: Folder, source: Source) -> str:
    label = label_of(folder.name)
    if not label or not label.isprintable():
        raise DataError(
            f"{source}: folder {folder.name!r} cannot be a label; expected letters; rename it"
        )
    return label


def _loose(folder: Folder, root: PurePath) -> tuple[str, ...]:
    """Problems of the pictures that lie beside the class folders, or beside the sides."""
    return tuple(
        f"{shown((folder.path / name).relative_to(root).as_posix())}: a picture outside the class "
        "folders; move it into one"
        for name in folder.pictures
    )


def _table_advice(top: Folder) -> str:
    tables = [name for name in top.files if name.casefold().endswith((".csv", ".tsv"))]
    return f"; if {tables[0]} lists their classes, pass that file instead" if tables else ""


def list_any(tree: Folder, source: Source, known: tuple[str, ...], origin: Origin) -> Listing:
    """List all pictures below a folder, in whatever folders they lie.

    Args:
        tree: The folder.
        origin: What it was read from.
        source: Its name in messages.
        known: The model's labels. A folder named like one, at any depth, gives its pictures that
            label; others have none.

    Returns:
        A listing with sides where the folders are a split.
    """
    try:
        listing = list_folders(tree, source, known, origin)
    except DataError:  # pictures without classes will do
        pass
    else:
        if listing.candidates.sides() - {None}:
            return listing
    candidates, problems = list_class_folders([ClassFolder(tree, "", None)], tree.path, origin, {})
    labelled = candidates_of(
        replace(c, label=next((label_of(p) for p in _folders(c) if label_of(p) in known), ""))
        for c in candidates
    )
    return Listing(origin.root(tree.path), known, labelled, tuple(problems), ())


def _folders(candidate: Candidate) -> tuple[str, ...]:
    return PurePosixPath(candidate.name).parts[:-1]
