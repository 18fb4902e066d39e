"""What decides the last bits of a run beside its call: the processor, and who computes on it."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from functools import cache

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
import scipy.linalg  # noqa: F401  its BLAS is found only once it is loaded
from threadpoolctl import threadpool_info

ANYWHERE = "MEANFIELD_RESUME_ANYWHERE"


@cache
def machine() -> dict[str, str]:
    """Processor, its features, and the libraries whose rounding differs, as words."""
    features = sorted(name for name, there in llvm.get_host_cpu_features().items() if there)
    blas = {f"{one['internal_api']} {one['version']}" for one in threadpool_info()
            if one["user_api"] == "blas"}  # fmt: skip
    return {
        "processor": f"{platform.machine()} {llvm.get_host_cpu_name()}",
        "features": hashlib.sha256(",".join(features).encode()).hexdigest()[:12],
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "blas": ", ".join(sorted(blas)),
    }


def differing(theirs: Mapping[str, str]) -> list[str]:
    """In what another machine differs, as "numba 0.61 there, 0.62 here"; nothing if unknown."""
    mine = machine()
    return [
        f"{name} {theirs[name]} there, {mine[name]} here"
        for name in mine
        if name in theirs and theirs[name] != mine[name]
    ]


def resumes_anywhere() -> bool:
    """Whether the user has said that a run may go on where it rounds otherwise."""
    return os.environ.get(ANYWHERE, "") not in ("", "0")
