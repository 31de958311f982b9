"""Read the tensors of a file of `torch.save`, as PyTorch wrote it before 1.6, without PyTorch.

Such a file is a series of pickles: a magic number, a version, facts about the machine, a dictionary of tensors, and the keys
of their storages. Then comes each storage: the number of its elements, int64, and the elements (`_legacy_save` in
torch/serialization.py). A pickle can name any function and have it called; here it can name three harmless ones.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_KINDS = {"FloatStorage": "<f4", "LongStorage": "<i8"}  # weights, and counts of batches


class _ForeignContentError(Exception):
    pass


# Tuples, since a pickle could change the attributes of anything else after it was checked.
class _Storage(NamedTuple):
    kind: str
    key: str
    elements: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    numbers = [offset, *shape, *strides]
    if not (isinstance(storage, _Storage) and len(shape) == len(strides) and all(type(n) is int for n in numbers)):
        raise _ForeignContentError("a tensor without a storage or a shape")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if min([*numbers, *(size - 1 for size in shape)], default=0) < 0 or last >= storage.elements:
        raise _ForeignContentError("a tensor that is not inside its storage")
    return _Tensor(storage, offset, shape, strides)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _KINDS:
            return _KINDS[name]
        raise _ForeignContentError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        what, kind, key, _, elements, view = pid
        if what != "storage" or view is not None or kind not in _KINDS.values() or type(elements) is not int:
            raise _ForeignContentError(f"{what!r}")
        return _Storage(kind, str(key), elements)


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a state dictionary by name: float32, or int64.

    Raise ValueError, which says what was found, if the file is cut or damaged, if it is of another version, or if it holds
    anything but tensors. OSError if it cannot be read.
    """
    with path.open("rb") as file:
        try:
            return _tensors(file)
        except _ForeignContentError as error:
            raise ValueError(f"it holds {error}, which is no tensor") from None
        except (
            pickle.UnpicklingError,
            EOFError,
            ArithmeticError,
            LookupError,
            TypeError,
            AttributeError,
            MemoryError,
        ) as error:
            raise ValueError(f"it is cut or damaged ({error})") from None


def _tensors(file: BinaryIO) -> dict[str, NDArray[Any]]:
    found = [_Unpickler(file).load() for _ in ("magic number", "version")]
    if found != [_MAGIC, _VERSION]:
        raise ValueError("it does not begin as a file of torch.save before PyTorch 1.6")
    _, tensors, keys = (_Unpickler(file).load() for _ in ("machine", "tensors", "keys"))
    if not isinstance(tensors, dict) or not all(isinstance(each, _Tensor) for each in tensors.values()):
        raise _ForeignContentError("something else beside tensors")
    storages = {each.storage.key: each.storage for each in tensors.values()}
    if any(each.storage != storages[each.storage.key] for each in tensors.values()):
        raise _ForeignContentError("a storage of two sizes or types")
    content = {}
    for key in keys:
        storage = storages[key]
        count, size = int.from_bytes(file.read(8), "little"), storage.elements * np.dtype(storage.kind).itemsize
        read = file.read(size)
        if count != storage.elements or len(read) != size:
            raise EOFError(f"storage {key} is not whole")
        content[key] = np.frombuffer(read, storage.kind)
    if file.read(1):
        raise _ForeignContentError("something after its last storage")
    return {str(name): _view(each, content[each.storage.key]) for name, each in tensors.items()}


def _view(tensor: _Tensor, elements: NDArray[Any]) -> NDArray[Any]:
    strides = [stride * elements.itemsize for stride in tensor.strides]
    return as_strided(elements[tensor.offset :], tensor.shape, strides, writeable=False)
