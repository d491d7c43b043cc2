"""Durable state: the only SQL, and the only writer of circuits and results."""

from qvirt.store.files import write_atomically
from qvirt.store.store import Lease, Store

__all__ = ["Lease", "Store", "write_atomically"]
