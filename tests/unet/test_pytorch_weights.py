"""Weights in PyTorch's older format are read without it, and nothing in such a file is run."""

import os
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from nerveseg.unet.pytorch_weights import read_tensors

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
VALUES = {"conv.weight": np.arange(24, dtype="<f4").reshape(2, 3, 2, 2), "bn.batches": np.array(7, "<i8")}


@pytest.fixture(autouse=True)
def torch(monkeypatch):
    """What a file of PyTorch's names, by which pickle finds it when it writes."""

    def called(name, kind):
        kind.__module__, kind.__qualname__, kind.__name__ = *name, name[1]
        setattr(sys.modules[name[0]], name[1], kind)
        return kind

    for name in ("torch", "torch._utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    storages = {kind: called(("torch", name), type(name, (), {})) for kind, name in
                {"<f4": "FloatStorage", "<i8": "LongStorage", "|u1": "ByteStorage"}.items()}  # fmt: skip
    return storages, called(("torch._utils", "_rebuild_tensor_v2"), lambda *parts: parts)


class Written(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None


class Storage:
    def __init__(self, kind, key, elements):
        self.pid = ("storage", kind, key, "cpu", elements, None)


class Tensor:
    def __init__(self, rebuild, *parts):
        self.parts = rebuild, parts

    def __reduce__(self):
        return self.parts


@pytest.fixture
def saved(torch, tmp_path):
    """Writes a file as `torch.save` did before 1.6; what is given replaces parts of it."""
    storages, rebuild = torch

    def save(values=VALUES, *, magic=MAGIC, version=VERSION, dictionary=None, keys=None, rest=b"", offset=0):
        content = OrderedDict() if dictionary is None else dictionary
        data = b""
        for key, (name, value) in enumerate(values.items()):
            strides = tuple(stride // value.itemsize for stride in value.strides)
            storage = Storage(storages[value.dtype.str], str(key), value.size)
            content[name] = Tensor(rebuild, storage, offset, value.shape, strides, False, OrderedDict())
            data += value.size.to_bytes(8, "little") + value.tobytes("A")
        path = tmp_path / "network.pth"
        with path.open("wb") as file:
            for each in (
                magic,
                version,
                {"little_endian": True},
                content,
                keys or [str(key) for key in range(len(values))],
            ):
                Written(file, protocol=2).dump(each)
            file.write(data + rest)
        return path

    return save


def test_tensors_come_with_their_names_shapes_and_types_also_such_that_were_transposed(saved):
    values = VALUES | {"fc.weight": np.arange(6, dtype="<f4").reshape(2, 3).T}
    found = read_tensors(saved(values))
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert found[name].dtype == value.dtype
        assert np.array_equal(found[name], value)


class Hostile:
    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


HARM = {os.system: "touch {}", exec: "open({!r}, 'w').close()", eval: "open({!r}, 'w').close()", os.mkdir: "{}"}


@pytest.mark.parametrize(("function", "argument"), HARM.items(), ids=lambda it: getattr(it, "__name__", ""))
def test_a_file_that_calls_a_function_is_refused_and_the_function_not_called(
    saved, tmp_path, monkeypatch, function, argument
):
    monkeypatch.chdir(tmp_path)
    path = saved(dictionary=OrderedDict(a=Hostile(function, argument.format("harm"))))
    with pytest.raises(ValueError, match=r"it holds \w+\.\w+, which is no tensor"):
        read_tensors(path)
    assert not Path("harm").exists()
    function(argument.format("harm"))
    assert Path("harm").exists(), "it would have done something"


@pytest.mark.parametrize("content", [{"a": 1}, {"a": "weights"}, {"a": [1.0]}, [1.0]], ids=str)
def test_what_is_no_tensor_is_refused(saved, content):
    with pytest.raises(ValueError, match="no tensor"):
        read_tensors(saved({}, dictionary=content))


def test_a_tensor_outside_of_its_storage_is_refused(saved):
    with pytest.raises(ValueError, match="not inside its storage"):
        read_tensors(saved(offset=1))
    with pytest.raises(ValueError, match="not inside its storage"):
        read_tensors(saved(offset=-1))


def test_a_storage_that_two_tensors_give_different_sizes_is_refused(saved, torch):
    storages, rebuild = torch
    content = OrderedDict(
        (str(size), Tensor(rebuild, Storage(storages["<f4"], "0", size), 0, (size,), (1,), False, OrderedDict()))
        for size in (10**6, 3)
    )
    rest = (3).to_bytes(8, "little") + bytes(12)
    with pytest.raises(ValueError, match="a storage of two sizes or types"):
        read_tensors(saved({}, dictionary=content, keys=["0"], rest=rest))


class Changed(Tensor):
    """A tensor whose attributes the pickle changes after it was made, and so after it was checked."""

    def __reduce__(self):
        return *self.parts, {"offset": 10**6}


def test_a_tensor_that_the_file_changes_after_its_check_is_refused(saved, torch):
    storages, rebuild = torch
    changed = Changed(rebuild, Storage(storages["<f4"], "0", 3), 0, (3,), (1,), False, OrderedDict())
    rest = (3).to_bytes(8, "little") + bytes(12)
    with pytest.raises(ValueError, match="cut or damaged"):
        read_tensors(saved({}, dictionary=OrderedDict(a=changed), keys=["0"], rest=rest))


def test_a_storage_of_another_type_is_refused(saved):
    with pytest.raises(ValueError, match=r"it holds torch\.ByteStorage"):
        read_tensors(saved({"a": np.zeros(3, np.uint8)}))


@pytest.mark.parametrize("change", [{"magic": 1}, {"version": 1002}], ids=str)
def test_a_file_of_another_kind_is_refused(saved, change):
    with pytest.raises(ValueError, match="does not begin as a file"):
        read_tensors(saved(**change))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a newer file is an archive", b"\x80\x02.", b"no pickle"])
def test_a_file_that_is_no_pickle_is_refused(tmp_path, content):
    (tmp_path / "network.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"cut or damaged|does not begin"):
        read_tensors(tmp_path / "network.pth")


def test_a_file_that_was_cut_anywhere_is_refused(saved):
    path = saved()
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut or damaged|does not begin"):
            read_tensors(path)


def test_a_file_with_something_after_its_end_is_refused(saved):
    with pytest.raises(ValueError, match="after its last storage"):
        read_tensors(saved(rest=b"\0"))
