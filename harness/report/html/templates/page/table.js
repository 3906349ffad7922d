// The table: which rows are shown, in which order, against which baseline, in which columns.
const FILTERS = ["model", "method", "runtime", "device", "machine", "status"];
const OF_GROUPS = ["model", "device", "machine"];

class Table {
  // Columns are those of columns.py: key, what they are held against, where the first click sorts.
  constructor(rows, words, state, columns) {
    Object.assign(this, { rows, words, state, all: columns });
    this.table = document.querySelector("table.cells");
    this.bodies = [...this.table.tBodies].map((body) => ({ body, header: body.rows[0] }));
    this.form = document.querySelector("form.filters");
    this.output = this.form.querySelector("output");
    this.none = document.querySelector("p.none");
    this.pager = document.querySelector("nav.pages");
    this.baselines = new Map();
    this.#listen();
  }

  get columns() {
    return this.state.get("columns").split(" ").filter(Boolean);
  }

  // Rows on a page; 0 for all.
  get size() {
    const size = Number(this.state.get("rows"));
    return size > 0 ? size : 0;
  }

  fits(row) {
    const wanted = (name) => this.state.get(name);
    const value = (name) => (OF_GROUPS.includes(name) ? row.group[name] : row[name]);
    if (!FILTERS.every((name) => !wanted(name) || value(name) === wanted(name))) return false;
    const machine = row.group.machine ? this.words.word(`machine.${row.group.machine}`) : "";
    const text = `${row.group.model} ${row.group.task} ${row.group.device} ${machine} ${row.key} ${row.status}`.toLowerCase();
    return wanted("find").toLowerCase().split(/\s+/).every((word) => text.includes(word));
  }

  // All rows that fit, group by group, each group in the order asked for; rows without a number last either way.
  shown() {
    const column = this.all.find(({ key }) => key === this.state.get("sort"));
    const value = column && ((row) => [row.values[column.key]].flat()[0]);
    const sign = this.state.get("descending") ? -1 : 1;
    const compare = (a, b) => {
      const [x, y] = [value(a) ?? null, value(b) ?? null];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
    };
    return this.rows.groups.flatMap((group) => {
      const found = group.rows.filter((row) => this.fits(row));
      return value ? found.sort(compare) : found;
    });
  }

  draw() {
    const shown = this.shown();
    const size = this.size || shown.length || 1;
    const pages = Math.max(1, Math.ceil(shown.length / size));
    const page = Math.min(Math.max(1, Number(this.state.get("page")) || 1), pages);
    const slice = shown.slice((page - 1) * size, page * size);
    this.#place(slice);
    this.#controls(shown.length, page, pages);
    this.matching = new Set(shown);
    return shown;
  }

