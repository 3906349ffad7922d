// Every message in the page's languages. What was written before carries its message's key (see voice.py): it is said again in
// the other language where it stands, its arguments kept. Words that the results or a column bring (names of metrics, tasks,
// workload fields, machines and columns) carry their own key and come from the vocabulary.
const PLURAL_FORMS = {
  en: (n) => Number(n !== 1),
  ru: (n) => {
    if (n % 10 === 1 && n % 100 !== 11) return 0;
    return n % 10 >= 2 && n % 10 <= 4 && !(n % 100 >= 12 && n % 100 <= 14) ? 1 : 2;
  },
};

class Words {
  constructor(catalogues, vocabulary, language) {
    Object.assign(this, { catalogues, vocabulary });
    this.language = language;
  }

  template(key, count) {
    const message = this.catalogues[this.language][key];
    return Array.isArray(message) ? message[PLURAL_FORMS[this.language](Number(count))] : message;
  }

  // An argument is a text, or the key of a word in a list.
  text(key, values = {}) {
    const value = (name) => (Array.isArray(values[name]) ? this.word(values[name][0]) : values[name]);
    return this.template(key, values.count).replace(/\{(\w+)\}/g, (_, name) => value(name));
  }

  word(key, value) {
    const known = this.vocabulary[this.language];
    const text = Object.hasOwn(known, key) ? known[key] : key.slice(key.indexOf(".") + 1);
    if (value === undefined) return text;
    return text.includes("{value}") ? text.replaceAll("{value}", value) : `${text} ${value}`;
  }

  // The word as an element like those of voice.py.
  wordElement(key) {
    const element = document.createElement("bdi");
    element.dataset.word = key;
    element.textContent = this.word(key);
    return element;
  }

  // The message as an element like those of voice.py; a value is text or a node.
  element(key, values = {}) {
    const element = document.createElement("span");
    element.dataset.say = key;
    if ("count" in values) element.dataset.count = values.count;
    for (const [name, value] of Object.entries(values)) {
      const argument = document.createElement("span");
      argument.dataset.arg = name;
      argument.append(value);
      element.append(argument);
    }
    this.#fill(element);
    return element;
  }

  translate(root) {
    const every = (selector) => [...(root.matches?.(selector) ? [root] : []), ...root.querySelectorAll(selector)];
    every("[data-say]").forEach((element) => this.#fill(element));
    every("[data-word]").forEach((element) => { element.textContent = this.word(element.dataset.word, element.dataset.value); });
    every("[data-column][data-label]:not([data-say-in])").forEach((cell) => { cell.dataset.label = this.word(`column.${cell.dataset.column}`); });
    every("[data-say-in]").forEach((element) => {
      for (const [attribute, [key, values]] of Object.entries(JSON.parse(element.dataset.sayIn))) {
        if (attribute === "text") element.textContent = this.text(key, values);
        else element.setAttribute(attribute, this.text(key, values));
      }
    });
  }

  #fill(element) {
    const values = {};
    for (const child of element.children) if (child.dataset.arg) values[child.dataset.arg] = child;
    const parts = this.template(element.dataset.say, element.dataset.count).split(/\{(\w+)\}/);
    const nodes = parts.map((part, index) => (index % 2 ? values[part] : part));
    // A value that a language says twice stands there as a copy; one that it leaves out is kept for the other language.
    const seen = new Set();
    const filled = nodes.map((node) => (seen.has(node) && node.nodeType ? node.cloneNode(true) : (seen.add(node), node)));
    const left = Object.values(values).filter((value) => !seen.has(value));
    element.replaceChildren(...filled.filter((node) => node !== ""), ...left.map((value) => ((value.hidden = true), value)));
  }
}
