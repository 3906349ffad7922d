// How numbers are written: numbers.py once more, digit for digit (a test holds them together).
const DASH = "\u2014", MINUS = "\u2212", NBSP = "\u00a0", THIN = "\u202f", TIMES = "\u00d7";

const digitsToDecimals = (value, digits) => (value ? Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value)))) : 0);

const halfWidth = (value, [low, high]) => Math.max(value - low, high - value);

const decimals = (value, interval) => {
  const half = interval ? halfWidth(value, interval) : 0;
  if (half <= 0) return digitsToDecimals(value, 3);
  const known = digitsToDecimals(half, half.toExponential(1).startsWith("1") ? 2 : 1);
  return Math.abs(value) > half ? Math.min(known, digitsToDecimals(value, 6)) : known;
};

const fixed = (value, places, signed = false) => {
  const [whole, ...fraction] = Math.abs(value).toFixed(places).split(".");
  const grouped = Math.abs(value) >= 10000 ? whole.replace(/\B(?=(\d{3})+$)/g, THIN) : whole;
  const zero = Number(Math.abs(value).toFixed(places)) === 0;
  const sign = value < 0 && !zero ? MINUS : signed && !zero ? "+" : "";
  return sign + [grouped, ...fraction].join(".");
};

const number = (value, interval) => (value === null ? DASH : fixed(value, decimals(value, interval)));

const bracket = ([low, high], places, signed = false) => `[${fixed(low, places, signed)},${NBSP}${fixed(high, places, signed)}]`;

const ratio = (value, interval = null) => {
  if (!interval) return fixed(value, Math.max(Math.abs(value - 1) < 0.1 ? 2 : 1, digitsToDecimals(value, 2))) + TIMES;
  const places = Math.min(decimals(value, interval), Math.max(2, digitsToDecimals(value, 3)));
  return `${fixed(value, places)}${TIMES} ${bracket(interval, places)}`;
};

const difference = (value, interval) => {
  const places = decimals(value, interval);
  const text = fixed(value, places, true);
  return interval ? `${text} ${bracket(interval, places, true)}` : text;
};

const megabytes = (bytes) => number(bytes / 1e6);
