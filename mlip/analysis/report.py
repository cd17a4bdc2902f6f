"""An analysis as text."""

from __future__ import annotations

from typing import Any

MEV = 1e3
TERAHERTZ = 33.35641  # 1/cm
SQUARE_CM = 10.0  # 1e-5 cm²/s (or 1e-9 m²/s) of 1 Å²/ps


def text_of(results: dict[str, Any], notes: list[str]) -> str:
    """The numbers of a trajectory, and what to mind."""
    lines = [_head(results), *_conditions(results), *_pairs(results), *_diffusion(results), *_vibrations(results)]
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _head(results: dict[str, Any]) -> str:
    times = "" if results["time_ps"] is None else f", {results['time_ps']:.3f} ps, every {results['step_fs']:g} fs"
    return (
        f"{results['trajectory']}: {results['frames']} frames{times}; {results['atoms']:g} atoms of "
        f"{', '.join(results['elements'])}"
    )


ROWS = {
    "temperature": ("temperature", "K", 1),
    "potential_energy": ("potential energy", "eV/atom", 5),
    "total_energy": ("total energy", "eV/atom", 5),
    "volume": ("volume", "Å³/atom", 3),
}


def _conditions(results: dict[str, Any]) -> list[str]:
    lines = []
    for key, (name, unit, digits) in ROWS.items():
        value = results[key]
        if value:
            error = "" if value["error"] is None else f" ± {value['error']:.{digits}f}"
            lines.append(
                f"{name:>17}: {value['mean']:.{digits}f}{error} {unit} "
                f"(standard deviation {value['deviation']:.{digits}f})"
            )
    drift = results["energy_drift"]
    if drift:
        lines.append(
            f"{'energy drift':>17}: {drift['meV_per_atom_ps']:+.4f} meV/atom per ps of the total energy, around it "
            f"± {drift['swing_meV_per_atom']:.3f} meV/atom"
        )
    return lines


def _pairs(results: dict[str, Any]) -> list[str]:
    lines = [f"{'pair':>17} {'peak (Å)':>9} {'height':>8} {'minimum (Å)':>12} {'coordination':>13}"]
    for name, shell in results["pairs"].items():
        if shell is None:
            lines.append(f"{name:>17} {'no first shell up to the cutoff':>45}")
            continue
        a, b = name.split("-")
        other = "" if a == b else f" ({b}-{a} {shell['reverse']:.3f})"
        lines.append(
            f"{name:>17} {shell['peak']:9.3f} {shell['height']:8.2f} {shell['minimum']:12.3f} "
            f"{shell['coordination']:13.3f}{other}"
        )
    return lines


def _diffusion(results: dict[str, Any]) -> list[str]:
    lines = []
    for name, found in (results["diffusion"] or {}).items():
        if found is None:
            continue
        what = ""
        if not 0.8 <= found["exponent"] <= 1.2:
            bound = "atoms are bound" if found["exponent"] < 0.8 else "atoms still fly"
            what = f": not diffusion, {bound} at these times"
        lines.append(
            f"{'diffusion ' + name:>17}: {SQUARE_CM * found['coefficient']:.4g} ± {SQUARE_CM * found['error']:.2g} "
            f"·10⁻⁵ cm²/s, from {found['begin']:.2f} to {found['end']:.2f} ps, where displacement² goes as "
            f"time^{found['exponent']:.2f}{what}"
        )
    return lines


def _vibrations(results: dict[str, Any]) -> list[str]:
    found = results["vibrations"]
    if not found:
        return []
    peaks = ", ".join(f"{name} {peak:.2f}" for name, peak in found["peaks_THz"].items())
    return [
        f"{'vibrations':>17}: strongest at {peaks} THz (1 THz is {TERAHERTZ:.2f} cm⁻¹); velocities: "
        f"{found['velocities']}; window {found['window_ps']:.3g} ps, highest frequency {found['highest_THz']:.4g} THz"
    ]


def text_of_differences(differences: dict[str, Any]) -> str:
    """The differences from a reference."""
    lines = ["differences, trajectory less reference:"]
    for key, (name, unit, digits) in ROWS.items():
        if differences[key] is not None:
            lines.append(f"{name:>17}: {differences[key]:+.{digits}f} {unit}")
    drift = differences["energy_drift_meV_per_atom_ps"]
    if drift is not None:
        lines.append(f"{'energy drift':>17}: {drift:+.4f} meV/atom per ps")
    for name, pair in differences["pairs"].items():
        parts = [
            f"{key} {pair[key]:+.{digits}f}{unit}"
            for key, digits, unit in (("peak", 3, " Å"), ("height", 2, ""), ("coordination", 3, ""))
            if pair[key] is not None
        ]
        parts.append(f"largest of the curve {pair['largest_difference']:.3f}, {100 * pair['share']:.2f} % elsewhere")
        lines.append(f"{name:>17}: {', '.join(parts)}")
    for name, value in differences["diffusion"].items():
        if value is not None:
            lines.append(f"{'diffusion ' + name:>17}: {SQUARE_CM * value:+.4g} ·10⁻⁵ cm²/s")
    for name, value in differences["vibrations"].items():
        lines.append(
            f"{'vibrations ' + name:>17}: strongest {value['peak_THz']:+.2f} THz, "
            f"{100 * value['share']:.1f} % elsewhere"
        )
    return "\n".join(lines)
