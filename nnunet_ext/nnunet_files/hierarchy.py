"""Which class lies in which: the nesting of a dataset.json, cut into chains that each share one channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nnunet_ext.errors import UserError

BACKGROUND, IGNORE = "background", "ignore"

_Parents = dict[str, str | None]


@dataclass(frozen=True)
class Hierarchy:
    """The classes of a dataset as a tree whose root is the background.

    A chain is a run of classes of which each lies in the one before and is the only one in it. It starts in
    the background, or where several classes that exclude each other lie in one, and shares one channel: its
    classes are the levels 1, 2, … of that channel.

    Parameters
    ----------
    labels : dict
        Class -> integer labels of it and of all that lies in it, in the order of dataset.json, without
        background and ignore.
    parents : dict
        Class -> the class it lies in, None for the background.
    regions : bool
        Whether nnU-Net trains these classes as overlapping regions, or as exclusive labels.
    """

    labels: dict[str, tuple[int, ...]]
    parents: _Parents
    regions: bool

    def __str__(self) -> str:
        """As the tree of a ``"nesting"``, and whether it is one of regions."""

        def of(name: str | None) -> str:
            return ", ".join(f"{inner}: {{{of(inner)}}}" for inner in self.children[name])

        return f"{{{of(None)}}}" + (" (regions)" if self.regions else "")

    @property
    def children(self) -> dict[str | None, list[str]]:
        """Class (None: background) -> the classes directly in it."""
        children: dict[str | None, list[str]] = {None: [], **{name: [] for name in self.parents}}
        for name, parent in self.parents.items():
            children[parent].append(name)
        return children

    @property
    def chains(self) -> tuple[tuple[str, ...], ...]:
        """The chains, outer ones first, each from its outermost class inwards."""
        children, chains = self.children, []
        starts = list(children[None])
        for start in starts:  # grows
            chain = [start]
            while len(children[chain[-1]]) == 1:
                chain += children[chain[-1]]
            starts += children[chain[-1]]
            chains.append(tuple(chain))
        return tuple(chains)

    @property
    def siblings(self) -> tuple[tuple[int, ...], ...]:
        """Groups of chains that exclude each other: those which start in the same class."""
        first = [self.parents[chain[0]] for chain in self.chains]
        groups = {parent: [j for j, other in enumerate(first) if other == parent] for parent in first}
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)

    @property
    def own_label(self) -> dict[str, int]:
        """Class -> the label of what is in it but in none of its inner classes, if that is one label."""
        children = self.children
        inner = {name: {y for c in children[name] for y in self.labels[c]} for name in self.labels}
        rest = {name: sorted(set(self.labels[name]) - inner[name]) for name in self.labels}
        return {name: labels[0] for name, labels in rest.items() if len(labels) == 1}

    def level(self, label: int, chain: tuple[str, ...]) -> int:
        """How many classes of a chain a label lies in."""
        return sum(label in self.labels[name] for name in chain)

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Row y: the level of label y in every chain; y from 0, the background, to the largest label."""
        largest = max(max(labels) for labels in self.labels.values())
        return tuple(tuple(self.level(y, chain) for chain in self.chains) for y in range(largest + 1))


