// Speeds against a baseline that the reader picks: stats.py once more (a test holds them together), where the sources stand.
const SMALLEST_EFFECT = 0.02, ROUNDS_FOR_VERDICT = 5;

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const variance = (values) => values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length - 1);

const compareSpeed = (cell, baseline) => {
  const [ours, theirs] = [cell, baseline].map((medians) => medians.map(Math.log));
  const gap = mean(theirs) - mean(ours);
  const rounds = Math.min(ours.length, theirs.length);
  if (rounds < 2) return { speedup: Math.exp(gap), interval: null, p: null, rounds };
  const parts = [ours, theirs].map((logs) => variance(logs) / logs.length);
  const error = Math.sqrt(parts[0] + parts[1]);
  if (error <= 1e-12 * Math.max(1, Math.abs(gap))) {
    return { speedup: Math.exp(gap), interval: [Math.exp(gap), Math.exp(gap)], p: Math.abs(gap) <= 1e-12 ? 1 : 0, rounds };
  }
  const shares = parts.map((part) => part / (parts[0] + parts[1]));
  const freedom = 1 / (shares[0] ** 2 / (ours.length - 1) + shares[1] ** 2 / (theirs.length - 1));
  const margin = studentQuantile(0.975, freedom) * error;
  const p = 2 * studentCdf(-Math.abs(gap) / error, freedom);
  return { speedup: Math.exp(gap), interval: [Math.exp(gap - margin), Math.exp(gap + margin)], p, rounds };
};

const verdict = ({ speedup, interval, rounds }, p) => {
  if (!interval || rounds < ROUNDS_FOR_VERDICT) return null;
  const [low, high] = interval, bound = 1 + SMALLEST_EFFECT;
  if (1 / bound <= low && high <= bound) return "tie";
  if (p < 0.05) {
    if (low > 1 && speedup >= bound) return "faster";
    if (high < 1 && speedup <= 1 / bound) return "slower";
  }
  return "too-noisy";
};

const holm = (values) => {
  const adjusted = [];
  let largest = 0;
  values.map((_, index) => index).sort((a, b) => values[a] - values[b]).forEach((index, rank) => {
    largest = Math.max(largest, Math.min(1, (values.length - rank) * values[index]));
    adjusted[index] = largest;
  });
  return adjusted;
};

const differenceInterval = (value, [low, high], other, [otherLow, otherHigh]) => [
  value - other - Math.hypot(value - low, otherHigh - other),
  value - other + Math.hypot(high - value, other - otherLow),
];

const studentCdf = (t, df) => {
  if (t * t <= df) return 0.5 + (Math.sign(t) * incompleteBeta(0.5, df / 2, (t * t) / (df + t * t))) / 2;
  const tail = incompleteBeta(df / 2, 0.5, df / (df + t * t)) / 2;
  return t < 0 ? tail : 1 - tail;
};

// By Newton's method from the normal quantile of 0.975, below which no t lies: the curve is concave there, so it comes from below.
const studentQuantile = (probability, df) => {
  const peak = Math.exp(logGamma((df + 1) / 2) - logGamma(df / 2)) / Math.sqrt(df * Math.PI);
  let t = 1.959963984540054;
  for (let step = 0; step < 100; step += 1) {
    const next = t + (probability - studentCdf(t, df)) / (peak * (1 + (t * t) / df) ** (-(df + 1) / 2));
    if (Math.abs(next - t) <= 1e-14 * t) break;
    t = next;
  }
  return t;
};

const incompleteBeta = (a, b, x) => {
  if (x <= 0 || x >= 1) return Number(x >= 1);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return x < (a + 1) / (a + b + 2) ? (front * betaFraction(a, b, x)) / a : 1 - (front * betaFraction(b, a, 1 - x)) / b;
};

const betaFraction = (a, b, x) => {
  const away = (value) => (Math.abs(value) > 1e-300 ? value : 1e-300);
  let c = 1, d = 1 / away(1 - ((a + b) * x) / (a + 1)), fraction = d;
  for (let m = 1; m < 10000; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    for (const term of [even, odd]) {
      d = 1 / away(1 + term * d);
      c = away(1 + term / c);
      fraction *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return fraction;
};

// Lanczos' approximation with g = 7 and nine terms (Numerical Recipes 6.1), for positive arguments.
const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
  -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];
const logGamma = (z) => {
  if (z < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * z)) - logGamma(1 - z);
  const base = z + 6.5;
  const sum = LANCZOS.reduce((total, term, index) => (index ? total + term / (z - 1 + index) : term), 0);
  return 0.5 * Math.log(2 * Math.PI) + (z - 0.5) * Math.log(base) - base + Math.log(sum);
};
