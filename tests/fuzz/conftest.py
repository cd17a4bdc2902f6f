import pytest
from hypothesis import HealthCheck, Phase, settings

from fuzz.guard import CASES, LONG
from fuzz.samples import molecules, periodic, sample
from mlip.batch import to_batch
from mlip.configfile import parse_config
from mlip.preparation import prepare

settings.register_profile(
    "fuzz", deadline=None, derandomize=not LONG, database=None, print_blob=True, report_multiple_bugs=True,
    suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
)  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def count(request, tmp_path_factory):
    """Compile kernels before there is a clock; print how many cases there were, and of what kind, at the end.

    A clock that stops a compiler leaves nothing compiled, so that it would stop it in each run anew.
    """
    for structure in (*periodic(), *molecules()):
        to_batch(structure, 5.0)
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "molecules.npz").write_bytes(sample("molecules.npz"))
    data = {"train": str(folder / "molecules.npz"), "split": {"valid": 1}}
    prepare(parse_config({"run": {"dir": str(folder / "run")}, "data": data}, "kernels"))  # all that auto looks at
    yield
    total = sum(CASES.values())
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nhostile input: {total} cases, {CASES['refused']} refused, {CASES['result']} read")
