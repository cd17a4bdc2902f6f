"""How far does training scale? Measure what is at hand, and predict an epoch of 10^6 structures on 8, 64 and 512 GPUs.

    python scripts/benchmark_scaling.py --quick
    python scripts/benchmark_scaling.py --figure docs/scaling.svg

Measured here, on a GPU if torch sees one, else on one core with gloo between ranks:

  step        loss and gradient of 1 to 256 structures on a rank, features kept and recomputed, as a line in their
              number; a molecule of 21 atoms (as many as aspirin has) and a periodic cell of 64, with 264 functions and
              networks 64-64
  sharing     of a batch into balanced parts, which every rank does for the whole batch
  sum         of the gradients over ranks, by bytes
  optimizer   of a step; of SOAP ranks share out what it does more than Adam
  store       reading what `mlip prepare` writes, with and without checksums, and training from it
  imbalance   largest share over the mean one, for batches of the bundled data
  check       the model's step for two ranks beside the measured one, and its rate of training from a store

Predicted with the model of scripts/scaling_model.py from these and from published numbers, which are listed with their
sources. No GPU prediction was ever compared with a run on many GPUs; without a GPU at hand even the time of one is an
extrapolation: it takes the GPU to reach the share of its ceilings that the core here reaches of its own.

"Stops at" is the number of GPUs of which twice as many would make an epoch less than 1.25 times faster, and the part of
an epoch that bounds it. The last line is a JSON object with every figure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import scaling_measure as measure
import timing
import torch
from scaling_model import MOST, Fabric, Files, Imbalance, Line, Training, on_device

from mlip.data.read import read_structures
from mlip.device import configure_cpu
from mlip.training.examples import Examples

ALCU = timing.ETHANOL.with_name("alcu_emt.xyz")
RANKS = (8, 64, 512)
WORKLOADS = ("molecule", "periodic")
STREAMED = 8  # structures of a step that reads a store
PLAIN = 4e4  # bytes of a structure in a store without features, about
TRAININGS = (  # features, where they or structures are, optimizer
    ("recomputed", "in memory", "soap"),
    ("recomputed", "in memory", "adam"),
    ("recomputed", "streamed", "soap"),
    ("kept", "streamed", "soap"),
    ("kept", "streamed in shares", "soap"),
)


class Published(NamedTuple):
    """A number that was not measured here."""

    value: float
    unit: str
    what: str
    source: str


SHEET = "archive-lib.hpctech.co.jp/gpuproduct/nvidia-h100.html"
SUPERPOD = "docs.nvidia.com/dgx-superpod, H100 reference architecture"
NCCL = "github.com/NVIDIA/nccl, src/graph/tuning.cc at b647562, tree, LL128"
H100 = {
    "memory": Published(3.35e12, "B/s", "H100 SXM, memory", SHEET),
    "arithmetic": Published(67e12, "FLOP/s", "H100 SXM, FP32", SHEET),
    "capacity": Published(80e9, "B", "H100 SXM, size of its memory", SHEET),
    "link": Published(450e9, "B/s", "NVLink, one way", f"{SUPERPOD}: 900 GB/s both ways"),
    "network": Published(50e9, "B/s", "NDR InfiniBand of a GPU", f"{SUPERPOD}: 400 Gb/s"),
    "base": Published(14e-6, "s", "all-reduce, begin", NCCL),
    "inside": Published(1.25e-6, "s", "all-reduce, a GPU of a node", NCCL),
    "between": Published(8.5e-6, "s", "all-reduce, a doubling of nodes", NCCL),
    "node": Published(40e9, "B/s", "files, of a node", f"{SUPERPOD}, with GPUDirect Storage, which mlip has not"),
    "total": Published(240e9, "B/s", "files, of all", "Shipman et al., Cray User Group 2009: Spider, an old Lustre"),
    "factored": Published(
        7.3e-6, "s", "QR of n x n on a GPU, over n", "github.com/pytorch/pytorch/pull/54725, GPU not said"
    ),
    "launch": Published(10e-6, "s", "an operation of PyTorch", "assumed, no source"),
    "passes": Published(3.0, "", "readings of a Jacobian, over those here", "counted in descriptors/store.py"),
}


class Size(NamedTuple):
    """How much is measured."""

    batches: dict[str, tuple[int, ...]]
    messages: tuple[int, ...]
    shared: tuple[int, ...]  # structures of the batches that are shared out
    stored: float  # bytes of a store, about
    most: int  # structures in a store
    checked: tuple[int, ...]  # structures of the batches of several ranks
    edge: int  # of the matrices of the ceilings
    budget: float  # seconds of a figure
    draws: int  # of batches for the imbalance


FULL = Size(
    {"molecule": (1, 4, 16, 64, 256), "periodic": (1, 4, 16, 64, 256)},
    (8, 1 << 10, 1 << 13, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24),
    (64, 256, 1024, 4096, 16384),
    1e9,
    2048,
    (8, 32, 128),
    2048,
    2.0,
    8,
)
QUICK = Size(
    {"molecule": (1, 4, 16), "periodic": (1, 4)}, (8, 1 << 13, 1 << 19), (64, 1024), 2e7, 128, (8, 32), 512, 0.05, 1
)  # fmt: skip


def main() -> None:
    options = parsed()
    configure_cpu(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(size, device, options, Path(folder))
    imbalances = imbalances_of(size.draws)
    figures["imbalance"] = imbalance_rows(imbalances["periodic"], size.draws)
    trainings = {
        f"{name}, {features}, {place}, {optimizer}": training_of(
            figures, (name, features, place, optimizer), imbalances[name], options.structures, device
        )
        for name in WORKLOADS
        for features, place, optimizer in TRAININGS
    }
    figures["predicted"] = {what: predicted(training, options) for what, training in trainings.items()}
    print_measured(figures, options)
    print_predicted(figures, options)
    if options.figure:
        draw(trainings, options)
    print_json(figures, options, device)


def parsed() -> argparse.Namespace:
    """The options.

    Raises:
        SystemExit: a number is not positive.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of all: about 20 s, figures worth little")
    parser.add_argument("--structures", type=int, default=10**6, metavar="N", help="of an epoch (default: 10^6)")
    parser.add_argument(
        "--global-batch", type=int, default=4096, metavar="N", help="structures of a step (default: 4096)"
    )
    parser.add_argument("--gpu-batch", type=int, default=32, metavar="N", help="the same of a GPU (default: 32)")
    parser.add_argument("--ranks", type=int, default=2, metavar="N", help="processes that are measured (default: 2)")
    parser.add_argument("--figure", type=Path, metavar="FILE.svg", help="draw the epoch over the number of GPUs")
    options = parser.parse_args()
    for name in ("structures", "global_batch", "gpu_batch"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be at least 1")
    if options.ranks < 2:
        parser.error(f"--ranks is {options.ranks}; it must be at least 2")
    return options


def measured(size: Size, device: torch.device, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All that is measured: a table for each thing."""
    figures: dict[str, Any] = {"ceilings": measure.ceilings(device, size.edge, size.budget)}
    for name in WORKLOADS:
        made = measure.workload(name, max(size.batches[name]), device)
        examples = made.examples
        times = measure.compute_times(made, size.batches[name], size.budget)
        figures[name] = {
            "times": times,
            "lines": {what: measure.line_of(found) for what, found in times.items()},
            "weights": made.weights,
            "atoms": len(made.structures[0]),
            "neighbors": examples.pairs / len(examples) / len(made.structures[0]),
            "kept": measure.kept_bytes(made),
            "plain": measure.plain_bytes(made),
        }
        if name == WORKLOADS[0]:
            figures["launches"] = measure.step_launches(made) if device.type == "cpu" else None
            figures["optimizers"] = measure.optimizer_costs(made, 2 if size is QUICK else 20)
            times = measure.sharing_times(examples.costs, size.shared, RANKS[0], size.budget)
            figures["sharing"] = {"times": times, "line": measure.line_of(times)}
        figures[name]["stores"] = {}
        for mode, each in {"recomputed": PLAIN, "kept": figures[name]["kept"]}.items():
            stored = measure.workload(name, max(16, min(size.most, int(size.stored / each))), device)
            store = measure.store_figures(stored, folder, STREAMED, features=mode == "kept")
            step = figures[name]["lines"][mode](STREAMED) / STREAMED
            figures[name]["stores"][mode] = store | {"model": 1 / max(step, store["bytes"] / store["unpacked"])}
    same = device.type == "cpu" or torch.cuda.device_count() >= options.ranks
    request = {
        "device": device.type if same else "cpu",
        "messages": size.messages,
        "repeats": 1 if size is QUICK else 5,
        "workload": WORKLOADS[0],
        "structures": max(size.checked),
        "optimizer": "soap",
        "batches": size.checked,
    }
    found = measure.spawned(options.ranks, request, folder)
    sums = {int(length): seconds for length, seconds in found["sums"].items()}
    figures["sums"] = {"times": sums, "line": measure.line_of(sums)}
    figures["check"] = check_rows(figures, found, options.ranks) if same else []
    return figures


def check_rows(figures: Mapping[str, Any], found: Mapping[str, Any], ranks: int) -> list[dict[str, float]]:
    """A step of several ranks: the model's, the model's from a part that was timed beside the others, and measured."""
    made = figures[WORKLOADS[0]]
    sums: Line = figures["sums"]["line"]
    message = message_of(made["weights"])
    training = Training(
        structures=1,
        compute=made["lines"]["kept"],
        sharing=figures["sharing"]["line"],
        optimizer=figures["optimizers"]["adam"].seconds,
        shared_optimizer=shared_seconds(figures, "soap"),
        largest=figures["optimizers"]["soap"].largest,
        message=message,
        all_reduce=lambda size, _: sums(size),
        imbalance=lambda batch, over: 1.0,
    )
    rows = []
    for batch, seconds in found["shared"].items():
        parts = training.step(int(batch), ranks)
        beside = found["alone"][batch] + parts["sharing"] + parts["all-reduce"]
        rows.append({"batch": int(batch), "model": sum(parts.values()), "beside": beside, "measured": seconds})
    return rows


def message_of(weights: int) -> int:
    """Bytes that a step adds up over the ranks: the gradient in float32, losses and signals."""
    return 4 * (weights + measure.SENT)


def shared_seconds(figures: Mapping[str, Any], optimizer: str) -> float:
    """What ranks share out of an optimizer: all that it has more to do than Adam, if it shares anything."""
    cost: measure.OptimizerCost = figures["optimizers"][optimizer]
    return max(0.0, cost.seconds - figures["optimizers"]["adam"].seconds) if cost.largest < 1 else 0.0


def imbalances_of(draws: int) -> dict[str, Imbalance]:
    """From the bundled data: ethanol, whose structures are all alike, and Al-Cu cells of 4 to 108 atoms."""
    found = {}
    for name, path in {"molecule": timing.ETHANOL, "periodic": ALCU}.items():
        structures = read_structures(path)[:310]
        descriptor = timing.descriptor_of(timing.config_of("grid"), structures)
        examples = Examples(structures, descriptor.cutoff, timing.CPU)
        examples.weigh(descriptor)
        found[name] = Imbalance(examples.costs, draws)
    return found


def imbalance_rows(by_cost: Imbalance, draws: int) -> list[dict[str, float]]:
    """Of batches with some structures for each rank: shares by cost, and by number for comparison."""
    by_number = Imbalance(by_cost.costs, draws, counted=True)
    return [
        {
            "ranks": ranks,
            "each": each,
            "by cost": by_cost(each * ranks, ranks),
            "by number": by_number(each * ranks, ranks),
        }
        for ranks in RANKS
        for each in (1, 8, 32)
    ]


def training_of(
    figures: Mapping[str, Any], kind: Sequence[str], imbalance: Imbalance, structures: int, device: torch.device
) -> Training:
    """The model of a training of a kind on H100s: workload, features, place and optimizer."""
    name, features, place, optimizer = kind
    made = figures[name]
    compute: Line = made["lines"][features]
    cost: measure.OptimizerCost = figures["optimizers"][optimizer]
    shared = shared_seconds(figures, optimizer)
    seconds = cost.seconds - shared
    if device.type == "cpu":
        launch = H100["launch"].value
        here, there = works(figures, name, features)
        compute = on_device(compute, made["lines"]["host"], here, there, figures["launches"], launch)
        factored = cost.factored * H100["factored"].value
        seconds = cost.launches * launch
        shared, seconds = (factored, seconds) if cost.largest < 1 else (0.0, seconds + factored)
    store = made["stores"][features]
    files = Files(store["unpacked"], H100["node"].value, H100["total"].value, shared=place == "streamed in shares")
    return Training(
        structures=structures,
        compute=compute,
        sharing=figures["sharing"]["line"],
        optimizer=seconds,
        shared_optimizer=shared,
        largest=cost.largest,
        message=message_of(made["weights"]),
        all_reduce=Fabric(*(H100[key].value for key in ("base", "inside", "between", "link", "network"))),
        imbalance=imbalance,
        stored=store["bytes"] * structures,
        files=None if place == "in memory" else files,
    )


def works(figures: Mapping[str, Any], name: str, features: str) -> tuple[float, float]:
    """Seconds of a structure at the ceilings of the core here and of an H100.

    With kept features they are two readings of the Jacobian and the networks; recomputed ones are taken to be bound by
    arithmetic, with as much of it as the core here could do meanwhile.
    """
    made, here = figures[name], figures["ceilings"]
    if features == "recomputed":
        seconds = max(made["lines"]["recomputed"].each - made["lines"]["host"].each, 1e-12)
        return seconds, seconds * here["arithmetic"] / H100["arithmetic"].value
    flops = measure.FLOPS_PER_WEIGHT * made["weights"] / 3 * made["atoms"]  # an atom has one of three networks
    reading = 2 * made["kept"]
    there = H100["passes"].value * reading / H100["memory"].value + flops / H100["arithmetic"].value
    return reading / here["memory"] + flops / here["arithmetic"], there


def predicted(training: Training, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of an epoch by ranks, with a fixed batch and with a fixed batch of a rank, and where each stops."""
    found: dict[str, Any] = {}
    for way, batch_of in batches(options).items():
        limit, bound = training.limit(batch_of)
        epochs = {ranks: training.epoch(batch_of(ranks), ranks) for ranks in RANKS}
        found[way] = {
            "seconds": {ranks: epoch.seconds for ranks, epoch in epochs.items()},
            "parts": {ranks: epoch.parts for ranks, epoch in epochs.items()},
            "stops": limit,
            "bound": bound,
        }
    return found


def batches(options: argparse.Namespace) -> dict[str, Callable[[int], int]]:
    """The number of structures of a step, by ranks, in the two ways of growing."""
    return {"fixed": lambda ranks: options.global_batch, "growing": lambda ranks: options.gpu_batch * ranks}


def print_measured(figures: Mapping[str, Any], options: argparse.Namespace) -> None:
    """What was measured here, for people."""
    here = figures["ceilings"]
    print(f"\nMeasured here: memory {here['memory'] / 1e9:.3g} GB/s, float32 {here['arithmetic'] / 1e9:.4g} GFLOP/s\n")
    for name in WORKLOADS:
        made = figures[name]
        print(
            f"{name}: {made['atoms']} atoms, {made['neighbors']:.0f} neighbors, kept {made['kept'] / 1e6:.3g} MB each"
        )
        for what, times in made["times"].items():
            line = made["lines"][what]
            listed = "  ".join(f"{count}: {1e3 * seconds:.3g}" for count, seconds in times.items())
            print(f"  {what:10} {1e3 * line.fixed:8.3g} ms + {1e3 * line.each:.3g} ms each   ({listed} ms)")
        for mode, store in made["stores"].items():
            rates = ", ".join(f"{key} {store[key] / 1e6:.0f}" for key in ("checked", "unchecked", "unpacked"))
            print(
                f"  store {mode:10} {store['bytes'] / 1e3:.4g} kB each; MB/s: {rates}; "
                f"trained {store['streamed']:.0f} structures/s, model {store['model']:.0f}"
            )
    shared, sums = figures["sharing"]["line"], figures["sums"]
    print(f"sharing       {1e6 * shared.fixed:.3g} µs + {1e6 * shared.each:.3g} µs for each structure of the batch")
    rate = f"{1e-9 / sums['line'].each:.3g} GB/s" if sums["line"].each else "no slope"
    listed = "  ".join(f"{size}: {1e6 * seconds:.3g}" for size, seconds in sums["times"].items())
    print(f"sum over {options.ranks}    {1e6 * sums['line'].fixed:.3g} µs, {rate}   (bytes: µs  {listed})")
    for name, cost in figures["optimizers"].items():
        print(f"optimizer     {name:5} {1e3 * cost.seconds:.3g} ms, {cost.launches:.0f} operations a step")
    print(f"\n{'imbalance, Al-Cu':22} by cost  by number")
    for row in figures["imbalance"]:
        print(f"{row['ranks']:4} ranks, {row['each']:2} each  {row['by cost']:9.3f} {row['by number']:10.3f}")
    print(f"\n{'step of ' + str(options.ranks) + ' ranks, ms':22}    model  part timed beside   measured")
    for row in figures["check"]:
        seconds = [1e3 * row[name] for name in ("model", "beside", "measured")]
        print(f"batch of {row['batch']:<13} {seconds[0]:8.3g} {seconds[1]:18.3g} {seconds[2]:10.3g}")


def print_predicted(figures: Mapping[str, Any], options: argparse.Namespace) -> None:
    """The predictions with what they rest on, as a table that a page can take."""
    print("\nPublished, not measured here:")
    for entry in H100.values():
        print(f"  {entry.value:8.3g} {entry.unit:6} {entry.what:38} {entry.source}")
    for name in WORKLOADS:
        sizes = [figures[name][what] * options.structures / 1e9 for what in ("plain", "kept")]
        print(
            f"{name}: {sizes[0]:.3g} GB of structures and pairs in the memory of each rank; kept features are "
            f"{sizes[1]:.3g} GB, and a GPU has {H100['capacity'].value / 1e9:.0f} GB"
        )
    print(f"\nPredicted seconds of an epoch of {options.structures} structures, never compared with a run on GPUs\n")
    fixed, growing = f"batch of {options.global_batch}", f"{options.gpu_batch} on each"
    heads = [*(f"{fixed}: {ranks}" for ranks in RANKS), "stops at", *(f"{growing}: {ranks}" for ranks in RANKS)]
    print("| structures, features, optimizer | " + " | ".join([*heads, "stops at"]) + " |")
    print("|---" * (len(heads) + 2) + "|")
    for what, ways in figures["predicted"].items():
        cells = [what]
        for found in ways.values():
            cells += [f"{seconds:.3g}" for seconds in found["seconds"].values()]
            cells.append(f"{found['stops']}{'+' * (found['stops'] == MOST)}: {found['bound']}")
        print("| " + " | ".join(cells) + " |")
    print(f"\nParts of an epoch on {RANKS[-1]} GPUs, batch of {options.global_batch}, s\n")
    parts = {what: ways["fixed"]["parts"][RANKS[-1]] for what, ways in figures["predicted"].items()}
    names = list(next(iter(parts.values())))
    print("| | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for what, seconds in parts.items():
        print("| " + " | ".join([what, *(f"{seconds[name]:.2g}" for name in names)]) + " |")


def draw(trainings: Mapping[str, Training], options: argparse.Namespace) -> None:
    """Seconds of an epoch over the number of GPUs, both logarithmic; ideal scaling is dotted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    ranks = [2**n for n in range(MOST.bit_length())]
    figure, panels = pyplot.subplots(1, len(WORKLOADS), figsize=(10, 4.5), sharey=True, layout="constrained")
    for panel, name in zip(panels, WORKLOADS, strict=True):
        kinds = {what: training for what, training in trainings.items() if what.startswith(name)}
        for color, (what, training) in enumerate(kinds.items()):
            for batch_of, style in zip(batches(options).values(), ("-", "--"), strict=True):
                seconds = [training.epoch(batch_of(p), p).seconds for p in ranks]
                label = what.removeprefix(f"{name}, ") if style == "-" else None
                panel.loglog(ranks, seconds, style, color=f"C{color}", label=label)
        work = next(iter(kinds.values()))
        ideal = [work.structures * work.compute.each / p for p in ranks]
        panel.loglog(ranks, ideal, ":", color="gray", label="the structures of the first alone")
        panel.set(title=name, xlabel="GPUs (predicted, not run)")
        panel.legend(fontsize="x-small")
    panels[0].set(
        ylabel=f"seconds of an epoch of {options.structures:.0e} structures\n"
        f"(lines: batch of {options.global_batch}, dashes: {options.gpu_batch} on each GPU)"
    )
    figure.savefig(options.figure)


def print_json(figures: Mapping[str, Any], options: argparse.Namespace, device: torch.device) -> None:
    """Everything on the last line."""
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "device": str(device)}
    versions = {name: version(name) for name in ("mlip", "torch")}
    facts = {name: value for name, value in vars(options).items() if name != "figure"}
    published = {name: entry._asdict() for name, entry in H100.items()}
    everything = {"benchmark": "scaling", **facts, "figures": figures, "published": published}
    print("\n" + json.dumps({**everything, "machine": machine, "versions": versions}, default=plain))


def plain(value: Any) -> Any:
    """What JSON has no word for."""
    return asdict(value)


if __name__ == "__main__":
    main()