def hierarchy_of(dataset_json: Mapping[str, Any]) -> Hierarchy:
    """Read the hierarchy of a dataset.

    Parameters
    ----------
    dataset_json : mapping
        nnU-Net's dataset.json. Of labels, ``"nesting"`` says what lies in what: a chain from the outside in,
        ``["cell", "nucleus"]``, or a tree, ``{"cell": {"nucleus": {}}, "debris": {}}``; left out, each label
        lies in the one before. Of regions, their sets of labels say it.

    Returns
    -------
    Hierarchy

    Raises
    ------
    UserError
        If a label is missing from the nesting, unknown, named twice or within itself; if two regions overlap
        and neither lies in the other; if regions come with a nesting that is not theirs. The text names it.
    """
    named = {
        name: tuple(value) if isinstance(value, (list, tuple)) else (value,)
        for name, value in dataset_json["labels"].items()
        if name not in (BACKGROUND, IGNORE)
    }
    if not named:
        raise UserError("dataset.json has no label but the background: there is nothing to nest.")
    nesting = dataset_json.get("nesting")
    regions = any(len(labels) > 1 for labels in named.values())
    if regions:
        parents = _parents_of_regions(named)
        if nesting is not None and _parents_in(nesting, named) != parents:
            raise UserError(
                'dataset.json: "nesting" says something else than the regions, whose labels already say what '
                'lies in what. Leave "nesting" out.'
            )
        return Hierarchy(named, parents, regions)
    order = sorted(named, key=lambda name: named[name])
    parents = _parents_in(order if nesting is None else nesting, named)
    return Hierarchy(_with_inner_labels(named, parents), parents, regions)


def _with_inner_labels(named: dict[str, tuple[int, ...]], parents: _Parents) -> dict[str, tuple[int, ...]]:
    all_labels = {name: list(labels) for name, labels in named.items()}
    for name, labels in named.items():
        outer = parents[name]
        while outer is not None:
            all_labels[outer] += labels
            outer = parents[outer]
    return {name: tuple(sorted(labels)) for name, labels in all_labels.items()}


def _parents_of_regions(regions: dict[str, tuple[int, ...]]) -> _Parents:
    """The smallest region around each."""
    sets = {name: frozenset(labels) for name, labels in regions.items()}
    names = list(sets)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            a, b = sets[one], sets[other]
            if a == b or not (a < b or b < a or a.isdisjoint(b)):
                raise UserError(
                    f"dataset.json: the regions '{one}' and '{other}' overlap, and neither lies in the "
                    "other: not nested. nnU-Net's own trainer, or nnUNetTrainerExt, takes them."
                )
    around = {name: [other for other in names if sets[name] < sets[other]] for name in names}
    return {
        name: min(others, key=lambda other: len(sets[other]), default=None) for name, others in around.items()
    }


def _parents_in(nesting: Any, named: Mapping[str, Any]) -> _Parents:
    """What ``"nesting"`` says, in the order of the labels."""
    if isinstance(nesting, list) and all(isinstance(name, str) for name in nesting):
        tree: Any = {}
        for name in reversed(nesting):
            tree = {name: tree}
    else:
        tree = nesting
    if isinstance(tree, dict) and list(tree) == [BACKGROUND]:
        tree = tree[BACKGROUND]
    parents: _Parents = {}
    _collect(tree, (), parents, named)
    missing = [name for name in named if name not in parents]
    if missing:
        verb = "lies" if len(missing) == 1 else "lie"
        raise UserError(f'dataset.json: "nesting" does not say where {_quoted(missing)} {verb}.')
    return {name: parents[name] for name in named}


def _collect(tree: Any, path: tuple[str, ...], parents: _Parents, named: Mapping[str, Any]) -> None:
    where = f"in '{path[-1]}'" if path else "at the top"
    if not isinstance(tree, dict):
        raise UserError(
            f'dataset.json: "nesting" is a chain like ["cell", "nucleus"] or a tree like {{"cell": '
            f'{{"nucleus": {{}}}}}}; {where} there is {tree!r}.'
        )
    for name, inner in tree.items():
        if name not in named:
            known = f"The labels are {_quoted(named)}"
            raise UserError(f"dataset.json: \"nesting\" names '{name}', which is no label to nest. {known}.")
        if name in path:
            raise UserError(f"dataset.json: \"nesting\" puts '{name}' within itself.")
        if name in parents:
            raise UserError(f"dataset.json: \"nesting\" names '{name}' twice. A class lies in one other.")
        parents[name] = path[-1] if path else None
        _collect(inner, (*path, name), parents, named)


def _quoted(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)
