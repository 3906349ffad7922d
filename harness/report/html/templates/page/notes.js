// The small figures below a number against a baseline that the reader picks: notes.py once more (a test holds them together).
const RATIOS = { size: ["smaller", "larger"], memory: ["less", "more"] };

const note = (words, column, row, baseline, speed) => {
  const value = row.values[column.key];
  if (!column.against || value === null) return null;
  if (column.against === "speed") {
    return speed && { content: speedWords(words, speed), tone: { faster: "good", slower: "bad" }[speed.verdict] };
  }
  if (column.against === "quality") {
    const change = qualityChange(row, baseline);
    return change && { content: qualityWords(words, change), tone: { better: "good", worse: "bad" }[change.word] };
  }
  const [own, other] = [value, baseline.values[column.key]].map((each) => [each].flat()[0]);
  const content = sizeWords(words, other, own, ...RATIOS[column.against]);
  return content && { content };
};

const sizeWords = (words, baseline, value, smaller, larger) => {
  if (!baseline || !value) return null;
  const times = baseline / value;
  if (Math.abs(times - 1) < 0.01) return words.element("ratio.same");
  return words.element(`ratio.${times > 1 ? smaller : larger}`, { ratio: ratio(times > 1 ? times : 1 / times) });
};

const speedWords = (words, { speedup, interval, verdict: word }) => {
  const turned = word === "slower";
  const shown = turned ? ratio(1 / speedup, [1 / interval[1], 1 / interval[0]]) : ratio(speedup, interval);
  return words.element(`speed.${word ?? "few"}`, { speed: shown });
};

// Quality minus the baseline's, paired where the baseline is what all changes were taken against.
const qualityChange = (row, baseline) => {
  if (!row.quality || !baseline.quality) return null;
  const [value, ...interval] = row.quality, [other, ...otherInterval] = baseline.quality;
  const known = row.change && baseline.reference ? row.change.slice(1) : null;
  const whole = interval[0] !== null && otherInterval[0] !== null;
  const range = known ?? (whole ? differenceInterval(value, interval, other, otherInterval) : null);
  const shown = range && (range[0] > 0 || range[1] < 0);
  const word = shown ? ((value > other) === row.group.higher ? "better" : "worse") : null;
  return { value: value - other, interval: range, word };
};

const qualityWords = (words, { value, interval, word }) => {
  const text = document.createDocumentFragment();
  text.append(difference(value, interval));
  if (word) text.append(" ", words.element(`quality.${word}`));
  return text;
};
