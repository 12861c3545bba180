// Two methods side by side on every pair, out of the matrices. Without this script these stand alone.
for (const [number, table] of every("table[data-pairs]").entries()) {
  const rows = [...table.tBodies[0].rows];
  const pairs = [...table.tHead.rows[0].cells].slice(2).map((head) => ({ ...head.dataset, name: head.textContent.trim() }));
  if (rows.length < 2 || pairs.length < 2) continue;
  const names = rows.map((row) => row.dataset.method);
  const choose = (label, chosen) => {
    const select = make("select");
    names.forEach((name, place) => select.append(make("option", name, { value: place, selected: place === chosen })));
    const wrap = make("label", `${label} `);
    wrap.append(select);
    return [wrap, select];
  };
  const kept = (state.get(`compare${number}`) ?? "").split(",").map((name) => names.indexOf(name));
  const best = kept[0] >= 0 ? kept[0] : 0;
  const usual = names.indexOf(table.dataset.baseline);
  const [first, one] = choose("Compare", best);
  const [second, other] = choose("with", kept[1] >= 0 ? kept[1] : usual >= 0 && usual !== best ? usual : best ? 0 : 1);
  const said = make("p", "", { className: "soft" });
  said.setAttribute("role", "status");
  const list = make("div", "", { className: "versus" });
  const map = make("div", "", { className: "scroll" });
  Object.entries({ role: "region", tabindex: "0", "aria-label": `Differences by source and target, ${table.dataset.pairs}` }).forEach(
    ([name, text]) => map.setAttribute(name, text),
  );
  const signed = (gap) => `${gap < 0 ? "−" : "+"}${Math.abs(gap).toFixed(1)}`;

  // Source by target, where there are both.
  const draw = (known, widest) => {
    const scale = Math.min(table.dataset.scale, widest);
    const level = (gap) => Math.sign(gap) * Math.min(4, Math.ceil((4 * Math.abs(gap)) / scale));
    const [sources, targets] = ["source", "target"].map((side) => [...new Set(known.map((pair) => pair[side]))].sort());
    if (sources.length < 2 || targets.length < 2) return [];
    const grid = make("table", "", { className: "grid" });
    grid.createCaption().textContent = "Points by source (rows) and target (columns).";
    const head = grid.createTHead().insertRow();
    head.append(make("th", "source", { scope: "col" }), ...targets.map((name) => make("th", name, { scope: "col" })));
    for (const source of sources) {
      const line = (grid.tBodies[0] ?? grid.createTBody()).insertRow();
      line.append(make("th", source, { scope: "row" }));
      for (const target of targets) {
        const pair = known.find((each) => each.source === source && each.target === target);
        line.append(make("td", pair ? signed(pair.gap) : "", { className: pair ? `n l${level(pair.gap)}` : "n" }));
      }
    }
    return [grid];
  };
  const update = () => {
    const [a, b] = [one, other].map((select) => rows[Number(select.value)]);
    const both = pairs
      .map((pair, place) => ({ ...pair, a: a.cells[place + 2], b: b.cells[place + 2] }))
      .filter((pair) => pair.a.dataset.value !== "" && pair.b.dataset.value !== "");
    // Means over different seeds or networks say nothing of the methods.
    const known = both
      .filter((pair) => pair.a.dataset.part === pair.b.dataset.part)
      .map((pair) => ({ ...pair, gap: pair.a.dataset.value - pair.b.dataset.value }))
      .sort((x, y) => y.gap - x.gap);
    const widest = Math.max(1, ...known.map((pair) => Math.abs(pair.gap)));
    const [left, right] = [names[one.value], names[other.value]];
    const won = known.filter((pair) => pair.gap > 0).length;
    const lost = known.filter((pair) => pair.gap < 0).length;
    said.textContent = `${left} is ahead of ${right} on ${won} of ${known.length} pairs and behind on ${lost}; whether a gap is more than chance is not said here.`;
    const apart = both.length - known.length;
    if (apart) said.textContent += ` ${apart} more ${apart > 1 ? "are" : "is"} left out, of which they have not done the same cells.`;
    list.replaceChildren(
      ...known.map((pair) => {
        const line = make("div");
        const bar = make("span", "", { className: "gap" });
        const fill = make("i");
        fill.style.width = `${(50 * Math.abs(pair.gap)) / widest}%`;
        fill.style.marginLeft = pair.gap < 0 ? `${50 - (50 * -pair.gap) / widest}%` : "50%";
        bar.append(fill);
        const numbers = make("span", "", { className: "n" });
        numbers.append(pair.a.firstChild.cloneNode(true), " against ", pair.b.firstChild.cloneNode(true));
        line.append(make("span", pair.name), bar, make("span", signed(pair.gap), { className: "n" }), numbers);
        return line;
      }),
    );
    map.replaceChildren(...draw(known, widest));
    map.hidden = !map.childElementCount;
  };
  for (const select of [one, other])
    select.addEventListener("change", () => {
      update();
      keep(`compare${number}`, `${names[one.value]},${names[other.value]}`);
    });
  const box = make("div", "", { className: "explorer" });
  const controls = make("p");
  controls.append(first, " ", second);
  const [sides, fold] = [make("div", "", { className: "sides" }), make("details")];
  fold.append(make("summary", "Every pair"), list);
  fold.open = pairs.length <= 12;
  sides.append(map, fold);
  box.append(controls, said, sides);
  const before = table.closest(".scroll").previousElementSibling;
  (before.matches(".tools") ? before : table.closest(".scroll")).before(box);
  update();
}
