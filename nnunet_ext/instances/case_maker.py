"""One case of a folder of predictions: read it, make instances, write them."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase, UserError, out_of_memory
from nnunet_ext.images.image import Grid
from nnunet_ext.images.instance_files import ENDING, write_instances
from nnunet_ext.instances.from_probabilities import from_probabilities
from nnunet_ext.instances.from_semantic import from_semantic
from nnunet_ext.instances.losses import Losses, default_distance
from nnunet_ext.instances.opening import open_cells
from nnunet_ext.instances.options import CellClasses, InstanceOptions
from nnunet_ext.nnunet_files.orientation import Turn, turn_to_file
from nnunet_ext.nnunet_files.reading import read_labels, read_probabilities

_COUNTED_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class CaseMaker:
    """Makes one case after the other; can be sent to other processes.

    Attributes
    ----------
    reader : nnunetv2.imageio.base_reader_writer.BaseReaderWriter
        nnU-Net's reader of the dataset.
    classes : CellClasses
        Which labels are what.
    options : InstanceOptions
        How instances are made.
    output : Path
        Folder for ``CASE.tif``.
    threads : int
        Of each case.
    """

    reader: Any
    classes: CellClasses
    options: InstanceOptions
    output: Path
    threads: int

    def __call__(self, item: tuple[str, list[Path]]) -> tuple[str, dict[str, Any] | UnusableCase]:
        """Make a case from its label file and, if need be, .npz; return it with statistics, or why not."""
        case, files = item
        return case, self._write(case, files)

    def _write(self, case: str, files: list[Path]) -> dict[str, Any] | UnusableCase:
        try:
            with self._scratch(case) as scratch:
                losses = Losses()
                instances, spacing = self._make(files, scratch, losses)
                write_instances(self.output / f"{case}{ENDING}", instances, spacing)
                return {
                    **_statistics(instances),
                    **asdict(losses),
                    "spacing": None if spacing is None else list(spacing),
                }
        except UnusableCase as problem:
            return problem
        except UserError as problem:
            return UnusableCase(f"{case}: {problem}")
        except MemoryError as error:
            tiles = "" if self.options.tile or self.options.method == "watershed" else "--tile, or "
            return UnusableCase(out_of_memory(files[-1], error, f"Try {tiles}fewer processes (-np)."))

    def _make(
        self, files: list[Path], scratch: Path | None, losses: Losses
    ) -> tuple[NDArray[Any], tuple[float, ...] | None]:
        """Return the instances with the axes of the file, and their spacing, if it is known."""
        known, ignored = range(self.classes.largest + 1), self.classes.ignored
        labels, grid = read_labels(self.reader, files[0], known, ignored)
        turn, shape = turn_to_file(self.reader, files[0], grid), labels.shape
        labels = np.ascontiguousarray(turn.array(labels))
        spacing = self._spacing(labels.ndim, grid, turn)
        common: dict[str, Any] = {
            "connectivity": self._connectivity(files[0], labels.ndim),
            "min_size": self.options.min_size,
            "spacing": spacing,
            "max_distance": self._max_distance(spacing, labels.ndim),
            "losses": losses,
            "tile": self.options.tile,
            "threads": self.threads,
            "scratch": scratch,
        }
        if not self.options.need_probabilities(self.classes):
            if self.options.opening is not None:
                labels = open_cells(labels, self.classes.cell, self.options.opening, losses)
            touching = self.classes.touching
            return from_semantic(labels, cell=self.classes.cell, touching=touching, **common), spacing
        del labels
        p = read_probabilities(files[1], self.classes.largest + 1, shape, scratch)
        instances = from_probabilities(
            [turn.array(p[channel]) for channel in self.classes.channels],
            self.options.method,  # type: ignore[arg-type]
            gap=self.options.gap,  # type: ignore[arg-type]
            gamma_touching=self.options.gamma_touching,
            gamma_cell=self.options.gamma_cell,
            **common,
        )
        return instances, spacing

    def _spacing(self, ndim: int, grid: Grid, turn: Turn) -> tuple[float, ...] | None:
        if self.options.spacing is not None:
            return self.options.spacing[-ndim:]
        if grid.spacing is None or len(grid.spacing) == ndim == 2:
            return grid.spacing
        if len(grid.spacing) == 2:  # a slice that stands on edge: its thickness is not known
            return None
        return turn.steps(grid.spacing)[-ndim:]

    def _max_distance(self, spacing: tuple[float, ...] | None, ndim: int) -> float | None:
        if self.options.max_distance is not None or self.options.method == "watershed":
            return self.options.max_distance
        return default_distance(spacing, ndim, self.classes.touching_radius, self.classes.radius_in_voxels)

    def _connectivity(self, file: Path, ndim: int) -> int | None:
        connectivity = self.options.connectivity
        if connectivity is not None and not 1 <= connectivity <= ndim:
            raise UnusableCase(f"{file}: --connectivity is 1 to {ndim} in {ndim}D, got {connectivity}")
        return connectivity

    @contextmanager
    def _scratch(self, case: str) -> Iterator[Path | None]:
        """Folder for the working files of a case; what a killed run may have left of them goes first."""
        folder = self.output / f".{case}.work"
        shutil.rmtree(folder, ignore_errors=True)
        for half in self.output.glob(f".{glob.escape(case)}{ENDING}.*.tmp"):
            half.unlink(missing_ok=True)
        if self.options.tile is None:
            yield None
            return
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _statistics(instances: NDArray[Any]) -> dict[str, Any]:
    count = int(instances.max(initial=0))
    size = np.zeros(count + 1, np.int64)
    flat = instances.reshape(-1)
    for start in range(0, flat.size, _COUNTED_AT_ONCE):  # bincount copies to int64
        size += np.bincount(flat[start : start + _COUNTED_AT_ONCE], minlength=count + 1)
    median = float(np.median(size[1:])) if count else None
    return {"instances": count, "median_size": median, "shape": list(instances.shape)}
