"""The machine as this process may use it: a container's limits count, not what is built in."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from rebnn_search.base.cores import usable_cores
from rebnn_search.doctor.finding import Finding, Level
from rebnn_search.training.memory import free_memory, memory_of

AREA = "machine"
CPUINFO = Path("/proc/cpuinfo")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Ray keeps objects
ENOUGH_MEMORY = 2e9
ENOUGH_SHARED = 2e8
VECTORS = {
    "AVX2": ("avx2",), "AVX-512": ("avx512f",), "AVX-512 bf16": ("avx512_bf16",), "AMX": ("amx_tile",), "AMX bf16": ("amx_bf16",),
    "NEON": ("asimd",), "bf16": ("bf16",), "SVE": ("sve",),
}  # fmt: skip
"""Instructions for vectors, by the flags that Linux knows them by."""


def examine_machine() -> Iterator[Finding]:
    """Look at processor, memory and accelerators."""
    yield Finding(AREA, "system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    yield Finding(AREA, "processor", f"{cpu_model()}: {', '.join(cpu_vectors()) or 'no vector instructions that are known'}")
    yield Finding(AREA, "torch computes with", torch.backends.cpu.get_cpu_capability())
    cores, built_in = usable_cores(), os.cpu_count() or 1
    limited = "" if cores == built_in else f" of {built_in}: this process, or its container, may use no more"
    yield Finding(AREA, "cores", f"{cores:g}{limited}")
    memory, free = memory_of(torch.device("cpu")), free_memory()
    text = f"{memory / 1e9:.1f} GB, {free / 1e9:.1f} GB of it free"
    if free < ENOUGH_MEMORY:
        yield Finding(
            AREA, "memory", text, Level.NOTE, "each trial's process needs about 1 GB: --set 'resources={max_concurrent: 1}'"
        )
    else:
        yield Finding(AREA, "memory", text)
    yield _shared_memory()
    yield from _gpus()


def _shared_memory() -> Finding:
    if not SHARED_MEMORY.is_dir():
        return Finding(AREA, str(SHARED_MEMORY), "not there: Ray keeps its objects in /tmp", Level.NOTE)
    usage = shutil.disk_usage(SHARED_MEMORY)
    text = f"{usage.total / 1e9:.1f} GB, {usage.free / 1e9:.1f} GB of it free"
    if usage.free < ENOUGH_SHARED:
        return Finding(
            AREA,
            str(SHARED_MEMORY),
            text,
            Level.NOTE,
            "Ray then uses /tmp, which is slower; containers: docker run --shm-size=1g",
        )
    return Finding(AREA, str(SHARED_MEMORY), text)


def _gpus() -> Iterator[Finding]:
    if not torch.cuda.is_available():
        built = torch.version.cuda or getattr(torch.version, "hip", None)
        yield Finding(AREA, "GPU", f"none that torch can use (torch is built {f'for {built}' if built else 'without GPUs'})")
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        bf16 = ", bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else ""
        yield Finding(AREA, f"GPU {index}", f"{properties.name}, {properties.total_memory / 1e9:.0f} GB{bf16}")


def cpu_model() -> str:
    """The processor's name as Linux has it; elsewhere the platform's."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_vectors() -> list[str]:
    """The vector instructions that the processor has, of `VECTORS`."""
    flags = set((_cpuinfo("flags") or _cpuinfo("Features") or "").split())
    return [name for name, needed in VECTORS.items() if flags.issuperset(needed)]


def _cpuinfo(key: str) -> str | None:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), None)
