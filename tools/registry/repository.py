"""The publisher's side: a tree of files that The Update Framework signs, for any static server or folder.

    metadata/   1.root.json 2.root.json ... timestamp.json N.snapshot.json N.targets.json
    targets/    NAME_vX.Y.Z.zip NAME_vX.Y.Z.md model_info.json SHA256SUMS

The files of ``targets`` keep their plain names, so that the same tree serves MONAI's own
``python -m monai.bundle download --url``. Source: The Update Framework Specification 1.0.
"""

from datetime import datetime, timedelta, timezone
from pathlib import Path

from filelock import FileLock
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from common.errors import InputError
from tools.registry.files import write_bytes
from tools.registry.keys import ROLES, load_key

#: How long signatures count, in days. A mirror on a USB stick has to be renewed within the shortest of them.
DAYS = {"root": 1095, "targets": 365, "snapshot": 365, "timestamp": 180}
_PERIODS = "x-registration-days"


class Repository:
    """A registry that is on this disk, and the keys that sign it.

    Args:
        path: the registry's folder.
        keys: folder of the keys.

    Raises:
        InputError: there is no registry, or its metadata cannot be read.
    """

    def __init__(self, path: Path, keys: Path) -> None:
        self.path, self.keys = path, keys
        self.signers: dict[str, CryptoSigner] = {}
        versions = [int(p.name.split(".")[0]) for p in self.metadata.glob("*.root.json") if p.name[0].isdigit()]
        if not versions:
            raise InputError(
                f"{path}: expected a registry, got no metadata/1.root.json (python -m tools registry init)"
            )
        self.root = self._read(f"{max(versions)}.root.json", Root)
        self.timestamp = self._read("timestamp.json", Timestamp)
        self.snapshot = self._read(f"{self.timestamp.signed.snapshot_meta.version}.snapshot.json", Snapshot)
        self.targets = self._read(f"{self.snapshot.signed.meta['targets.json'].version}.targets.json", Targets)

    @classmethod
    def create(cls, path: Path, keys: Path, signers: dict[str, CryptoSigner], days: dict[str, int]) -> "Repository":
        """Write the first metadata of a registry without any target.

        Raises:
            InputError: there is a registry already, or it cannot be written.
        """
        if (path / "metadata").exists():
            raise InputError(f"{path}: expected no registry, got one that is there already")
        root = Root(unrecognized_fields={_PERIODS: days})
        for role in ROLES:
            root.add_key(signers[role].public_key, role)
        new = cls.__new__(cls)
        new.path, new.keys, new.signers, new.root = path, keys, signers, Metadata(root)
        new.targets, new.snapshot, new.timestamp = Metadata(Targets()), Metadata(Snapshot()), Metadata(Timestamp())
        for metadata in (new.root, new.targets, new.snapshot, new.timestamp):
            metadata.signed.version = 0  # publishing makes it the first
        (path / "targets").mkdir(parents=True, exist_ok=True)
        new.publish(targets=True, root=[signers["root"]])
        return new

    @property
    def metadata(self) -> Path:
        """Folder of the signed metadata."""
        return self.path / "metadata"

    @property
    def days(self) -> dict[str, int]:
        """How long signatures count, by role, as ``init`` was told."""
        return {**DAYS, **self.root.signed.unrecognized_fields.get(_PERIODS, {})}

    @property
    def files(self) -> dict[str, TargetFile]:
        """The targets by path; a change counts once ``publish(targets=True)`` has signed it."""
        return self.targets.signed.targets

    def lock(self) -> FileLock:
        """Only one publisher at a time; the lock lies beside the registry, which is served to all."""
        return FileLock(self.path.resolve().parent / f".{self.path.resolve().name}.lock")

    def publish(self, targets: bool, root: list[CryptoSigner] | None = None) -> None:
        """Sign and write new versions; ``timestamp.json`` comes last, so that a reader sees the old state or the new.

        Args:
            targets: with a new ``targets``; without it the state is the same, signed for another while.
            root: who signs a new root, if there shall be one.

        Raises:
            InputError: a key is missing or is not the role's, or a file cannot be written.
        """
        chain = [*([("targets", self.targets)] if targets else []), ("snapshot", self.snapshot)]
        chain += [*([("root", self.root)] if root else []), ("timestamp", self.timestamp)]
        for role, metadata in chain:
            metadata.signed.version += 1
            metadata.signed.expires = _expiry(self.days[role])
        self.snapshot.signed.meta["targets.json"] = MetaFile(self.targets.signed.version)
        self.timestamp.signed.snapshot_meta = MetaFile(self.snapshot.signed.version)
        for role, metadata in chain:
            metadata.signatures.clear()
            for signer in (root or []) if role == "root" else [self._signer(role)]:
                metadata.sign(signer, append=True)
        for role, metadata in chain:
            self._write("timestamp.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json", metadata)

    def _signer(self, role: str) -> CryptoSigner:
        signer = self.signers.get(role) or load_key(role, self.keys)
        if signer.public_key.keyid not in self.root.signed.roles[role].keyids:
            raise InputError(f"{self.path}: the {role} key in {self.keys} is not one that this registry knows")
        return signer

    def renew(self) -> None:
        """Sign everything for another while, the root too."""
        self.publish(targets=True, root=[self._signer("root")])

    def replace_key(self, role: str, new: CryptoSigner) -> None:
        """Make ``new`` the only key of a role and sign everything with it; a new root is vouched for by the old key.

        Raises:
            InputError: a key is missing.
        """
        signers = [self._signer("root")]
        for old in list(self.root.signed.roles[role].keyids):
            self.root.signed.revoke_key(old, role)
        self.root.signed.add_key(new.public_key, role)
        self.signers[role] = new
        self.publish(targets=True, root=[*signers, new] if role == "root" else signers)

    def _read(self, name: str, kind: type) -> Metadata:
        path = self.metadata / name
        try:
            metadata: Metadata = Metadata.from_file(str(path))
        except (OSError, RepositoryError, ValueError, KeyError) as error:
            raise InputError(f"{path}: expected signed metadata, got: {error}") from error
        except Exception as error:  # securesystemslib's own StorageError is no OSError
            raise InputError(f"{path}: expected signed metadata, got: {error}") from error
        if not isinstance(metadata.signed, kind):
            raise InputError(f"{path}: expected {kind.__name__}, got {type(metadata.signed).__name__}")
        return metadata

    def _write(self, name: str, metadata: Metadata) -> None:
        content = metadata.to_bytes(JSONSerializer(compact=False))
        write_bytes(self.metadata / name, content)


def _expiry(days: int) -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=days)
