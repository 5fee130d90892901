"""A disk that forgets what was not synced: the program's own calls on real files, counted, cut short and, at a power cut, undone.

What a process sees are files in a directory of its own. Beside them stands what would be there after a power cut: of a file what was
there when it was last synced, and a beginning of what was written since, down to the byte; of a directory the names it had when it
was last synced, and any of those changed since. That is all that POSIX promises. With ``ordered`` names come back as journalling file
systems have them: whichever is synced, all that was changed before it is on the disk, and of the rest the earlier changes first.
"""

from __future__ import annotations

import builtins
import errno
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from support.simulation.kernel import Fault, Kernel

_open, _os = io.open, {name: getattr(os, name) for name in
    ("open", "close", "fsync", "rename", "replace", "unlink", "remove", "mkdir", "rmdir", "symlink", "truncate")}  # fmt: skip
_rmtree = shutil.rmtree


@dataclass(eq=False)
class Node:
    """A file, a link or a directory.

    Attributes:
        names: Of a directory: what is in it.
        synced_names: What is in it after a power cut.
        content: Of a file.
        synced: What it holds after a power cut.
        writes: What was done to it since: (offset, bytes), or (size, None) where it was cut.
        link: Where a link points.
    """

    names: dict[str, Node] | None = None
    synced_names: dict[str, Node] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    writes: list[tuple[int, bytes | None]] = field(default_factory=list)
    link: str | None = None

    def apply(self, offset: int, data: bytes | None) -> None:
        """Write, or cut."""
        _apply(self.content, offset, data)
        self.writes.append((offset, data))


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(b"\0" * (offset - len(content)))
    else:
        content.extend(b"\0" * (offset - len(content)))
        content[offset : offset + len(data)] = data


@dataclass(frozen=True, eq=False)
class Change:
    """A change of names that is not synced: what a name stands for now, None for nothing. A renaming changes two."""

    sets: tuple[tuple[Node, str, Node | None], ...]


class Forgets:
    """What a power cut leaves of what was not synced. This one: nothing."""

    def names(self, count: int) -> list[bool]:
        """Which of so many changes of names are on the disk."""
        return [False] * count

    def writes(self, count: int, sizes: list[int]) -> tuple[int, int]:
        """How many of a file's writes are on the disk, and how many bytes of the next."""
        return 0, 0


