"""The kinds of arrays that the allocators exchange."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
"""Returns (days x strategies), or one number a strategy: the docstring that uses it gives the shape."""

Indices: TypeAlias = NDArray[np.intp]

Bools: TypeAlias = NDArray[np.bool_]
