"""Writes to an object store that happen only if an object is still what one has seen: what a lease stands on.

S3 and what speaks its protocol have them as ``If-None-Match`` and ``If-Match``, Google Cloud Storage as generations, Azure as
ETags; obstore (https://developmentseed.org/obstore, the extra ``store``) speaks to all three. pyarrow offers none. On a disk a
file lock does it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from filelock import FileLock

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.storage.object_store import ObjectStore

if TYPE_CHECKING:
    from obstore.store import ObjectStore as ObstoreStore

INSTALL = 'pip install "rebnn-search[store]"'
S3_OPTIONS = frozenset({"region", "scheme", "endpoint_override", "allow_bucket_creation", "allow_bucket_deletion"})
"""Options of a pyarrow URI that obstore takes too."""
LOCK_SECONDS = 10.0


T = TypeVar("T")
Version = object
"""What a store tells an object's contents apart by; to be handed back as it came, compared for nothing else."""


class Conditional(Protocol):
    """Reads and conditional writes of the objects of a store.

    Attributes:
        gap: Why two writers at the same moment may both succeed; None where they cannot.
    """

    gap: str | None

    def get(self, name: str) -> tuple[bytes, Version] | None:
        """An object's content and version, None where there is none.

        Raises:
            OSError: If the store cannot be read.
        """

    def put(self, name: str, content: bytes, expected: Version | None) -> Version | None:
        """Write an object if its version is the expected one; None expects that there is none.

        Returns:
            The new version; None where the object was another, and is left as it was.

        Raises:
            OSError: If the store cannot be written.
        """


def conditional(store: ObjectStore) -> Conditional:
    """The conditional writes of a store, or what comes closest to them."""
    if store.directory is not None:
        return Compared(store, None, store.directory / ".lock")
    if find_spec("obstore") is None:
        return Compared(store, f"obstore is not installed ({INSTALL})")
    client = _client(store)
    if isinstance(client, str):
        return Compared(store, client)
    return Versioned(client)


class Compared:
    """Reads, compares and writes: one after the other, on a disk under a lock.

    Args:
        store: The store.
        gap: As `Conditional.gap`.
        lock: The lock's file, on a disk.
    """

    def __init__(self, store: ObjectStore, gap: str | None, lock: Path | None = None) -> None:
        self.gap = gap
        self._store = store
        self._lock = lock

    def _alone(self) -> AbstractContextManager[object]:
        if self._lock is None:
            return nullcontext()
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self._lock, timeout=LOCK_SECONDS)  # its Timeout is an OSError

    def get(self, name: str) -> tuple[bytes, Version] | None:
        """See `Conditional.get`; the version is the content's hash."""
        content = self._store.read(name)
        return None if content is None else (content, _hash(content))

    def put(self, name: str, content: bytes, expected: Version | None) -> Version | None:
        """See `Conditional.put`."""
        with self._alone():
            there = self.get(name)
            if (None if there is None else there[1]) != expected:
                return None
            self._store.write(name, content)
        return _hash(content)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Versioned:
    """The store's own conditional writes, through obstore.

    Args:
        client: The obstore store of what lies under the URI.
    """

    gap: str | None = None

    def __init__(self, client: ObstoreStore) -> None:
        self._client = client

    def get(self, name: str) -> tuple[bytes, Version] | None:
        """See `Conditional.get`."""
        import obstore
        from obstore.exceptions import NotFoundError

        try:
            found = _explained(lambda: obstore.get(self._client, name), NotFoundError)
        except (FileNotFoundError, NotFoundError):
            return None
        return _explained(lambda: bytes(found.bytes())), _version(found.meta)

    def put(self, name: str, content: bytes, expected: Version | None) -> Version | None:
        """See `Conditional.put`."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, NotFoundError, PreconditionError

        # Where an object that shall be replaced is gone, S3 says 404; where one that shall be made has no bucket, too.
        gone = () if expected is None else (NotFoundError, FileNotFoundError)
        other = (AlreadyExistsError, PreconditionError, *gone)
        mode = "create" if expected is None else expected
        try:
            return _version(_explained(lambda: obstore.put(self._client, name, content, mode=mode), *other))
        except other:
            return None


def _version(meta: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key in ("e_tag", "version") if (value := meta.get(key)) is not None}


def _explained(call: Callable[[], T], *meant: type[Exception]) -> T:
    """The call's result, with obstore's errors but those that are meant as OSError."""
    from obstore.exceptions import BaseError

    try:
        return call()
    except meant:
        raise
    except BaseError as error:
        raise OSError(hide_secrets(str(error).splitlines()[0])) from None


def _client(store: ObjectStore) -> ObstoreStore | str:
    """The obstore store of a URI, or why there is none."""
    from obstore import store as stores
    from obstore.exceptions import BaseError

    parts = urlsplit(store.uri)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    retry = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
    try:
        if parts.scheme == "s3":
            if unknown := options.keys() - S3_OPTIONS:
                return f"obstore has no option for the URI's {', '.join(sorted(unknown))}"
            bucket = parts.netloc.rpartition("@")[2]
            return stores.S3Store(
                bucket,
                prefix=unquote(parts.path).strip("/") or None,
                region=store.region,
                client_options={"allow_http": True},  # the endpoint's scheme decides
                retry_config=retry,
                **_s3_endpoint(options),
                **_s3_credentials(unquote(parts.username or ""), unquote(parts.password or "")),
            )
        if parts.scheme in ("gs", "gcs", "abfs", "abfss") and not options:
            scheme = "gs" if parts.scheme == "gcs" else parts.scheme
            return stores.from_url(f"{scheme}://{parts.netloc}{parts.path}", retry_config=retry)
    except (BaseError, ValueError, TypeError) as error:
        return f"obstore cannot open it: {hide_secrets(str(error).splitlines()[0])}"
    return f"obstore knows none for {parts.scheme}:// URIs of this form"


def _s3_endpoint(options: dict[str, str]) -> dict[str, object]:
    if "endpoint_override" not in options:
        return {}
    endpoint = options["endpoint_override"]
    return {"endpoint": endpoint if "://" in endpoint else f"{options.get('scheme', 'https')}://{endpoint}"}


def _s3_credentials(key: str, secret: str) -> dict[str, object]:
    """Those in the URI; else boto3's, which reads profiles as pyarrow does; else what obstore finds in environment and machine."""
    if key:
        return {"access_key_id": key, "secret_access_key": secret}
    if find_spec("boto3") is None:
        return {}
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return {"credential_provider": Boto3CredentialProvider()}
    except ValueError:  # boto3 finds none
        return {}
