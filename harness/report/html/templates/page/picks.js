// The three cells of each group that matter, within what the reader accepts: picks.py once more (a test holds them together).
const LIMITS = ["loss", "latency", "ram", "weights"];
const SAME_SIZE = 0.01;

class Picks {
  constructor(rows, words, state) {
    Object.assign(this, { rows, words, state });
    this.form = document.querySelector("form.limits");
    this.scales = Object.fromEntries(["latency", "ram", "weights"].map((name) => [name, this.#scale(name)]));
    this.form.addEventListener("input", (event) => {
      const { name, value, max } = event.target;
      state.set({ [name]: value === max && name !== "loss" ? "" : this.#written(name, Number(value)) });
    });
    this.form.addEventListener("reset", (event) => {
      event.preventDefault();
      state.set(Object.fromEntries(LIMITS.map((name) => [name, state.defaults[name]])));
    });
  }

  // A slider's hundred steps go from the smallest to the largest value of the report by equal ratios.
  #scale(name) {
    const values = this.rows.all.map((row) => COSTS[name](row)).filter((value) => value);
    return values.length ? [Math.min(...values), Math.max(...values)] : null;
  }

  #written(name, step) {
    if (name === "loss") return String(step);
    const [low, high] = this.scales[name];
    return String(Number((low * (high / low) ** (step / 100)).toPrecision(3)));
  }

  limit(name) {
    const text = this.state.get(name);
    return text === "" || Number.isNaN(Number(text)) ? Infinity : Number(text);
  }

  drawLimits() {
    for (const name of LIMITS) {
      const slider = this.form.elements[name], limit = this.limit(name), scale = this.scales[name];
      slider.closest("label").hidden = name !== "loss" && !scale;
      if (name === "loss") slider.value = limit;
      else if (scale) slider.value = limit === Infinity ? 100 : (100 * Math.log(limit / scale[0])) / Math.log(scale[1] / scale[0]);
      const unit = { loss: "unit.percent", latency: "unit.ms", ram: "unit.mb", weights: "unit.mb" }[name];
      const shown = limit === Infinity ? this.words.element("limits.any") : this.words.element(unit, { value: name === "loss" ? String(limit) : number(limit) });
      slider.closest("label").querySelector("output").replaceChildren(shown);
    }
  }

  draw(panel) {
    const place = panel.querySelector(".picks"), group = this.rows.groups[place.dataset.group];
    const asked = [...LIMITS, "language"].map((name) => this.state.get(name)).join();
    if (place.dataset.asked === asked) return;
    place.dataset.asked = asked;
    const { fastest, smallest, balanced, candidates, left } = this.choose(group);
    const lines = [["fastest", fastest], ["smallest", smallest], ["balanced", balanced]].map(([name, pick]) => this.#line(name, pick));
    place.replaceChildren(...lines);
    const note = place.nextElementSibling;
    const reasons = Object.entries(left).filter(([, count]) => count);
    const parts = reasons.flatMap(([why, count]) => [", ", this.words.element(`left.${why}`, { count: String(count) })]).slice(1);
    note.replaceChildren(this.words.element("picks.of", { count: String(candidates) }), ...(parts.length ? [" ", this.words.element("picks.left"), " ", ...parts] : []));
  }

  #line(name, pick) {
    const line = document.createElement("div");
    const term = document.createElement("dt"), what = document.createElement("dd");
    term.append(this.words.element(`picks.${name}`));
    if (pick) {
      what.append(this.#link(pick.row), " ", this.#figures(pick.row));
      if (pick.ties.length) {
        const names = pick.ties.slice(0, 3).flatMap((row) => [", ", this.#link(row)]).slice(1);
        const more = pick.ties.length > 3 ? [" ", this.words.element("picks.more", { count: String(pick.ties.length - 3) })] : [];
        const tie = document.createElement("small");
        const list = document.createElement("span");
        list.append(...names, ...more);
        tie.append(this.words.element("picks.tie", { rows: list }));
        what.append(" ", tie);
      }
    } else what.append(this.words.element("picks.none"));
    line.append(term, what);
    return line;
  }

  #link(row) {
    const link = document.createElement("a");
    link.href = `#${row.anchor}`;
    link.textContent = `${row.runtime} ${row.method}`;
    return link;
  }

  #figures(row) {
    const figures = document.createElement("small");
    const [p50, low, high] = row.latency;
    const parts = [this.words.element("unit.ms", { value: number(p50, low === null ? null : [low, high]) })];
    if (row.weights) parts.push(" · ", this.words.element("unit.mb", { value: megabytes(row.weights) }));
    const [value, less, more] = row.quality;
    parts.push(" · ", this.words.wordElement(`metric.${row.group.metric}`), ` ${number(value, less === null ? null : [less, more])}`);
    figures.append(...parts);
    return figures;
  }

  choose(group) {
    const left = { loss: 0, latency: 0, ram: 0, weights: 0, unmeasured: 0, diverged: 0 };
    const limits = LIMITS.map((name) => [name, this.limit(name)]);
    const candidates = group.rows.filter((row) => {
      const usable = row.status === "ok" && row.latency && row.quality && group.original !== null;
      if (!usable) {
        left[row.status === "diverged" ? "diverged" : "unmeasured"] += 1;
        return false;
      }
      const broken = limits.find(([name, limit]) => (name === "loss" ? 100 * qualityLoss(row) : COSTS[name](row) ?? Infinity) > limit);
      if (broken) left[broken[0]] += 1;
      return !broken;
    });
    const least = (rows, measure) => rows.reduce((best, row) => (best && measure(best) <= measure(row) ? best : row), null);
    const sized = candidates.filter((row) => row.weights), complete = sized.filter((row) => row.ram);
    const fastest = least(candidates, COSTS.latency), smallest = least(sized, COSTS.weights);
    const measures = [COSTS.latency, COSTS.weights, COSTS.ram];
    const best = measures.map((measure) => Math.min(...complete.map(measure)));
    const balanced = least(complete, (row) => measures.reduce((sum, measure, index) => sum + Math.log(measure(row) / best[index]), 0));
    return {
      fastest: fastest && { row: fastest, ties: candidates.filter((row) => row !== fastest && asFast(row, fastest)) },
      smallest: smallest && { row: smallest, ties: sized.filter((row) => row !== smallest && row.weights <= smallest.weights * (1 + SAME_SIZE)) },
      balanced: balanced && { row: balanced, ties: [] },
      candidates: candidates.length,
      left,
    };
  }
}

const COSTS = { latency: (row) => row.latency?.[0], ram: (row) => row.ram && row.ram / 1e6, weights: (row) => row.weights && row.weights / 1e6 };

const qualityLoss = (row) => ((row.group.higher ? 1 : -1) * (row.group.original - row.quality[0])) / row.group.original;

const asFast = (row, fastest) => {
  const { interval } = compareSpeed(row.rounds, fastest.rounds);
  return Boolean(interval && interval[1] > 1 / (1 + SMALLEST_EFFECT));
};
