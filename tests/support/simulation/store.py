"""An object store that refuses, is slow, or writes and is not heard; its conditional writes are atomic."""

from __future__ import annotations

from typing import Any

from rebnn_search.storage.conditional_write import Version
from support.simulation.kernel import Kernel

SCHEME = "simulated://"


class Bucket:
    """What is in the store; outlives every process and machine."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.version = 0

    def put(self, name: str, content: bytes) -> int:
        """Put an object; the number of its version."""
        self.version += 1
        self.objects[name] = content, self.version
        return self.version


class Store:
    """`rebnn_search.storage.object_store.ObjectStore` on a bucket."""

    directory = None
    region = None

    def __init__(self, kernel: Kernel, bucket: Bucket, uri: str) -> None:
        self.uri, self._kernel, self.bucket = uri, kernel, bucket
        self._base = uri.removeprefix(SCHEME).rstrip("/")

    def call(self, what: str, name: str, function: Any) -> Any:
        """Ask the store for something."""
        fault = self._kernel.step("store", f"{what} {name}")
        kind = None if fault is None else fault.kind
        if kind == "slow" and fault is not None:
            self._kernel.sleep(fault.kept)
        if kind == "refuse":
            raise OSError(f"{what} {name}: the store is away")
        result = function()
        if kind == "unheard":
            raise OSError(f"{what} {name}: no answer")
        return result

    def path(self, name: str) -> str:
        """An object's whole name."""
        return f"{self._base}/{name}".rstrip("/")

    def read(self, name: str) -> bytes | None:
        def find() -> bytes | None:
            found = self.bucket.objects.get(self.path(name))
            return None if found is None else found[0]

        content: bytes | None = self.call("read", name, find)
        return content

    def write(self, name: str, content: bytes | memoryview) -> None:
        whole = bytes(content)
        self.call("write", name, lambda: self.bucket.put(self.path(name), whole))

    def delete(self, name: str) -> None:
        self.call("delete", name, lambda: self.bucket.objects.pop(self.path(name), None))

    def _below(self, folder: str) -> list[str]:
        base = self.path(folder) + "/"
        return sorted(name[len(base) :] for name in self.bucket.objects if name.startswith(base))

    def names(self, folder: str = "", *, recursive: bool = False) -> list[str]:
        def find() -> list[str]:
            return self._below(folder) if recursive else sorted({name.split("/")[0] for name in self._below(folder)})

        found: list[str] = self.call("list", folder, find)
        return found

    def sizes(self) -> dict[str, int]:
        found: dict[str, int] = self.call(
            "list", "", lambda: {name: len(self.bucket.objects[self.path(name)][0]) for name in self._below("")}
        )
        return found


class Objects:
    """`rebnn_search.storage.conditional_write.Conditional` on a bucket."""

    gap: str | None = None

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, name: str) -> tuple[bytes, Version] | None:
        found: tuple[bytes, Version] | None = self._store.call(
            "read", name, lambda: self._store.bucket.objects.get(self._store.path(name))
        )
        return found

    def put(self, name: str, content: bytes, expected: Version | None) -> Version | None:
        def put() -> Version | None:
            there = self._store.bucket.objects.get(self._store.path(name))
            if (None if there is None else there[1]) != expected:
                return None
            return self._store.bucket.put(self._store.path(name), content)

        return self._store.call("put", name, put)
