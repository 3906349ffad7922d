// The table as it is shown now, as a file: its rows, its order, its columns, its words.
class Exports {
  constructor(rows, table, latex) {
    Object.assign(this, { rows, table });
    this.written = latex; // how LaTeX writes what it would read as more than a letter
    for (const button of document.querySelectorAll("button[data-export]")) {
      button.addEventListener("click", () => this.save(button.dataset.export));
    }
  }

  save(format) {
    const text = { csv: () => this.csv(), json: () => this.json(), markdown: () => this.markdown(), latex: () => this.latex() }[format]();
    const [kind, name] = { csv: ["text/csv", "csv"], json: ["application/json", "json"], markdown: ["text/markdown", "md"], latex: ["text/x-tex", "tex"] }[format];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: kind }));
    link.download = `results.${name}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // What the columns say, row by row; a dash where nothing was measured, the status where the cell did not run.
  lines() {
    const columns = this.table.columns.filter((name) => name !== "spark");
    const head = ["model", "method", "runtime", "device", "status", ...columns];
    const line = (text) => text.replace(/\s+/g, " ").trim();
    const lines = this.table.shown().map((row) => {
      const element = this.rows.element(row);
      const value = (column) => {
        const cell = element.querySelector(`[data-column=${column}]`);
        if (!cell) return DASH;
        const copy = cell.cloneNode(true);
        copy.querySelectorAll("small").forEach((small) => small.remove());
        return line(copy.textContent) || DASH;
      };
      return [row.group.model, row.method, row.runtime, row.group.device, row.status, ...columns.map(value)].map(line);
    });
    return [head, lines];
  }

  // Raw values under the names of results.csv. Columns that share a name, as those of two devices do, share a field.
  records() {
    const columns = this.table.all.filter(({ key }) => this.table.columns.includes(key));
    return this.table.shown().map((row) => {
      const { group, method, runtime, status } = row;
      const workload = Object.entries(group.workload).map(([name, value]) => `${name}=${value}`).join(";");
      const record = { model: group.model, task: group.task, method, runtime, device: group.device, machine: group.machine, workload, status, metric: group.metric };
      for (const { key, data } of columns) {
        const values = [row.values[key]].flat();
        data.forEach((name, index) => { record[name] ??= values[index] ?? null; });
      }
      return record;
    });
  }

  json() {
    return `${JSON.stringify(this.records(), null, 1)}\n`;
  }

  csv() {
    const records = this.records();
    const names = Object.keys(records[0] ?? { model: "" });
    const formula = /^(?:[\s\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])/;
    const inert = (value) => (typeof value === "string" && formula.test(value) ? `'${value}` : value);
    const field = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const line = (values) => values.map((value) => field(String(inert(value) ?? ""))).join(",");
    return [names, ...records.map((record) => names.map((name) => record[name]))].map((values) => `${line(values)}\r\n`).join("");
  }

  markdown() {
    const [head, lines] = this.lines();
    const escaped = (text) => text.replace(/[\\|<>*_`[\]~&#]/g, (character) => `\\${character}`);
    const line = (values) => `| ${values.map(escaped).join(" | ")} |`;
    return `${[line(head), `|${" --- |".repeat(head.length)}`, ...lines.map(line)].join("\n")}\n`;
  }

  latex() {
    const [head, lines] = this.lines();
    const letters = (part) => [...part].map((letter) => this.written[letter] ?? letter).join("");
    const escaped = (text) => text.split(/(?<=[-\u2014,])(?=[-\u2014,])/).map(letters).join("{}");
    const line = (values) => `${values.map(escaped).join(" & ")} \\\\`;
    const shape = "lllll" + "r".repeat(head.length - 5);
    return ["% needs \\usepackage{booktabs}", `\\begin{tabular}{${shape}}`, "\\toprule", line(head), "\\midrule", ...lines.map(line), "\\bottomrule", "\\end{tabular}", ""].join("\n");
  }
}
