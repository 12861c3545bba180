// What makes the page handier. Without this script everything is there to read, in its first order.
const every = (selector, from = document) => [...from.querySelectorAll(selector)];

// Sorting by a column's head.
const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
const compare = (x, y, up) => {
  if (x === "" || y === "") return (x === "") - (y === ""); // what is not known comes last
  const order = x - y || (isNaN(x - y) ? x.localeCompare(y) : 0);
  return up ? order : -order;
};
for (const table of every("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    if (head.title) {
      button.dataset.tip = head.title;
      head.removeAttribute("title");
    }
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a, column), value(b, column), up));
      table.tBodies[0].append(...rows);
    });
  });
}

// A field that leaves only the rows of a long table that hold its words.
for (const table of every("table[data-sortable]")) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 15) continue;
  const label = document.createElement("label");
  const field = Object.assign(document.createElement("input"), { type: "search" });
  label.className = "find";
  label.append("Only rows with ", field);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.classList.toggle("unlike", !words.every((word) => text.includes(word)));
    }
  });
  table.closest(".scroll").before(label);
}

// Which methods all tables show.
const choice = document.querySelector("#methods");
if (choice) {
  choice.hidden = false;
  choice.addEventListener("change", () => {
    const shown = new Set(every("input:checked", choice).map((box) => box.value));
    for (const part of every("[data-method]")) part.hidden = !shown.has(part.dataset.method);
    const all = every("input", choice).length;
    choice.querySelector("summary").textContent = shown.size < all ? `${shown.size} of ${all} methods` : "All methods";
  });
}

// Words about a head, beside it, for the pointer and the keyboard.
const tip = Object.assign(document.createElement("div"), { id: "tip", hidden: true });
tip.setAttribute("role", "tooltip");
document.body.append(tip);
const hide = () => {
  tip.hidden = true;
  every("[aria-describedby=tip]").forEach((owner) => owner.removeAttribute("aria-describedby"));
};
const place = (owner) => {
  tip.textContent = owner.dataset.tip;
  tip.hidden = false;
  owner.setAttribute("aria-describedby", "tip");
  const box = owner.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${box.top - tip.offsetHeight - 8 < 0 ? box.bottom + 8 : box.top - tip.offsetHeight - 8}px`;
};
const show = (event) => {
  const owner = event.target.closest?.("[data-tip]");
  hide();
  if (owner) place(owner);
};
// What the keyboard has reached may have been scrolled into sight: its words go along.
const follow = () => (document.activeElement?.matches("[aria-describedby=tip]") ? place(document.activeElement) : hide());
document.addEventListener("pointerover", show);
document.addEventListener("focusin", show);
document.addEventListener("scroll", follow, true);
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());

// A link to a record opens the group that holds it.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let box = target; box; box = box.parentElement) if (box.tagName === "DETAILS") box.open = true;
  target?.scrollIntoView();
};
addEventListener("hashchange", reveal);
if (location.hash) reveal();

// The section in sight is marked in the contents.
const entries = new Map(every("nav a").map((link) => [link.hash.slice(1), link]));
const watch = new IntersectionObserver(
  (seen) => {
    for (const { target, isIntersecting } of seen) {
      const link = entries.get(target.getAttribute("aria-labelledby") ?? "answer");
      if (isIntersecting) {
        entries.forEach((other) => other.removeAttribute("aria-current"));
        link?.setAttribute("aria-current", "true");
        const bar = link?.closest("ul");
        if (bar) bar.scrollTo({ left: link.offsetLeft - bar.clientWidth / 2 });
      }
    }
  },
  { rootMargin: "-20% 0px -75% 0px" },
);
every("header, main section").forEach((part) => watch.observe(part));
