// Which methods and questions the page shows, in tables and figures. Without this script it shows all.
const PERCENT = "[data-label$=', %']"; // what a board ranks by
const filter = document.querySelector("#filter");
if (filter) {
  const boxes = every("#methods input");
  const boards = every("table[data-board]").map((table) => ({
    block: table.closest("[data-block]").dataset.block,
    title: table.querySelector("caption strong").textContent,
    leads: table.dataset.leads,
    rows: [...table.tBodies[0].rows],
  }));
  const seconds = Object.fromEntries(
    boards.map(({ block, rows }) => [block, new Map(rows.map((row) => [row.dataset.method, row.dataset.seconds]))]),
  );
  const least = (method) => Math.min(...boards.map(({ block }) => Number(seconds[block].get(method) || Infinity)));
  const parts = every("[data-method], [data-block]").map((part) => ({
    part,
    method: part.dataset.method,
    other: part.dataset.other,
    block: part.closest("[data-block]")?.dataset.block,
  }));
  const [summary, status] = [document.querySelector("#methods summary"), document.querySelector("#within")];
  const fields = ["find", "family", "seconds", "question"].map((name) => filter.elements[name]).filter(Boolean);
  const read = (name) => filter.elements[name]?.value ?? "";

  const best = ({ block, title, leads, rows }, allowed) => {
    const row = rows.find((each) => allowed(each.dataset.method, block) && each.querySelector(PERCENT)?.dataset.value);
    if (!row) return `${title} None.`;
    const said = (selector) => row.querySelector(selector).textContent.trim();
    return `${title} ${leads} ${row.dataset.method}: ${said(PERCENT)} % (${said("[data-label^='95']")}), ${said("[data-label^=seconds]")}.`;
  };
  const apply = () => {
    const words = read("find").toLowerCase().split(/\s+/);
    const [family, limit, question] = [read("family"), Number(read("seconds")) || Infinity, read("question")];
    const chosen = boxes.filter(
      (box) =>
        box.checked &&
        (!family || box.dataset.family === family) &&
        words.every((word) => `${box.value} ${box.dataset.family}`.toLowerCase().includes(word)),
    );
    const known = new Set(boxes.map((box) => box.value));
    const names = new Set(chosen.map((box) => box.value));
    const quick = (method, block) =>
      limit === Infinity || (block in seconds ? Number(seconds[block].get(method) || Infinity) : least(method)) <= limit;
    const allowed = (method, block) => (names.has(method) || !known.has(method)) && quick(method, block);
    for (const { part, method, other, block } of parts) {
      const wanted =
        (!question || !block || block === question) &&
        (!method || allowed(method, block)) &&
        (!other || allowed(other, block));
      if (part.hasAttribute("hidden") === wanted) part.toggleAttribute("hidden", !wanted);
    }
    const left = [...names].filter((name) => quick(name, question)).length;
    const all = left === boxes.length && limit === Infinity; // a method may be quick in one question alone
    summary.textContent = left === boxes.length ? "All methods" : `${left} of ${boxes.length} methods`;
    filter.querySelector("[type=reset]").hidden = all && !question;
    if (status) {
      status.hidden = all;
      const asked = boards.filter(({ block }) => !question || block === question);
      status.textContent = all ? "" : `Of the ${left} method${left === 1 ? "" : "s"} shown. ${asked.map((board) => best(board, allowed)).join(" ")}`;
    }
    fields.forEach((field) => keep(field.name, field.value));
    keep("without", boxes.filter((box) => !box.checked).map((box) => box.value).join(","));
  };

  filter.hidden = false;
  const toggle = document.querySelector("#open-filter");
  toggle.hidden = false;
  toggle.addEventListener("click", () => toggle.setAttribute("aria-expanded", String(filter.classList.toggle("shown"))));
  fields.forEach((field) => (field.value = state.get(field.name) ?? field.value));
  const without = (state.get("without") ?? "").split(",");
  boxes.forEach((box) => (box.checked = !without.includes(box.value)));
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
  filter.addEventListener("reset", () => setTimeout(apply));
  document.querySelector("#share").addEventListener("click", ({ target }) => copy(location.href, target));
  if (state.size) apply();
}
