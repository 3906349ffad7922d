"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;
  root.classList.add("js");
  all("[hidden].more, form.filters, #theme").forEach((element) => { element.hidden = false; });

  // Theme: as the system, light, dark.
  const theme = document.getElementById("theme");
  const themes = ["auto", "light", "dark"];
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % themes.length];
    if (next === "auto") delete root.dataset.theme; else root.dataset.theme = next;
    theme.querySelector(".choice").textContent = theme.dataset[next];
    theme.setAttribute("aria-label", `${theme.dataset.name}: ${theme.dataset[next]}`);
  });

  // A row and its details.
  const detailOf = (row) => row.nextElementSibling;
  const setOpen = (row, open) => {
    row.querySelector(".more").setAttribute("aria-expanded", String(open));
    detailOf(row).classList.toggle("open", open);
    detailOf(row).querySelector("details").open = open;
  };
  const isOpen = (row) => row.querySelector(".more").getAttribute("aria-expanded") === "true";
  const rows = all("tr.row");
  rows.forEach((row) => {
    row.querySelector("th").addEventListener("click", () => setOpen(row, !isOpen(row)));
  });
  const follow = () => {
    const row = location.hash.startsWith("#c-") && document.getElementById(location.hash.slice(1));
    if (!row) return;
    reset();
    setOpen(row, true);
    row.scrollIntoView({ block: "start" });
    row.querySelector(".more").focus({ preventScroll: true });
  };

  // Sort inside each group, on raw numbers; rows without one stay last either way.
  const headers = all("th[aria-sort]");
  const sort = (column, direction) => {
    const attribute = `data-${column.replace("_", "-")}`;
    const value = (row) => (row.hasAttribute(attribute) ? Number(row.getAttribute(attribute)) : null);
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return direction * (x - y);
    };
    all("tbody[role]").forEach((body) => {
      const sorted = all("tr.row", body).sort(compare);
      body.append(...sorted.flatMap((row) => [row, detailOf(row)]));
    });
  };
  headers.forEach((header) => {
    const button = header.querySelector("button");
    button.addEventListener("click", () => {
      const ascending = header.getAttribute("aria-sort") !== "ascending";
      headers.forEach((other) => other.setAttribute("aria-sort", "none"));
      header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sort(button.dataset.sort, ascending ? 1 : -1);
    });
  });

  // Filters.
  const form = document.querySelector("form.filters");
  const output = form.querySelector("output");
  const filter = () => {
    const wanted = all("select", form).filter((select) => select.value);
    let shown = 0;
    rows.forEach((row) => {
      const fits = wanted.every((select) => row.dataset[select.dataset.filter] === select.value);
      row.hidden = !fits;
      detailOf(row).hidden = !fits;
      shown += fits;
    });
    all("tbody[role]").forEach((body) => { body.hidden = !body.querySelector("tr.row:not([hidden])"); });
    document.querySelector("p.none").hidden = shown > 0;
    output.textContent = output.dataset.template.replace("{shown}", shown).replace("{total}", rows.length);
  };
  const reset = () => { all("select", form).forEach((select) => { select.value = ""; }); filter(); };
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => { event.preventDefault(); reset(); });

  addEventListener("hashchange", follow);
  filter();
  follow();
})();
