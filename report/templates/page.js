// What makes the page handier. Without this script everything is there to read, in its first order.
const every = (selector, from = document) => [...from.querySelectorAll(selector)];
const make = (tag, text = "", more = {}) => Object.assign(document.createElement(tag), { textContent: text }, more);

// What is chosen on the page stands behind its anchor in the address, as #pairs~family=peft, so that a link shows the same.
const [atFirst, behind = ""] = location.hash.slice(1).split("~");
const state = new URLSearchParams(behind);
const anchor = () => location.hash.slice(1).split("~")[0];
const keep = (name, value) => {
  if (value) state.set(name, value);
  else state.delete(name);
  const text = state.toString();
  history.replaceState(null, "", `#${anchor()}${text && `~${text}`}`);
};

// A link of this page that is opened where the page is open already shows what it says.
const reread = () => {
  const text = location.hash.split("~")[1];
  if (text === undefined) return;
  [...state.keys()].forEach((name) => state.delete(name));
  new URLSearchParams(text).forEach((value, name) => state.set(name, value));
};
addEventListener("hashchange", reread);

const copy = async (text, button) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = make("textarea", "", { value: text });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = before), 1500);
};

// Sorting by a column's head.
const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
const compare = (x, y, up) => {
  if (x === "" || y === "") return (x === "") - (y === ""); // what is not known comes last
  const order = x - y || (isNaN(x - y) ? x.localeCompare(y) : 0);
  return up ? order : -order;
};
const sortable = (table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = make("button", "", { type: "button" });
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
};

// A field that leaves only the rows of a long table that hold its words.
const searchable = (table) => {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 15) return [];
  const label = make("label", "Only rows with ", { className: "find" });
  const field = make("input", "", { type: "search" });
  label.append(field);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.classList.toggle("unlike", !words.every((word) => text.includes(word)));
    }
  });
  return [label];
};

// The rows of a table that are shown, as a file. A spreadsheet computes nothing: no text begins as a formula does.
const csv = (table) => {
  const quote = (cell) => {
    const exact = cell.dataset.value;
    const text = exact !== undefined && exact !== "" && !isNaN(exact) ? exact : cell.textContent.trim().replace(/\s+/g, " ");
    const safe = isNaN(text) ? text.replace(/^[−](?=[\d.]+$)/, "-").replace(/^(?=[=+@\t-](?![\d.]+$))/, "'") : text;
    return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const rows = every("tr", table).filter((row) => !row.hidden && !row.classList.contains("unlike"));
  return rows.map((row) => [...row.cells].map(quote).join(",")).join("\r\n") + "\r\n";
};
const savable = (table) => {
  const button = make("button", "CSV", { type: "button", className: "tool" });
  const name = table.closest("[aria-label]")?.getAttribute("aria-label") ?? "table";
  button.setAttribute("aria-label", `Save as CSV: ${name}`);
  button.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob(["\ufeff", csv(table)], { type: "text/csv" }));
    make("a", "", { href: address, download: `${name.replace(/[^\w-]+/g, "-")}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  });
  return button;
};
const copyable = (code) => {
  const button = make("button", "Copy", { type: "button", className: "tool" });
  button.addEventListener("click", () => copy(code.textContent, button));
  code.after(" ", button);
};

// Tables get their tools when they are first unfolded: there may be hundreds.
const prepared = new WeakSet();
const prepare = (from) => {
  for (const table of every("table[data-sortable]", from)) {
    const folded = table.closest("details:not([open])");
    if (prepared.has(table) || folded) continue;
    prepared.add(table);
    const tools = make("div", "", { className: "tools" });
    tools.append(...searchable(table), savable(table));
    const scroll = table.closest(".scroll");
    if (scroll.parentElement.matches(".pair")) {
      // What stands beside a figure is one thing: the table with its tools.
      const side = make("div");
      scroll.before(side);
      side.append(scroll);
    }
    scroll.before(tools);
    sortable(table);
    if (table.matches(".records")) every("code", table).forEach(copyable);
  }
};
prepare(document);
document.addEventListener("toggle", (event) => event.target.open && prepare(event.target), true);
every("code.command").forEach(copyable);

// Words about a head or a term, beside it, for the pointer, the keyboard and the finger.
const tip = make("div", "", { id: "tip", hidden: true });
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
document.addEventListener("click", show);
document.addEventListener("scroll", follow, true);
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());

// A link to a record opens the group that holds it, and what is chosen stays in the address.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(anchor()));
  for (let box = target; box; box = box.parentElement) if (box.tagName === "DETAILS") box.open = true;
  target?.closest("details.part, .parts")?.querySelector("summary")?.parentElement.setAttribute("open", "");
  target?.scrollIntoView();
  if (state.size && !location.hash.includes("~")) keep();
};
addEventListener("hashchange", reveal);
if (atFirst) addEventListener("load", reveal);

// The section in sight is marked in the contents.
const entries = new Map(every("nav ul a").map((link) => [link.hash.slice(1), link]));
const watch = new IntersectionObserver(
  (seen) => {
    for (const { target, isIntersecting } of seen) {
      const name = target.getAttribute("aria-labelledby") ?? target.querySelector("h2")?.id;
      const link = entries.get(target.tagName === "HEADER" ? "answer" : name);
      if (isIntersecting) {
        const level = target.tagName === "SECTION" ? "nav ul ul a" : "nav .groups > li > a";
        every(level).forEach((other) => other.removeAttribute("aria-current"));
        link?.setAttribute("aria-current", "true");
      }
    }
  },
  { rootMargin: "-20% 0px -75% 0px" },
);
every("header, main .parts, main section").forEach((part) => watch.observe(part));
