// The rows as values, and their elements: those of a large report are made only when they are shown.
class Rows {
  constructor(data, words) {
    this.words = words;
    this.groups = data.groups.map((group, index) => ({ ...group, index, rows: [] }));
    const names = Object.keys(data.rows);
    this.all = data.rows.anchor.map((_, index) => {
      const row = Object.fromEntries(names.map((name) => [name, data.rows[name][index]]));
      const values = Object.fromEntries(data.columns.map(({ key }) => [key, data.values[key][index]]));
      const latency = values.cpu_ms ?? values.gpu_ms, { weights, ram, quality } = values; // what limits, picks and verdicts go by
      return Object.assign(row, { index, group: this.groups[row.group], key: `${row.method} ${row.runtime}`, values, latency, weights, ram, quality });
    });
    this.all.forEach((row) => row.group.rows.push(row));
    this.byAnchor = new Map(this.all.map((row) => [row.anchor, row]));
    for (const element of document.querySelectorAll("tr.row")) {
      Object.assign(this.byAnchor.get(element.id), { element, detail: element.nextElementSibling });
    }
    this.packed = null;
    this.details = new Map();
  }

  // Of a long table most is packed: what is seen at once, and the details in chunks.
  async unpack(script) {
    if (!script) return;
    this.packed = JSON.parse(script.textContent);
    this.seen = await inflate(this.packed.seen);
    document.querySelector(".maps").innerHTML = this.seen.maps;
  }

  element(row) {
    if (!row.element) {
      const made = document.createElement("template");
      made.innerHTML = this.seen.rows[row.index - this.packed.first];
      this.words.translate(made.content);
      [row.element, row.detail] = made.content.children;
    }
    return row.element;
  }

  // What the row's details hold; from its chunk where they are packed.
  async cards(row) {
    this.element(row);
    const place = row.detail.querySelector("details");
    if (!place.querySelector(".cards")) {
      const at = row.index - this.packed.first, size = this.packed.size, chunk = Math.floor(at / size);
      if (!this.details.has(chunk)) this.details.set(chunk, inflate(this.packed.details[chunk]));
      const markup = (await this.details.get(chunk))[at % size];
      if (!place.querySelector(".cards")) {
        const made = document.createElement("template");
        made.innerHTML = markup;
        this.words.translate(made.content);
        place.append(made.content);
      }
    }
    return place.querySelector(".cards");
  }
}

const inflate = async (text) => {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
};
