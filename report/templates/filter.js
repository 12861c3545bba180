// Which methods and questions the page shows, in tables and figures. Without this script it shows all.
const filter = document.querySelector("#filter");
if (filter) {
  const boxes = every("#methods input");
  const boards = every("table[data-board]").map((table) => ({
    ...table.closest("[data-block]").dataset, // its block and modality
    rows: [...table.tBodies[0].rows],
  }));
  const seconds = Object.fromEntries(
    boards.map(({ block, rows }) => [block, new Map(rows.map((row) => [row.dataset.method, row.dataset.seconds]))]),
  );
  const modalities = Object.fromEntries(boards.map(({ block, modality }) => [block, modality]));
  const needed = (method, block) => Number(seconds[block].get(method) || Infinity);
  const parts = every("[data-method], [data-block]").map((part) => ({
    part,
    method: part.dataset.method,
    other: part.dataset.other,
    block: part.closest("[data-block]")?.dataset.block,
  }));
  const [summary, status] = [document.querySelector("#methods summary"), document.querySelector("#within")];
  const fields = ["find", "family", "seconds", "modality", "question"].map((name) => filter.elements[name]).filter(Boolean);
  const read = (name) => filter.elements[name]?.value ?? "";

  const apply = () => {
    const words = read("find").toLowerCase().split(/\s+/);
    const [family, modality, question] = ["family", "modality", "question"].map(read);
    const limit = Number(read("seconds")) || Infinity;
    const asked = (block) => (!question || block === question) && (!modality || modalities[block] === modality);
    const blocks = boards.map(({ block }) => block).filter(asked);
    const chosen = boxes.filter(
      (box) =>
        box.checked &&
        (!family || box.dataset.family === family) &&
        words.every((word) => `${box.value} ${box.dataset.family}`.toLowerCase().includes(word)),
    );
    const known = new Set(boxes.map((box) => box.value));
    const names = new Set(chosen.map((box) => box.value));
    // Where a table is of all questions, a method may be quick in one alone.
    const quick = (method, block) =>
      limit === Infinity || (block in seconds ? [block] : blocks).some((each) => needed(method, each) <= limit);
    const allowed = (method, block) => (names.has(method) || !known.has(method)) && quick(method, block);
    for (const { part, method, other, block } of parts) {
      const wanted = (!block || asked(block)) && (!method || allowed(method, block)) && (!other || allowed(other, block));
      if (part.hasAttribute("hidden") === wanted) part.toggleAttribute("hidden", !wanted);
    }
    const left = [...names].filter((name) => quick(name)).length;
    const all = left === boxes.length && limit === Infinity;
    decideAmong(all ? null : allowed);
    // What is drawn or said of all methods together is not of those that are left.
    document.body.classList.toggle("filtered", !all);
    summary.textContent = left === boxes.length ? "All methods" : `${left} of ${boxes.length} methods`;
    filter.querySelector("[type=reset]").hidden = all && !question && !modality;
    if (status) {
      status.hidden = all;
      const within = limit === Infinity ? "" : `, in each question those that need ${limit} s at most`;
      const cells = boxes.length > left ? `; means are over the cells that all ${boxes.length} share` : "";
      status.textContent = all ? "" : `Of the ${left} method${left === 1 ? "" : "s"} shown${within}${cells}.`;
    }
    fields.forEach((field) => keep(field.name, field.value));
    keep("without", boxes.filter((box) => !box.checked).map((box) => box.value).join(","));
  };

  filter.hidden = false;
  const toggle = document.querySelector("#open-filter");
  toggle.hidden = false;
  toggle.addEventListener("click", () => toggle.setAttribute("aria-expanded", String(filter.classList.toggle("shown"))));
  const restore = (usual) => {
    fields.forEach((field) => (field.value = state.get(field.name) ?? usual(field)));
    const without = (state.get("without") ?? "").split(",");
    boxes.forEach((box) => (box.checked = !without.includes(box.value)));
  };
  restore((field) => field.value);
  addEventListener("hashchange", () => {
    restore(() => "");
    apply();
  });
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
  filter.addEventListener("reset", () => setTimeout(apply));
  document.querySelector("#share").addEventListener("click", ({ target }) => copy(location.href, target));
  if (state.size) apply();
}
