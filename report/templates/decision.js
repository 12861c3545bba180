// The decision of each question among some of its methods, by the rules of the first one: bench/report/tables/methods/decision.py.
const NONE = "–";
const turned = (text) => text.replace(/[+−](?!0\.0(?!\d))/g, (sign) => (sign === "+" ? "−" : "+"));
const decisions = every(".decision tbody tr").map((line) => {
  const board = document.getElementById(`leaderboard-${line.dataset.block}`);
  const gaps = new Map();
  for (const row of every(`[data-block="${line.dataset.block}"] tr[data-gap]`)) {
    const [points, low, high] = row.dataset.gap.split(" ").map(Number);
    const lost = high === undefined ? points !== 0 : low > 0 || high < 0;
    const gap = { row, points, lost, different: "different" in row.dataset };
    gaps.set(`${row.dataset.method}\n${row.dataset.other}`, gap);
  }
  const rows = every("table[data-board] tbody tr", board).map((row) => {
    const said = (label) => row.querySelector(`[data-label${label}]`).textContent.trim();
    const score = row.querySelector("[data-label$=', %']").dataset.value;
    return { row, said, score, method: row.dataset.method, seconds: Number(row.dataset.seconds) };
  });
  return { line, block: line.dataset.block, first: [...line.children], gaps, rows: rows.filter(({ score }) => score !== "") };
});

// A method beside another: who has fewer points, by how many, and at what share of the seconds.
const beside = (gaps, mine, other) => {
  const [straight, reverse] = [gaps.get(`${mine.method}\n${other.method}`), gaps.get(`${other.method}\n${mine.method}`)];
  const gap = straight ?? reverse;
  if (!gap) return null;
  const [points, interval] = [2, 3].map((place) => gap.row.cells[place].textContent.trim());
  const ends = interval === NONE ? "" : straight ? interval : turned(interval).split(" to ").reverse().join(" to ");
  return {
    ...gap,
    mine,
    other,
    points: straight ? gap.points : -gap.points,
    share: mine.seconds && other.seconds ? mine.seconds / other.seconds : null,
    text: `${straight ? points : turned(points)} points${ends && ` (${ends})`}`,
  };
};
const decide = ({ gaps, rows }, allowed, cheaper) => {
  const left = rows.filter(({ method }) => allowed(method));
  const best = left[0];
  const able = left.slice(1).map((row) => beside(gaps, row, best)).filter((each) => each && !each.lost && each.share !== null);
  const [cheap] = able
    .filter(({ share }) => share <= cheaper)
    .sort((x, y) => x.share - y.share || y.mine.score - x.mine.score);
  const better = [best, ...(cheap ? [cheap.mine] : [])];
  const worse = new Map();
  for (const other of better)
    for (const row of left) {
      const each = beside(gaps, row, other);
      if (each?.different && each.points < 0 && each.share >= 1) worse.set(row.method, each);
    }
  const avoid = [...worse.values()].filter(({ mine }) => !better.includes(mine));
  avoid.sort((x, y) => x.points - y.points || (x.mine.method < y.mine.method ? -1 : 1));
  return { left, best, cheap, avoid };
};
const pace = (share, alike) => {
  if (share === null) return NONE;
  const ratio = Math.max(share, 1 / share);
  const size = ratio < 9.95 ? ratio.toFixed(1) : Math.round(ratio).toLocaleString("en");
  return ratio > alike ? `${size}× ${share < 1 ? "faster" : "slower"}` : "as fast";
};

const written = ({ row, said }, ...words) => {
  const [name, text] = [row.querySelector("th a").cloneNode(true), make("p")];
  name.className = "name";
  const interval = said("='95 %'");
  text.append(...words);
  const number = make("span", `${said("$=', %'")}\u00a0%`, { className: "big" });
  return [name, " ", number, ...(interval === NONE ? [] : [" ", make("span", `(${interval})`, { className: "soft" })]), text];
};
const leading = ({ left, best }, baseline, rows) => {
  const [points, interval, seconds] = ["='gain, points'", "='gain, 95 %'", "^=seconds"].map(best.said);
  const alone = rows.length === 1 ? "the only one with results" : left.length === 1 ? "the only one that is left" : "";
  const gain = `${points} points over ${baseline}${interval === NONE ? "" : ` (${interval})`}`;
  const first = best.method === baseline ? "the baseline" : points === NONE ? alone : gain;
  return written(best, `${first}${seconds === NONE ? "" : `; ${seconds} a cell`}`);
};
const cheapest = ({ left, cheap }, alike) => {
  if (cheap) return written(cheap.mine, `${pace(cheap.share, alike)}, no proven loss: ${cheap.text}`);
  return [make("span", left.length < 2 ? "nothing to compare" : "the same: nothing clearly cheaper is as good", { className: "soft" })];
};
const avoided = ({ avoid }, alike, block) => {
  if (!avoid.length) return [make("span", "nothing is proven worse and no cheaper", { className: "soft" })];
  const [{ mine, other, share, text }, ...more] = avoid;
  const speed = pace(share, alike);
  const words = [`${text} and ${speed} ${speed === "as fast" ? "as" : "than"} ${other.method}`];
  const rest = make("a", `and ${more.length} other${more.length === 1 ? "" : "s"}`, { href: `#leaderboard-${block}` });
  return written(mine, ...words, ...(more.length ? ["; ", rest] : []));
};

// Write the decisions among the allowed methods; without any, as they were at first.
const decideAmong = (allowed) => {
  for (const each of decisions) {
    const { line, block, first, rows } = each;
    if (!allowed || !rows.length) {
      line.replaceChildren(...first);
      continue;
    }
    const { baseline, cheaper, alike } = line.closest("table").dataset;
    const found = decide(each, (method) => allowed(method, block), Number(cheaper));
    const texts = found.best
      ? [leading(found, baseline, rows), cheapest(found, Number(alike)), avoided(found, Number(alike), block)]
      : [["None of the methods that are left has results here."]];
    const cells = texts.map((nodes, place) => {
      const cell = make("td");
      if (found.best) cell.dataset.label = first[place + 1].dataset.label;
      else cell.colSpan = 3;
      cell.append(...nodes);
      return cell;
    });
    line.replaceChildren(first[0], ...cells);
  }
};
