// Two methods side by side on every pair, out of the tables of pairs. Without this script the tables stand alone.
for (const table of document.querySelectorAll("table[data-pairs]")) {
  const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.dataset.method);
  if (names.length < 2 || table.tBodies[0].rows.length < 2) continue;
  const make = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text }, more);
  const choose = (label, chosen) => {
    const select = document.createElement("select");
    names.forEach((name, place) => select.append(make("option", name, { value: place, selected: place === chosen })));
    const wrap = make("label", `${label} `);
    wrap.append(select);
    return [wrap, select];
  };
  const mean = (column) => {
    const values = [...table.tBodies[0].rows].map((row) => row.cells[column + 1].dataset.value).filter((v) => v !== "");
    return values.length ? values.reduce((sum, value) => sum + Number(value), 0) / values.length : -1;
  };
  const order = names.map((_, place) => place).sort((a, b) => mean(b) - mean(a));
  const [first, one] = choose("Compare", order[0]);
  const [second, other] = choose("with", order[1]);
  const said = make("p", "", { className: "soft" });
  const list = make("div", "", { className: "versus" });
  said.setAttribute("role", "status");
  const show = () => {
    const rows = [...table.tBodies[0].rows].map((row) => {
      const [a, b] = [one, other].map((select) => row.cells[Number(select.value) + 1]);
      return { name: row.cells[0].textContent, a, b, gap: a.dataset.value - b.dataset.value };
    });
    const known = rows.filter((row) => row.a.dataset.value !== "" && row.b.dataset.value !== "");
    known.sort((x, y) => y.gap - x.gap);
    const widest = Math.max(1, ...known.map((row) => Math.abs(row.gap)));
    const [left, right] = [names[one.value], names[other.value]];
    const won = known.filter((row) => row.gap > 0).length;
    const lost = known.filter((row) => row.gap < 0).length;
    said.textContent = `${left} is ahead of ${right} on ${won} of ${known.length} pairs and behind on ${lost}; whether a gap is more than chance is not said here.`;
    list.replaceChildren(
      ...known.map((row) => {
        const line = make("div", "");
        const bar = make("span", "", { className: "gap" });
        const fill = make("i", "");
        fill.style.width = `${(50 * Math.abs(row.gap)) / widest}%`;
        fill.style.marginLeft = row.gap < 0 ? `${50 - (50 * -row.gap) / widest}%` : "50%";
        bar.append(fill);
        const numbers = make("span", "", { className: "n" });
        numbers.append(row.a.firstChild.cloneNode(true), " against ", row.b.firstChild.cloneNode(true));
        const size = `${row.gap < 0 ? "−" : "+"}${Math.abs(row.gap).toFixed(1)}`;
        line.append(make("span", row.name), bar, make("span", size, { className: "n" }), numbers);
        return line;
      }),
    );
  };
  one.addEventListener("change", show);
  other.addEventListener("change", show);
  const box = make("div", "", { className: "explorer" });
  const controls = make("p", "");
  controls.append(first, " ", second);
  box.append(controls, said, list);
  table.closest("details").before(box);
  show();
}
