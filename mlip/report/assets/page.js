// Shows one of the worst structures in the viewer: atoms, cell, and arrows for the error of each force.
(() => {
  const views = JSON.parse(document.getElementById("views").textContent);
  const place = document.getElementById("view"), told = document.getElementById("told");
  const arrows = document.getElementById("arrows"), shade = document.getElementById("shade");
  const buttons = [...document.querySelectorAll(".worst button")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const point = ([x, y, z]) => ({ x, y, z });
  let viewer = null, shown = 0;

  const canDraw = () => {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
  };

  const mixed = (share) => {  // from a calm gray to the color of alarm
    const ends = [color("--train"), color("--alert")].map((text) => parseInt(text.slice(1), 16));
    const part = (shift) => {
      const [from, to] = ends.map((end) => (end >> shift) & 255);
      return Math.round(from + share * (to - from)) << shift;
    };
    return part(16) | part(8) | part(0);
  };

  const draw = (turnBack) => {
    const view = views[shown];
    const sizes = view.errors ? view.errors.map((error) => Math.hypot(...error)) : [];
    const largest = Math.max(...sizes, 1e-12);
    viewer.setBackgroundColor(color("--soft"));
    viewer.removeAllModels();
    viewer.removeAllShapes();
    const model = viewer.addModel();
    const atoms = view.symbols.map((elem, serial) => ({
      elem, serial, ...point(view.positions[serial]), bonds: [], bondOrder: [],
    }));
    for (const [a, b] of view.bonds) {
      atoms[a].bonds.push(b); atoms[a].bondOrder.push(1);
      atoms[b].bonds.push(a); atoms[b].bondOrder.push(1);
    }
    model.addAtoms(atoms);
    atoms.forEach((atom, serial) => {
      const paint = shade.checked && view.errors ? { color: mixed(sizes[serial] / largest) } : { colorscheme: "Jmol" };
      const style = { sphere: { radius: view.radii[serial], ...paint } };
      if (view.bonds.length) style.stick = { radius: 0.1, ...paint };
      model.setStyle({ serial }, style);
    });
    for (const [start, end] of view.cell) {
      viewer.addCylinder({ start: point(start), end: point(end), radius: 0.03, color: color("--muted") });
    }
    if (arrows.checked && view.errors) {
      view.errors.forEach((error, serial) => {
        if (sizes[serial] < 0.08 * largest) return;
        // From the surface of the ball; the largest error is 1.6 Å long.
        const from = view.radii[serial] / sizes[serial], to = from + 1.6 / largest;
        const [start, end] = [from, to].map((part) => view.positions[serial].map((at, axis) => at + part * error[axis]));
        viewer.addArrow({ start: point(start), end: point(end), radius: 0.09, radiusRatio: 2, mid: 0.65, color: color("--alert") });
      });
    }
    if (turnBack) {
      viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
      viewer.zoomTo();
      viewer.rotate(-20, "x");
      viewer.rotate(25, "y");
      const reach = Math.max(...view.positions.map((position) => Math.hypot(...position)), 1);
      viewer.zoom(view.cell.length ? 0.9 : Math.max(1.1, 3.6 / reach));  // small molecules are shown too small
    }
    viewer.render();
  };

  const choose = (number) => {
    shown = number;
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(index === number)));
    told.textContent = buttons[number].dataset.told;
    place.setAttribute("aria-label", `Structure ${buttons[number].dataset.told}`);
    if (viewer) draw(true);
  };

  if (canDraw()) {
    viewer = $3Dmol.createViewer(place, { backgroundColor: color("--soft"), antialias: true });
    // The wheel scrolls the page; with the control key it comes nearer.
    place.addEventListener("wheel", (event) => { if (!event.ctrlKey) event.stopPropagation(); }, { capture: true });
    place.addEventListener("keydown", (event) => {
      const turn = { ArrowLeft: [-10, "y"], ArrowRight: [10, "y"], ArrowUp: [-10, "x"], ArrowDown: [10, "x"] }[event.key];
      if (!turn) return;
      viewer.rotate(...turn);
      viewer.render();
      event.preventDefault();
    });
    for (const box of [arrows, shade]) box.addEventListener("change", () => draw(false));
    dark.addEventListener("change", () => draw(false));
  } else {
    place.innerHTML = "<p>This browser has no WebGL, which turning a structure needs; the small pictures show them.</p>";
  }
  buttons.forEach((button, number) => button.addEventListener("click", () => choose(number)));
  choose(0);
})();
