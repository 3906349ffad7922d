// A row's details below it, and the page of one cell, which shows the same alone.
class CellPage {
  constructor(rows, words, state) {
    Object.assign(this, { rows, words, state });
    this.page = document.getElementById("cell");
    this.title = document.title;
    this.main = document.getElementById("everything");
    document.querySelector("table.cells").addEventListener("click", (event) => {
      const element = event.target.closest("tr.row");
      if (!element || event.target.closest("a, [popovertarget]") || !event.target.closest("th")) return;
      this.toggle(this.rows.byAnchor.get(element.id));
    });
    this.page.querySelector(".back").addEventListener("click", () => {
      const row = this.rows.byAnchor.get(this.state.get("cell"));
      this.state.set({ cell: "" });
      if (row) this.show(row);
    });
  }

  async toggle(row, open = !row.detail.classList.contains("open")) {
    await this.rows.cards(row);
    row.element.querySelector(".more").setAttribute("aria-expanded", String(open));
    row.detail.classList.toggle("open", open);
    row.detail.querySelector("details").open = open;
  }

  show(row) {
    row.element.scrollIntoView({ block: "start" });
    row.element.querySelector(".more").focus({ preventScroll: true });
  }

  async draw() {
    const row = this.rows.byAnchor.get(this.state.get("cell"));
    this.page.hidden = !row;
    this.main.hidden = Boolean(row);
    document.title = row ? `${headline(row)} · ${this.title}` : this.title;
    if (!row || this.page.dataset.cell === row.anchor) return;
    this.page.dataset.cell = row.anchor;
    const cards = await this.rows.cards(row);
    const title = this.page.querySelector("h2");
    title.textContent = headline(row);
    this.page.querySelector(".place").replaceChildren(...document.getElementById(`g${row.group.index}`).querySelector(".where").cloneNode(true).childNodes);
    const own = cards.cloneNode(true);
    for (const heading of own.querySelectorAll("h3")) heading.setAttribute("aria-level", "2"); // the title is the first
    this.page.querySelector(".own").replaceChildren(this.#figures(row), own);
    this.words.translate(this.page);
    title.focus();
    scrollTo(0, 0);
  }

  // The row's own numbers, as the table writes them.
  #figures(row) {
    const list = document.createElement("dl");
    list.className = `headline-figures row s-${row.status}`;
    for (const cell of row.element.querySelectorAll("td")) {
      if (cell.querySelector(".dash")) continue;
      const pair = document.createElement("div");
      const term = document.createElement("dt"), value = document.createElement("dd");
      if (cell.dataset.column === "spark") term.append(this.words.element("column.spark"));
      else if (cell.dataset.column) term.append(this.words.wordElement(`column.${cell.dataset.column}`));
      else term.append(this.words.element("column.status"));
      for (const attribute of ["data-speed"]) if (cell.hasAttribute(attribute)) value.setAttribute(attribute, "");
      value.className = cell.className;
      value.append(...cell.cloneNode(true).childNodes);
      pair.append(term, value);
      list.append(pair);
    }
    return list;
  }
}

const headline = (row) => `${row.group.model}: ${row.method}, ${row.runtime}`;