class Disk:
    """The disk of one machine.

    Args:
        root: Its directory.
        ordered: Whether names come back in order.
    """

    def __init__(self, root: Path, ordered: bool = False) -> None:
        self.root, self.ordered = root, ordered
        self.full = False
        self._top = Node({})
        self._changes: list[Change] = []
        root.mkdir(parents=True)

    def parts(self, path: Any) -> tuple[str, ...] | None:
        """A path's parts below the root; None of a path that is not there."""
        if isinstance(path, int):
            return None
        text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - links are not followed
        root = str(self.root)
        if text == root:
            return ()
        return tuple(text[len(root) + 1 :].split("/")) if text.startswith(root + "/") else None

    def find(self, parts: tuple[str, ...]) -> Node | None:
        """What a path names."""
        node: Node | None = self._top
        for part in parts:
            node = None if node is None or node.names is None else node.names.get(part)
        return node

    def change(self, *sets: tuple[tuple[str, ...], Node | None]) -> None:
        """Let names stand for something else."""
        made = []
        for parts, node in sets:
            folder = self.find(parts[:-1])
            assert folder is not None and folder.names is not None, parts
            made.append((folder, parts[-1], node))
            if node is None:
                folder.names.pop(parts[-1], None)
            else:
                folder.names[parts[-1]] = node
        self._changes.append(Change(tuple(made)))

    def sync(self, node: Node) -> None:
        """Put a file's content, or a directory's names, on the disk."""
        if node.names is None:
            node.synced, node.writes = bytes(node.content), []
        if node.names is not None or self.ordered:
            done = [c for c in self._changes if self.ordered or any(folder is node for folder, _, _ in c.sets)]
            for change in done:
                self._keep(change)
            self._changes = [change for change in self._changes if change not in done]

    def _keep(self, change: Change) -> None:
        for folder, name, node in change.sets:
            if node is None:
                folder.synced_names.pop(name, None)
            else:
                folder.synced_names[name] = node

    def cut_power(self, forgets: Forgets) -> None:
        """Leave what was synced and as much of the rest as it is said."""
        kept = forgets.names(len(self._changes))
        if self.ordered and False in kept:
            kept = [index < kept.index(False) for index in range(len(kept))]
        for change, is_kept in zip(self._changes, kept, strict=True):
            if is_kept:
                self._keep(change)
        self._changes = []
        for path in self.root.iterdir():
            _rmtree(path) if path.is_dir() and not path.is_symlink() else _os["unlink"](path)
        self._restore(self._top, self.root, forgets)

    def _restore(self, folder: Node, path: Path, forgets: Forgets) -> None:
        folder.names = dict(folder.synced_names)
        for name, node in sorted(folder.names.items()):
            place = path / name
            if node.names is not None:
                _os["mkdir"](place)
                self._restore(node, place, forgets)
            elif node.link is not None:
                _os["symlink"](node.link, place)
            else:
                node.content = bytearray(node.synced)
                whole, rest = forgets.writes(len(node.writes), [len(data or b"") for _, data in node.writes])
                for offset, data in node.writes[:whole]:
                    _apply(node.content, offset, data)
                if rest and whole < len(node.writes):
                    offset, data = node.writes[whole]
                    _apply(node.content, offset, data[:rest] if data is not None else None)
                node.synced, node.writes = bytes(node.content), []
                with _open(place, "wb") as file:
                    file.write(node.content)

    def unsynced(self) -> tuple[int, int]:
        """How many changes of names, and how many writes, a power cut could undo now."""
        return len(self._changes), sum(len(node.writes) for node in self._files(self._top))

    def _files(self, folder: Node) -> Iterator[Node]:
        for node in (folder.names or {}).values():
            if node.names is None:
                yield node
            else:
                yield from self._files(node)

    def fingerprint(self) -> str:
        """Of all that is seen on it."""
        found = hashlib.sha256()
        self._digest(self._top, "", found)
        return found.hexdigest()

    def _digest(self, folder: Node, path: str, found: Any) -> None:
        for name, node in sorted((folder.names or {}).items()):
            place = f"{path}/{name}"
            found.update(f"{place}\0{node.link}\0{node.names is not None}\0{len(node.content)}\0".encode() + node.content)
            if node.names is not None:
                self._digest(node, place, found)


class _File(io.FileIO):
    """An open file of a simulated disk."""

    def __init__(self, calls: Calls, disk: Disk, node: Node, path: Any, mode: str) -> None:
        super().__init__(os.fsdecode(path), mode)
        self._calls, self._disk, self._node, self._appends = calls, disk, node, "a" in mode
        self._name = Path(os.fsdecode(path)).name
        calls.nodes[self.fileno()] = disk, node

    def write(self, data: Any) -> int:
        data = bytes(data)
        process = self._calls.kernel.process
        if process is None or process.dead:
            return len(data)  # a buffer let go of
        offset = len(self._node.content) if self._appends else self.tell()
        fault = self._calls.step(self._disk, f"write {self._name} {len(data)}", grows=True, partly=True)
        some = data if fault is None else data[: round(fault.kept * len(data))]
        if fault is not None and len(some) == len(data):
            some = data[:-1]
        if some:
            super().write(some)
            self._node.apply(offset, some)
        if fault is not None and not (fault.kind == "full" and some):  # then the next call fails, for the rest
            self._calls.fail(fault)
        return len(some)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        self._calls.step(self._disk, f"truncate {self._name} {size}")
        super().truncate(size)
        self._node.apply(size, None)
        return size

    def close(self) -> None:
        if not self.closed:
            self._calls.nodes.pop(self.fileno(), None)
        super().close()


