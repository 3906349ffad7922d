// The charts are drawn by charts.py, one for each thing that quality can be held against; here they are chosen and pointed at.
class Charts {
  constructor(rows, words, state) {
    Object.assign(this, { rows, words, state });
    this.choice = document.querySelector("select[name=against]");
    this.tip = document.getElementById("tip");
    this.choice?.addEventListener("change", () => state.set({ against: this.choice.value }));
    for (const event of ["pointerover", "focusin"]) document.addEventListener(event, (happened) => this.#point(happened));
    for (const event of ["pointerout", "focusout"]) document.addEventListener(event, () => { this.tip.hidden = true; });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.tip.hidden = true;
      else if (event.key.startsWith("Arrow")) this.#walk(event);
    });
  }

  drawChoice() {
    if (this.choice) this.choice.value = this.state.get("against");
  }

  draw(panel, matching) {
    const figure = panel.querySelector("figure.pareto"), shown = figure.querySelector(".drawn"), cost = this.state.get("against");
    if (!shown) return;
    if (shown.dataset.cost !== cost) {
      shown.dataset.cost = cost;
      const drawn = this.rows.seen ? this.rows.seen.charts[figure.dataset.group][cost] : this.#kept(figure, cost);
      if (drawn) shown.innerHTML = drawn;
      else shown.replaceChildren(this.words.element("chart.none"));
      this.words.translate(shown);
    }
    for (const link of shown.querySelectorAll("a[data-row]")) {
      link.querySelector("title")?.remove(); // the tip says it, at once and to the keyboard too
      link.classList.toggle("off", !matching.has(this.rows.byAnchor.get(link.dataset.row)));
    }
  }

  #kept(figure, cost) {
    return [...figure.querySelectorAll("template")].find((template) => template.dataset.cost === cost)?.innerHTML;
  }

  #point(event) {
    const link = event.target.closest?.("a[data-row]");
    if (!link) return;
    this.tip.textContent = link.getAttribute("aria-label");
    this.tip.hidden = false;
    const mark = link.getBoundingClientRect(), box = this.tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, mark.left + mark.width / 2 - box.width / 2), document.documentElement.clientWidth - box.width - 8);
    this.tip.style.left = `${left + scrollX}px`;
    this.tip.style.top = `${(mark.top > box.height + 12 ? mark.top - box.height - 8 : mark.bottom + 8) + scrollY}px`;
  }

  // Arrow keys go from point to point by what they cost.
  #walk(event) {
    const link = event.target.closest?.("a[data-row]");
    if (!link) return;
    const across = (other) => other.getBoundingClientRect().left;
    const points = [...link.closest("svg").querySelectorAll("a[data-row]:not(.off)")].sort((a, b) => across(a) - across(b));
    const next = points[points.indexOf(link) + (event.key === "ArrowRight" || event.key === "ArrowUp" ? 1 : -1)];
    event.preventDefault();
    next?.focus();
  }
}
