// The page begins as the server wrote it, readable without script; from here on it follows its reader.
const start = async () => {
  let data = JSON.parse(document.getElementById("page-data").textContent);
  if (data.packed) data = await inflate(data.packed);
  const root = document.documentElement;
  root.classList.add("js");
  const words = new Words(data.words, data.vocabulary, data.language);
  const rows = new Rows(data, words);
  const many = rows.all.length > data.inline;
  const state = new State({
    language: data.language, theme: "auto", against: "latency", cell: "",
    loss: data.loss, latency: "", ram: "", weights: "",
    find: "", model: "", method: "", runtime: "", device: "", machine: "", status: "",
    baseline: data.baseline, sort: "", descending: "", columns: data.shown, rows: many ? "100" : "all", page: "1",
  });
  await rows.unpack(document.getElementById("packed"));
  const table = new Table(rows, words, state, data.columns);
  const picks = new Picks(rows, words, state);
  const charts = new Charts(rows, words, state);
  const cell = new CellPage(rows, words, state);
  new Exports(rows, table, data.latex);

  for (const select of document.querySelectorAll("select[name=language], select[name=theme]")) {
    select.addEventListener("change", () => state.set({ [select.name]: select.value }));
  }
  const panels = new Panels((panel) => {
    charts.draw(panel, table.matching);
    picks.draw(panel);
  });
  let followed = null;
  const draw = () => {
    const [language, theme] = [state.get("language"), state.get("theme")];
    if (Object.hasOwn(data.words, language) && language !== words.language) {
      words.language = root.lang = language;
      words.translate(document.body);
      for (const row of rows.all) if (row.element && !row.element.isConnected) [row.element, row.detail].forEach((part) => words.translate(part));
    }
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    document.querySelector("select[name=language]").value = words.language;
    document.querySelector("select[name=theme]").value = theme;
    table.draw();
    charts.drawChoice();
    picks.drawLimits();
    panels.drawAgain();
    cell.draw();
    const row = rows.byAnchor.get(state.row);
    if (row && followed !== state.row) {
      table.reveal(row);
      cell.toggle(row, true).then(() => cell.show(row));
    }
    followed = state.row;
  };
  state.changed = draw;
  state.read();
};
start();
