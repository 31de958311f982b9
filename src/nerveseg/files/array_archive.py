"""Archives of NumPy arrays (`.npz`) whose bytes depend on the arrays alone.

`numpy.savez` asks Python's zipfile for ZIP64, whose headers Python 3.11.4 and later write otherwise: for DVC, equal arrays of two
environments would be different outputs.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import ArrayLike


def write_arrays(target: Path | IO[bytes], arrays: Mapping[str, ArrayLike]) -> None:
    """Write arrays by name, uncompressed; `numpy.load` reads them in this order."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)  # type: ignore[no-untyped-call]
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
