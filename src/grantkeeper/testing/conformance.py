"""
What every store must do: suites for the store of this house and for those of others.

Derive a test class from `StoreConformance` (or from the part that your store
has) and give it a ``store`` fixture:

    class TestMyStore(StoreConformance):
        @pytest.fixture
        async def store(self):
            store = await open_my_store()
            yield store
            await store.close()
"""

from grantkeeper.testing.conformance_claims import LeaseStoreConformance, RedemptionStoreConformance
from grantkeeper.testing.conformance_grants import GrantStoreConformance
from grantkeeper.testing.conformance_jobs import JobCommitConformance, JobStoreConformance
from grantkeeper.testing.conformance_nodes import (
    DataKeyStoreConformance,
    DueConformance,
    NodeStoreConformance,
    OrphanConformance,
)
from grantkeeper.testing.conformance_paces import PaceStoreConformance
from grantkeeper.testing.conformance_rest import (
    AuditStoreConformance,
    CallerStoreConformance,
    ChangeFeedConformance,
    OnceStoreConformance,
    SigningKeyStoreConformance,
    UpkeepConformance,
)
from grantkeeper.testing.conformance_search import SearchConformance


class StoreConformance(
    GrantStoreConformance,
    SearchConformance,
    RedemptionStoreConformance,
    LeaseStoreConformance,
    ChangeFeedConformance,
    CallerStoreConformance,
    OnceStoreConformance,
    SigningKeyStoreConformance,
    AuditStoreConformance,
    NodeStoreConformance,
    DataKeyStoreConformance,
    DueConformance,
    OrphanConformance,
    JobStoreConformance,
    JobCommitConformance,
    PaceStoreConformance,
    UpkeepConformance,
):
    """All of `grantkeeper.ports.Store`."""


__all__ = [
    "AuditStoreConformance",
    "CallerStoreConformance",
    "ChangeFeedConformance",
    "DataKeyStoreConformance",
    "DueConformance",
    "GrantStoreConformance",
    "JobCommitConformance",
    "JobStoreConformance",
    "LeaseStoreConformance",
    "NodeStoreConformance",
    "OnceStoreConformance",
    "OrphanConformance",
    "PaceStoreConformance",
    "RedemptionStoreConformance",
    "SearchConformance",
    "SigningKeyStoreConformance",
    "StoreConformance",
    "UpkeepConformance",
]
