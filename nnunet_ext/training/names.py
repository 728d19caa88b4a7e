"""From a trainer's name to its class: a family, perhaps one it wraps, then options joined by underscores.

Importing this module loads neither torch nor nnU-Net, so that a name can be looked up at little cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from nnunet_ext.errors import UserError
from nnunet_ext.training.misspelt import PREFIX, words_of
from nnunet_ext.training.options import parse_options

if TYPE_CHECKING:
    from nnunet_ext.training.trainer import ExtTrainer

# A class is pickled by its qualified name, which pickle takes apart at every dot.
_DOT_IN_QUALNAME = "·"


class Catalogue:
    """The trainer families of a package, and the classes of their names with options.

    Parameters
    ----------
    package : str
        Its importable name. Classes are pickled as attributes of it, so its ``__getattr__`` has to return
        what `get` returns for `decode_qualname` of the attribute's name.
    families : mapping
        Family -> the module of the package that declares it; imported when the family is asked for.
    """

    def __init__(self, package: str, families: Mapping[str, str]) -> None:
        self.package = package
        self.families = families
        self._classes: dict[str, type[ExtTrainer]] = {}

    def family_of(self, name: str) -> str | None:
        """The family that a trainer name belongs to: the name itself or what its first options follow."""
        return next((f for f in self.families if name == f or name.startswith(f + "_")), None)

    def near_miss(self, name: str) -> str | None:
        """The trainer, or at least its family, that a wrong name was probably meant to be.

        ``nnUNetTrainerSCNP_w5`` for ``nnUNetTrainerSNCP_w5``, ``nnUNetTrainerSCNP_JC`` for ``…JC_SCNP``.
        """
        families, options = words_of(name, [family.removeprefix(PREFIX) for family in self.families])
        if not families:
            return None
        wrappers = [word for word in families if self._declared(PREFIX + word).wraps_families]
        ordered = [*wrappers, *(word for word in families if word not in wrappers)]
        for words in (options, [word.lower() for word in options]):
            meant = PREFIX + "_".join([*ordered, *words])
            if self._exists(meant):
                return meant
        combined = PREFIX + "_".join(ordered)
        return combined if self._exists(combined) else None

    def get(self, name: str) -> type[ExtTrainer]:
        """The trainer class of a name; the same class each time.

        Raises
        ------
        UserError
            If the family is not one of the catalogue, or an option is wrong; the text lists what there is.
        """
        if name not in self._classes:
            try:
                self._classes[name] = self._make(name)
            except UserError as error:
                meant = self.near_miss(name)
                if meant is None or name == meant or name.startswith(f"{meant}_"):
                    raise
                raise UserError(f"{error}\nDid you mean {meant}?") from None
        return self._classes[name]

    def _make(self, name: str) -> type[ExtTrainer]:
        family = self.family_of(name)
        if family is None:
            raise UserError(f"{name}: no such trainer family. Known families: {', '.join(self.families)}.")
        trainer = self._declared(family)
        first = name.removeprefix(family).removeprefix("_").partition("_")[0]
        if PREFIX + first not in self.families:
            return build_trainer(name, trainer, self.package, self.wrapped_by(trainer))
        if name == f"{family}_{first}":
            return wrap_family(trainer, self._declared(PREFIX + first), self.package)
        combination = f"{family}_{first}"
        if combination not in self._classes:  # one class of it for all names, or none could be pickled
            self._classes[combination] = self._make(combination)
        return build_trainer(name, self._classes[combination], self.package)

    def wrapped_by(self, trainer: type[ExtTrainer]) -> list[str]:
        """Words that a family takes directly after its name: the families that it can wrap."""
        others = [self._declared(family) for family in self.families] if trainer.wraps_families else []
        return [_word(each) for each in others if not each.wraps_families and not each.refuses_wrapping]

    def _declared(self, family: str) -> type[ExtTrainer]:
        found: type[ExtTrainer] = getattr(import_module(f"{self.package}.{self.families[family]}"), family)
        return found

    def _exists(self, name: str) -> bool:
        try:
            self._make(name)
        except UserError:
            return False
        return True


def decode_qualname(name: str) -> str:
    """The trainer name behind a qualified name that pickle asks for."""
    return name.replace(_DOT_IN_QUALNAME, ".")


def wrap_family(wrapper: type[ExtTrainer], base: type[ExtTrainer], package: str) -> type[ExtTrainer]:
    """Make the family of a wrapper on a base, such as SCNP on JC: ``nnUNetTrainerSCNP_JC``.

    Parameters
    ----------
    wrapper : type
        A family that sets `wraps_families`.
    base : type
        The family whose loss it wraps, and whose other hooks it takes over.
    package : str
        As in `Catalogue`.

    Returns
    -------
    type
        A subclass of both, with the options of both.

    Raises
    ------
    UserError
        If `wrapper` wraps no families, or `base` is a wrapper itself or says why it cannot be wrapped.
    """
    word = _word(base)
    name = f"{wrapper.__name__}_{word}"
    if not wrapper.wraps_families:
        raise UserError(f"{name}: {wrapper.__name__} cannot be combined with {word}.")
    reason = "it wraps other families itself" if base.wraps_families else base.refuses_wrapping
    if reason:
        raise UserError(f"{name}: {wrapper.__name__} cannot wrap {word}: {reason}.")
    summary = f"{_summary(base)[:-1]}; on the logits of {_word(wrapper)}."
    options = (*wrapper.options, *base.options)
    return type(name, (wrapper, base), {"options": options, "__module__": package, "__doc__": summary})


def build_trainer(
    name: str, family: type[ExtTrainer], package: str, wrapped: Iterable[str] = ()
) -> type[ExtTrainer]:
    """Make the trainer class of a name such as ``nnUNetTrainerSCNP_w5_joint``.

    Parameters
    ----------
    name : str
        The family's class name, then its options, each after an underscore.
    family : type
        The trainer that the name begins with.
    package : str
        As in `Catalogue`.
    wrapped : iterable of str
        Words that `family`, if it wraps others, takes directly after its name; for the error text.

    Returns
    -------
    type
        `family` itself if the name has no options, else a subclass called `name` with the options' values
        as class attributes. If some of them are the default anyway, its `same_as` is the name without them.

    Raises
    ------
    UserError
        If an option is unknown, empty, repeated or out of range.
    """
    if name == family.__name__:
        return family
    words = name.removeprefix(family.__name__ + "_").split("_")
    if "" in words:
        # nnU-Net splits its folder names at double underscores.
        raise UserError(f"{name}: options are joined by single underscores, none at the end.")
    try:
        values = parse_options(name, words, family.all_options())
    except UserError as error:
        first = ", ".join(f"_{word}" for word in wrapped)
        raise UserError(
            f"{error}\nOther families go directly after {family.__name__}: {first}" if first else str(error)
        ) from None
    changes = [
        word
        for word, (attribute, value) in zip(words, values.items(), strict=True)
        if value != getattr(family, attribute)
    ]
    attributes = {
        **values,
        "same_as": "" if changes == words else "_".join([family.__name__, *changes]),
        "__module__": package,
        "__qualname__": name.replace(".", _DOT_IN_QUALNAME),
        "__doc__": family.__doc__,
    }
    return type(name, (family,), attributes)


def _word(family: type[ExtTrainer]) -> str:
    return family.__name__.removeprefix(PREFIX)


def _summary(family: type[ExtTrainer]) -> str:
    return (family.__doc__ or "").strip().splitlines()[0]