class Calls:
    """The calls of the operating system that processes on simulated disks make.

    Args:
        kernel: Of the simulation.
        disks: The disk of each machine, by its name.
        room: Whether a full disk has room for what comes now: it may be small.
    """

    def __init__(self, kernel: Kernel, disks: dict[str, Disk], room: Callable[[], bool]) -> None:
        self.kernel, self.disks, self.room = kernel, disks, room
        self.nodes: dict[int, tuple[Disk, Node]] = {}
        """Open descriptors."""

    def step(self, disk: Disk, what: str, *, grows: bool = False, partly: bool = False) -> Fault | None:
        """One call. Raises what it fails with, unless it is done in part."""
        fault = self.kernel.step("disk", what, partly=partly)
        if fault is not None and fault.kind == "full":
            disk.full = True
        if fault is None and disk.full and grows and not self.room():
            fault = Fault("full")
        if fault is not None and fault.kind == "full" and not grows:
            return None
        if fault is not None and not partly:
            self.fail(fault)
        return fault

    def fail(self, fault: Fault) -> None:
        """Fail as a fault has it."""
        self.kernel.die(fault)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _at(self, path: Any) -> tuple[Disk, tuple[str, ...]] | None:
        process = self.kernel.process
        if process is None:
            return None
        disk = self.disks[process.host]
        parts = disk.parts(path)
        return None if parts is None else (disk, parts)

    def _create(self, disk: Disk, parts: tuple[str, ...], *, empty: bool) -> Node:
        """The file that is opened for writing, made or emptied if need be."""
        node = disk.find(parts)
        if node is not None and node.link is not None:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), "/".join(parts))
        name = "/".join(parts[-2:])
        if node is None and disk.find(parts[:-1]) is not None:
            self.step(disk, f"create {name}", grows=True)
            node = Node()
            disk.change((parts, node))
        elif node is not None and empty and node.content:
            self.step(disk, f"empty {name}")
            node.apply(0, None)
        return node or Node()

    def open(
        self, file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, errors: str | None = None,
        newline: str | None = None, closefd: bool = True, opener: Any = None,
    ) -> Any:  # fmt: skip
        """`open`."""
        at = self._at(file)
        if at is None:
            return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        disk, parts = at
        if not set(mode) & set("wax+"):
            there = disk.find(parts)
            if mode != "rb" or there is None or there.names is not None:
                return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
            return io.BufferedReader(_File(self, disk, there, file, "r"))
        self.kernel.check()
        raw_mode = mode.replace("b", "").replace("t", "")
        if "x" in mode and disk.find(parts) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(file))
        if "r" in mode and disk.find(parts) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(file))
        there = disk.find(parts)
        if there is not None and there.names is not None:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fsdecode(file))
        node = self._create(disk, parts, empty="w" in mode)
        raw = _File(self, disk, node, file, raw_mode.replace("x", "w"))
        if buffering == 0:
            return raw
        buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    def os_open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """`os.open`."""
        at = self._at(path) if dir_fd is None else None
        if at is None:
            return int(_os["open"](path, flags, mode, dir_fd=dir_fd))
        disk, parts = at
        self.kernel.check()
        if flags & os.O_CREAT:
            node: Node | None = self._create(disk, parts, empty=bool(flags & os.O_TRUNC))
        else:
            node = disk.find(parts)
        number = int(_os["open"](path, flags, mode))
        if node is not None:
            self.nodes[number] = disk, node
        return number

    def close(self, number: int) -> None:
        """`os.close`."""
        self.nodes.pop(number, None)
        _os["close"](number)

    def fsync(self, number: Any) -> None:
        """`os.fsync`."""
        number = number if isinstance(number, int) else number.fileno()
        if self.kernel.process is None or number not in self.nodes:
            return
        disk, node = self.nodes[number]
        self.step(disk, "sync" if node.names is None else "sync directory")
        disk.sync(node)

    def rename(self, source: Any, target: Any, **options: Any) -> None:
        """`os.rename` and `os.replace`."""
        at, to = self._at(source), self._at(target)
        if at is None or to is None:
            _os["replace"](source, target, **options)
            return
        disk, parts = at
        node = disk.find(parts)
        if node is None:
            self.kernel.check()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(source))
        self.step(disk, f"rename {'/'.join(parts[-2:])} to {to[1][-1]}", grows=True)
        _os["replace"](source, target)
        disk.change((parts, None), (to[1], node))

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        """`os.unlink`."""
        at = self._at(path) if dir_fd is None else None
        if at is None:
            _os["unlink"](path, dir_fd=dir_fd)
            return
        disk, parts = at
        if disk.find(parts) is None:
            self.kernel.check()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
        self.step(disk, f"unlink {'/'.join(parts[-2:])}")
        _os["unlink"](path)
        disk.change((parts, None))

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        """`os.mkdir`."""
        at = self._at(path) if dir_fd is None else None
        if at is None:
            _os["mkdir"](path, mode, dir_fd=dir_fd)
            return
        disk, parts = at
        if disk.find(parts) is not None or disk.find(parts[:-1]) is None:
            self.kernel.check()
        else:
            self.step(disk, f"mkdir {'/'.join(parts[-2:])}", grows=True)
        _os["mkdir"](path, mode)
        disk.change((parts, Node({})))

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        """`os.rmdir`."""
        at = self._at(path) if dir_fd is None else None
        if at is None:
            _os["rmdir"](path, dir_fd=dir_fd)
            return
        disk, parts = at
        self.step(disk, f"rmdir {'/'.join(parts[-2:])}")
        _os["rmdir"](path)
        disk.change((parts, None))

    def symlink(self, source: Any, target: Any, *more: Any, **options: Any) -> None:
        """`os.symlink`."""
        at = self._at(target)
        if at is None:
            _os["symlink"](source, target, *more, **options)
            return
        disk, parts = at
        if disk.find(parts) is None:
            self.step(disk, f"symlink {'/'.join(parts[-2:])}", grows=True)
        _os["symlink"](source, target)
        disk.change((parts, Node(link=os.fsdecode(source))))

    def truncate(self, path: Any, size: int) -> None:
        """`os.truncate`."""
        at = self._at(path)
        if at is None:
            _os["truncate"](path, size)
            return
        disk, parts = at
        self.step(disk, f"truncate {'/'.join(parts[-2:])} to {size}")
        _os["truncate"](path, size)
        node = disk.find(parts)
        assert node is not None
        node.apply(size, None)

    def rmtree(self, path: Any, ignore_errors: bool = False, **options: Any) -> None:
        """`shutil.rmtree`."""
        if self._at(path) is None:
            _rmtree(path, ignore_errors, **options)
            return
        if ignore_errors and not os.path.isdir(path):  # noqa: PTH112
            return
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
                self.rmtree(entry.path)
            else:
                self.unlink(entry.path)
        self.rmdir(path)

    @contextmanager
    def intercepted(self) -> Iterator[None]:
        """Stand in place of the calls."""
        own: dict[str, Callable[..., Any]] = {
            "open": self.os_open, "close": self.close, "fsync": self.fsync, "rename": self.rename, "replace": self.rename,
            "unlink": self.unlink, "remove": self.unlink, "mkdir": self.mkdir, "rmdir": self.rmdir, "symlink": self.symlink,
            "truncate": self.truncate,
        }  # fmt: skip
        with (
            mock.patch.multiple(os, **own),
            mock.patch.object(io, "open", self.open),
            mock.patch.object(builtins, "open", self.open),
            mock.patch.object(shutil, "rmtree", self.rmtree),
            mock.patch.object(shutil, "_USE_CP_SENDFILE", False),
        ):
            yield
