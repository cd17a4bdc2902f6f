import pytest
from hypothesis import HealthCheck, Phase, settings

from fuzz.guard import CASES, LONG
from fuzz.samples import molecules, periodic
from mlip.batch import to_batch

settings.register_profile(
    "fuzz", deadline=None, derandomize=not LONG, database=None, print_blob=True, report_multiple_bugs=True,
    suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
)  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def count(request):
    """Compile kernels before there is a clock; print how many cases there were, and of what kind, at the end."""
    for structure in (*periodic(), *molecules()):
        to_batch(structure, 5.0)
    yield
    total = sum(CASES.values())
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nhostile input: {total} cases, {CASES['refused']} refused, {CASES['result']} read")