  #place(slice) {
    const members = new Map();
    for (const row of slice) {
      if (!members.has(row.group.index)) members.set(row.group.index, []);
      const element = this.rows.element(row);
      this.#compare(row);
      members.get(row.group.index).push(element, row.detail);
    }
    this.bodies.forEach(({ body, header }, index) => {
      const wanted = members.get(index);
      body.hidden = !wanted;
      body.replaceChildren(header, ...(wanted ?? []));
    });
  }

  #controls(total, page, pages) {
    for (const control of this.form.elements) if (control.name) control.value = this.state.get(control.name);
    this.output.replaceChildren(this.words.element("table.shown", { shown: String(total), total: String(this.rows.all.length) }));
    this.none.hidden = total > 0;
    const baseline = this.rows.all.find((row) => row.key === this.state.get("baseline"));
    if (baseline) this.table.caption.querySelector("[data-arg=baseline]").textContent = `${baseline.runtime} ${baseline.method}`;
    this.pager.hidden = pages < 2;
    this.pager.querySelector("output").replaceChildren(this.words.element("pages.at", { page: String(page), pages: String(pages) }));
    const [before, after] = this.pager.querySelectorAll("button");
    [before.disabled, after.disabled] = [page === 1, page === pages];
    [before.value, after.value] = [page - 1, page + 1];
    for (const header of this.table.tHead.querySelectorAll("[aria-sort]")) {
      const own = header.dataset.column === this.state.get("sort");
      header.setAttribute("aria-sort", own ? (this.state.get("descending") ? "descending" : "ascending") : "none");
    }
    const visible = new Set(this.columns);
    for (const box of document.querySelectorAll("[name=column]")) {
      box.checked = visible.has(box.value);
      this.table.classList.toggle(`no-${box.value}`, !box.checked);
    }
  }

  // --- against the baseline ---------------------------------------------------------------------------------------------

  baseline(group) {
    const wanted = this.state.get("baseline");
    return group.rows.find((row) => row.key === wanted && row.status === "ok") ?? null;
  }

  // Speeds of a whole group at once, for Holm's correction is made over all of them.
  speeds(group) {
    const name = `${group.index} ${this.state.get("baseline")}`;
    if (!this.baselines.has(name)) {
      const baseline = this.baseline(group);
      const comparable = (row) => row !== baseline && row.status === "ok" && row.rounds.length;
      const rows = baseline?.rounds.length ? group.rows.filter(comparable) : [];
      const found = new Map(rows.map((row) => [row, compareSpeed(row.rounds, baseline.rounds)]));
      const tested = rows.filter((row) => found.get(row).p !== null);
      const adjusted = holm(tested.map((row) => found.get(row).p));
      tested.forEach((row, index) => { found.get(row).verdict = verdict(found.get(row), adjusted[index]); });
      this.baselines.set(name, found);
    }
    return this.baselines.get(name);
  }

  #compare(row) {
    const wanted = this.state.get("baseline");
    if ((row.against ?? this.state.defaults.baseline) === wanted) return;
    row.against = wanted;
    const baseline = this.baseline(row.group), own = row === baseline;
    const other = own ? null : baseline;
    const tag = row.element.querySelector(".tag.base");
    if (tag) tag.hidden = !own;
    row.element.classList.toggle("base", own);
    const speed = other && this.speeds(row.group).get(row);
    for (const column of this.all) {
      const { content, tone } = (other && note(this.words, column, row, other, speed)) ?? {};
      this.#small(row, column.key, content, tone);
    }
  }

  #small(row, column, content, tone = "") {
    const place = row.element.querySelector(`[data-column=${column}]`);
    if (!place) return;
    place.querySelector("small")?.remove();
    if (!content) return;
    const small = document.createElement("small");
    if (tone) small.className = tone;
    small.append(content);
    place.append(small);
  }

  // --- what the reader does ---------------------------------------------------------------------------------------------

  #listen() {
    const { form, state, table } = this;
    form.addEventListener("input", (event) => {
      if (event.target.name) state.set({ [event.target.name]: event.target.value, page: "1" });
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      this.showAll();
    });
    this.pager.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      state.set({ page: button.value });
      table.scrollIntoView({ block: "start" });
    });
    table.tHead.addEventListener("click", (event) => {
      const column = event.target.closest("button[data-sort]")?.dataset.sort;
      if (!column) return;
      const first = this.all.find(({ key }) => key === column).descending ? "yes" : "";
      const descending = state.get("sort") === column ? (state.get("descending") ? "" : "yes") : first;
      state.set({ sort: column, descending, page: "1" });
    });
    for (const box of document.querySelectorAll("[name=column]")) {
      box.addEventListener("change", () => {
        const boxes = [...document.querySelectorAll("[name=column]:checked")];
        state.set({ columns: boxes.map((each) => each.value).join(" ") });
      });
    }
  }

  showAll() {
    this.state.set({ ...Object.fromEntries([...FILTERS, "find"].map((name) => [name, ""])), page: "1" });
  }

  // Bring a row onto the page of the table: without filters, on the page that it is on.
  reveal(row) {
    if (!this.matching.has(row)) this.showAll();
    const at = this.shown().indexOf(row);
    this.state.values.page = this.size ? String(Math.floor(at / this.size) + 1) : "1";
    this.draw();
  }
}
