// What the reader chose lives in the URL's fragment, as far as it differs from what the page begins with.
class State {
  constructor(defaults) {
    this.defaults = defaults;
    this.values = { ...defaults };
    this.row = null;
    addEventListener("hashchange", () => this.read());
  }

  get(name) {
    return this.values[name];
  }

  set(changes) {
    Object.assign(this.values, changes);
    this.row = null;
    history.replaceState(null, "", `#${this.fragment()}`);
    this.#tell();
  }

  read() {
    const fragment = location.hash.slice(1);
    const place = fragment !== "" && !fragment.includes("="); // such as a heading; what was chosen stays
    this.row = fragment.startsWith("c-") ? fragment : null;
    if (this.row) this.values.cell = "";
    if (!place) {
      const found = new URLSearchParams(fragment);
      for (const [name, value] of Object.entries(this.defaults)) this.values[name] = found.get(name) ?? value;
    }
    this.#tell();
  }

  fragment(changes = {}) {
    const changed = Object.entries({ ...this.values, ...changes }).filter(([name, value]) => value !== this.defaults[name]);
    return new URLSearchParams(changed).toString();
  }

  #tell() {
    this.changed?.(); // what the page does then
  }
}
